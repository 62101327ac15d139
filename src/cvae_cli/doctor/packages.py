"""The versions of the package, of Python, and of what the package needs."""

import platform
import re
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement

from cvae_cli.version import __version__

NAME = "cvae-cli"
_USES = {
    "explore": "cvae explore",
    "heif": "pictures in HEIC",
    "onnx": "cvae models export",
    "parquet": "metadata.parquet beside pictures",
    "tensorboard": "cvae train --log tensorboard",
}
"""What each extra is for. The extra `dev` is for those who change the package."""


def versions() -> tuple[dict[str, Any], list[str]]:
    """The version of Python and of each package that is needed; those that are absent or too old are problems."""
    facts = {NAME: __version__, "python": f"{platform.python_version()} ({platform.python_implementation()})"}
    problems = []
    for requirement in _requirements(""):
        found = _version(requirement)
        facts[requirement.name] = found or "missing"
        if not _is_met(requirement, found):
            wanted = f"{requirement.name}{requirement.specifier}"
            problems.append(f"{requirement.name} is {found or 'missing'}:  pip install '{wanted}'")
    if len(facts) == 2:
        problems.append(f"{NAME} is not installed as a package: what it needs is not known")
    return facts, problems


def extras() -> tuple[dict[str, Any], list[str]]:
    """Whether each extra is installed; if not, how to get it."""
    facts = {}
    for extra, use in _USES.items():
        needed = list(_requirements(extra))
        met = bool(needed) and all(_is_met(each, _version(each)) for each in needed)
        found = ", ".join(f"{each.name} {_version(each)}" for each in needed)
        facts[extra] = found if met else f"not installed; for {use}:  pip install '{NAME}[{extra}]'"
    return facts, []


def _requirements(extra: str) -> Iterator[Requirement]:
    """The packages that the package needs, or that one of its extras needs besides."""
    try:
        texts = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, texts):
        of_extra = re.search(r"\bextra == .([\w-]+)", str(requirement.marker or ""))
        if (of_extra[1] if of_extra else "") == extra:
            yield requirement


def _version(requirement: Requirement) -> str | None:
    try:
        return metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return None


def _is_met(requirement: Requirement, found: str | None) -> bool:
    return found is not None and requirement.specifier.contains(found, prereleases=True)
