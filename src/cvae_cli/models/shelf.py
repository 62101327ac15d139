"""The models on this machine: those that ship with the package, those in the Hub's cache, and those trained here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cvae_cli.config.model import ModelConfig
from cvae_cli.errors import CorruptError
from cvae_cli.models.pretrained import CONFIG, WEIGHTS, bundled_models, model_folders, read_config, read_digests
from cvae_cli.paths import bundled_dir
from cvae_cli.weights import hub_cache

Place = Literal["bundled", "Hub's cache", "trained here"]


@dataclass(frozen=True, kw_only=True)
class ShelvedModel:
    """A model on this machine.

    Attributes:
        name: what `--model` takes.
        folder: of its files.
        length: of its files, in bytes.
        config: its configuration; None if that cannot be read.
        sha256: the digest of its weights according to its configuration; None if that does not say.
        problem: why the configuration cannot be read.
    """

    name: str
    place: Place
    folder: Path
    length: int
    config: ModelConfig | None
    sha256: str | None
    problem: str | None = None


def shelved_models(folders: Sequence[str | Path] = ("runs",)) -> list[ShelvedModel]:
    """Return the bundled models, those in the Hub's cache, and those below `folders`. The Hub is not asked.

    Args:
        folders: runs, model folders, or folders that hold some, at any of which may be nothing.
    """
    found = [_describe(name, "bundled", bundled_dir() / name) for name in bundled_models()]
    found += [
        _describe(revision.name, "Hub's cache", revision.folder)
        for revision in hub_cache.cached_revisions()
        if _is_ours(revision.folder)
    ]
    trained = dict.fromkeys(each for folder in folders for each in _trained(Path(folder)))
    return found + [_describe(str(place), "trained here", folder) for place, folder in trained]


def describe_model(name: str, folder: Path) -> ShelvedModel:
    """Return what is known of the model in a folder that `find_model` has found by this name."""
    revisions = {revision.folder: revision.name for revision in hub_cache.cached_revisions()}
    if folder in revisions:
        return _describe(revisions[folder], "Hub's cache", folder)
    return _describe(name, "bundled" if folder.parent == bundled_dir() else "trained here", folder)


def _trained(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield what `--model` takes and the folder of the model: of `folder` itself, or else of each folder in it."""
    if model := _model_of(folder):
        yield folder, model
    elif folder.is_dir():
        yield from ((each, model) for each in sorted(folder.iterdir()) if (model := _model_of(each)))


def _model_of(folder: Path) -> Path | None:
    """Return the folder of the model that `--model FOLDER` uses, if there is one."""
    return next((each for each in model_folders(folder) if _is_ours(each)), None)


def _is_ours(folder: Path) -> bool:
    """Whether a folder is a model of this program. One with a damaged configuration is, if it has our other files."""
    if not (folder / CONFIG).is_file():
        return False
    try:
        read_config(folder)
    except CorruptError:
        return (folder / WEIGHTS).is_file() and _names_us(folder)
    return True


def _names_us(folder: Path) -> bool:
    return any(b"cvae" in file.read_bytes() for file in folder.glob("README.md"))


def _describe(name: str, place: Place, folder: Path) -> ShelvedModel:
    length = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    try:
        config, digests, problem = read_config(folder), read_digests(folder), None
    except CorruptError as error:
        config, digests, problem = None, [], error.message
    return ShelvedModel(
        name=name,
        place=place,
        folder=folder,
        length=length,
        config=config,
        sha256=digests[0] if digests else None,
        problem=problem,
    )
