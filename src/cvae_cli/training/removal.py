"""Remove a model from this machine: a run, a model folder, or a revision in the Hub's cache."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from cvae_cli.errors import UsageError
from cvae_cli.models.pretrained import FILES, bundled_models, find_known
from cvae_cli.paths import draft_of
from cvae_cli.training import contents
from cvae_cli.training.run import Run
from cvae_cli.weights import hub_cache


@dataclass(frozen=True)
class Removal:
    """What is about to be removed.

    Attributes:
        what: in words.
        length: in bytes, as far as nothing else uses the same files.
        commit: of a revision in the Hub's cache.
    """

    what: str
    folder: Path
    length: int
    commit: str | None = None

    def execute(self) -> None:
        """Remove it.

        Raises:
            UsageError: a training is running there, or the folder holds other files. Then nothing is removed.
        """
        if self.commit is not None:
            hub_cache.remove_revision(self.commit)
        elif contents.is_run(self.folder):
            with Run(self.folder).lock():
                contents.remove_run(self.folder)
            contents.remove_mark(self.folder)
        else:
            for path in _model_files(self.folder):
                path.unlink()
            with contextlib.suppress(OSError):  # it holds hidden files
                self.folder.rmdir()


def plan_removal(name: str) -> Removal:
    """Find what `--model NAME` uses, and return how it is removed. The Hub is not asked.

    Raises:
        UsageError: there is no such model here, it ships with the package, or its folder holds other files too.
    """
    if name in bundled_models():
        raise UsageError(f"{name} ships with cvae and cannot be removed")
    for revision in hub_cache.cached_revisions():
        if name == revision.name and not Path(name).exists():
            return Removal(f"{name} from the Hub's cache", revision.folder, _length(revision.folder), revision.commit)
    folder = Path(name)
    if contents.is_run(folder):
        contents.check_nothing_else(folder)
        return Removal(f"the run {name} with its models and checkpoints", folder, _length(folder))
    find_known(name)
    _model_files(folder)
    return Removal(f"the model {name}", folder, _length(folder))


def _model_files(folder: Path) -> list[Path]:
    """Return the files of a model folder.

    Raises:
        UsageError: it holds others too.
    """
    found = [each for each in folder.iterdir() if not each.name.startswith(".") or draft_of(each.name) in FILES]
    others = [each.name for each in found if each.name not in FILES and draft_of(each.name) not in FILES]
    if others:
        raise UsageError(
            f"{folder} is not only a model: {', '.join(sorted(others)[:3])} would be lost", hint="move that away first"
        )
    return found


def _length(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
