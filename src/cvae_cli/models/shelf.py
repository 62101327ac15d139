"""The models on this machine: those that ship with the package, those in the Hub's cache, and those trained here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cvae_cli.config.model import ModelConfig
from cvae_cli.errors import CorruptError, byte_size
from cvae_cli.models.card.document import read_card
from cvae_cli.models.checksums import SUMS
from cvae_cli.models.pretrained import CARD, CONFIG, bundled_models, model_folders, read_config, read_digests
from cvae_cli.paths import bundled_dir
from cvae_cli.weights import hub_cache

_SCORES = 3  # in a row of a table

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
        scores: those in its card.
        problem: why the configuration cannot be read.
    """

    name: str
    place: Place
    folder: Path
    length: int
    config: ModelConfig | None
    sha256: str | None
    scores: list[dict[str, Any]]
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry of this model in JSON."""
        config = self.config.to_dict() if self.config else None
        files = {file.name: file.stat().st_size for file in sorted(self.folder.iterdir()) if file.is_file()}
        return {**vars(self), "folder": str(self.folder), "config": config, "files": files}

    def row(self) -> list[str]:
        """The row of this model in a table."""
        config = self.config
        facts = ["?", "", "damaged"]
        if config:
            facts = [config.dataset, f"{config.image.size}x{config.image.size}", _kind(config)]
        scores = " ".join(f"{each['metric']} {each['value']:.4g}" for each in self.scores[:_SCORES])
        return [self.name, self.place, *facts, scores, byte_size(self.length), (self.sha256 or "")[:12]]

    def lines(self) -> list[list[str]]:
        """Everything about this model, in lines of two cells."""
        lines = [["model", self.name], ["where", self.place], ["folder", str(self.folder)]]
        if config := self.config:
            parts = config.architecture
            condition = config.condition.description if parts.conditioning != "none" else "none"
            lines += [
                ["name", config.name],
                ["kind", _kind(config)],
                ["data", config.dataset],
                ["pictures", str(config.image)],
                ["condition", condition],
                ["network", f"{parts.network.kind}, {parts.latent_dim} latent dimensions"],
                ["likelihood, prior", f"{parts.likelihood.kind}, {parts.prior.kind}"],
            ]
        lines += [["weights' sha256", self.sha256 or "not recorded"], ["on disk", byte_size(self.length)]]
        return lines + [
            [each["metric"], f"{each['value']:.4g}  ({each['dataset']}, {each['split']}; {each['protocol']})"]
            for each in self.scores
        ]


def _kind(config: ModelConfig) -> str:
    return "hybrid" if config.hybrid else "strict"


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
    """Whether a folder is a model of this program. One with a damaged configuration is, if its card says so."""
    if not (folder / CONFIG).is_file():
        return False
    try:
        read_config(folder)
    except CorruptError:
        return (folder / SUMS).is_file() or ((folder / CARD).is_file() and b"cvae" in (folder / CARD).read_bytes())
    return True


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
        scores=_scores(folder),
        problem=problem,
    )


def _scores(folder: Path) -> list[dict[str, Any]]:
    """Return the scores in a model card; none if it cannot be read."""
    try:
        results = read_card(folder / CARD).data.get("eval_results", [])
    except CorruptError:
        return []
    return [
        {
            "metric": each.metric_type,
            "value": each.metric_value,
            "dataset": each.dataset_name,
            "split": each.dataset_split,
            "protocol": (each.metric_args or {}).get("protocol", ""),
        }
        for each in results
        if isinstance(each.metric_value, int | float)
    ]
