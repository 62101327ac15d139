"""What a report about a problem needs to say: versions, machine, caches, models, settings, and what is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cvae_cli.doctor import packages, places, system
from cvae_cli.doctor.private import Hider
from cvae_cli.errors import CvaeError
from cvae_cli.events import Callback, Progress, ignore


@dataclass(frozen=True)
class Report:
    """The facts by their subject, and all problems. Nothing in it is secret, and the home folder is `~`."""

    facts: dict[str, dict[str, Any]]
    problems: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {**self.facts, "problems": self.problems}

    def lines(self) -> list[str]:
        """The report as text."""
        lines = []
        for subject, facts in self.facts.items():
            wide = max(map(len, facts), default=0)
            lines += [subject, *(f"  {name:<{wide}}  {_text(value)}".rstrip() for name, value in facts.items()), ""]
        problems = [f"  {each}" for each in self.problems] or ["  none"]
        return [*lines, "problems", *problems]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


SUBJECTS: dict[str, Callable[[], tuple[dict[str, Any], list[str]]]] = {
    "versions": packages.versions,
    "extras": packages.extras,
    "machine": system.machine,
    "device": system.device,
    "cache": places.cache,
    "weights": places.weights,
    "models": places.models,
    "network": system.network,
    "environment": system.environment,
}
"""What is looked at. One that cannot be looked at is a problem, and the others are looked at all the same."""


def examine(callback: Callback = ignore) -> Report:
    """Look at the installation and the machine. Nothing is downloaded, asked for or changed."""
    hide = Hider()
    facts: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for number, (subject, look) in enumerate(SUBJECTS.items()):
        callback(Progress("checking the installation", number, len(SUBJECTS), subject))
        try:
            found, wrong = look()
        except Exception as error:  # a part of the installation is broken, which is what the report is to show
            message = error.message if isinstance(error, CvaeError) else f"{type(error).__name__}: {error}"
            found, wrong = {}, [f"{subject}: {message.splitlines()[0] if message else ''}"]
        facts[subject] = hide(found)
        problems += hide(wrong)
    return Report(facts, problems)
