"""What the name of a model means that is neither bundled nor a folder here: a repository, or a mistyped path."""

import os
import re
from pathlib import Path

from cvae_cli.errors import did_you_mean
from cvae_cli.weights import hub

HUB_NAME = re.compile(r"(?P<repo>(?P<owner>\w[\w.-]*)/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_RUNS = "runs"  # where trainings are, so it is not an owner on the Hub


def means_repository(model: str | Path, *, file: str) -> bool:
    """Whether a name that is not a folder here means a repository on the Hub, and not a path that is mistyped.

    `runs/first` would lie in a folder that is here, so it means a repository only if the Hub's cache has that. With a
    revision, as in `runs/first@main`, a name always means a repository.

    Args:
        file: what every repository with a model has.
    """
    match = HUB_NAME.fullmatch(str(model))
    if match is None:
        return False
    if match["revision"] or not (match["owner"] == _RUNS or os.path.isdir(match["owner"])):
        return True
    return hub.cached_file(match["repo"], file, "main") is not None


def similar_folder(path: Path) -> str:
    """Return ` Did you mean "runs/first"?` if the folder of a path is here, and holds another of a similar name."""
    if not os.path.isdir(path.parent):
        return ""
    with os.scandir(path.parent) as entries:
        suggestion = did_you_mean(path.name, [each.name for each in entries if each.is_dir()])
    return suggestion.replace('"', f'"{path.parent.as_posix()}/', 1)
