"""The commands of a page: with them a reader makes each of its parts again."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cvae_cli.evaluation.context import Settings
from cvae_cli.evaluation.history import METRICS_FILE
from cvae_cli.models.pretrained import STAGES, find_model


@dataclass(frozen=True)
class Command:
    """A command, and what it does."""

    about: str
    text: str


def find_runs(sources: Sequence[str | None]) -> list[str]:
    """Return the runs in which models lie, each once; a model that lies in none has no curves."""
    runs = [run for source in sources if source is not None and (run := _run_of(source)) is not None]
    return list(dict.fromkeys(map(str, runs)))


def _run_of(source: str) -> Path | None:
    folder = find_model(source)
    runs = [folder.parent]
    while runs[0].name in STAGES:
        runs.insert(0, runs[0].parent)
    return next((each for each in runs if (each / METRICS_FILE).is_file()), None)


def make_commands(
    command: str | None,
    sources: Sequence[str | None],
    prompts: Sequence[str],
    ends: Sequence[str],
    settings: Settings,
    data: Sequence[str],
) -> list[Command]:
    """Return the commands of a page.

    Args:
        command: the one that made the page.
        sources: the name or the path of each model; None for one in memory, of which there are no commands.
        prompts: of the samples.
        ends: the prompts of the interpolation.
        data: the options that name the pictures of the latent space.
    """
    named = [source for source in sources if source is not None]
    runs = find_runs(named)
    seed = ["--seed", str(settings.seed)] if settings.seed else []
    sampled = [*seed, *(["--temperature", f"{settings.temperature:g}"] if settings.temperature != 1 else [])]
    sampled += [] if settings.guidance is None else ["--guidance", f"{settings.guidance:g}"]
    each_model = [word for source in named for word in ("--model", source)]

    commands = [Command("This page", command)] if command else []
    commands += [
        _command(
            f"Samples of {source}", "generate", *prompts, "-n", "8", "--model", source, *sampled, "-o", "samples.png"
        )
        for source in named
    ]
    if named:
        commands.append(_command("Latent space", "latents", *each_model, *data, *seed, "-o", "latents.png"))
    if len(set(ends)) > 1:
        commands += [
            _command(
                f"Interpolation by {source}",
                *("latents", "--model", source, "--interpolate", *ends, *sampled, "-o", "between.gif"),
            )
            for source in named
        ]
    if runs:
        commands.append(_command("Loss curves", "plot", *runs, "-o", "curves.png"))
    commands += [_command(f"The training of {run}", "train", f"{run}/recipe.toml", "--out", "again") for run in runs]
    return commands


def _command(about: str, *words: str) -> Command:
    return Command(about, shlex.join(["cvae", *words]))
