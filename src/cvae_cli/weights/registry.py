"""The registry of files that can be downloaded, and fetching them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from cvae_cli.errors import CorruptError, MissingError, UsageError, did_you_mean
from cvae_cli.events import Callback, ignore
from cvae_cli.paths import weights_dir
from cvae_cli.weights import hub
from cvae_cli.weights.download import Digest, fetch


@dataclass(frozen=True, kw_only=True)
class Weights(ABC):
    """A published file of weights.

    Attributes:
        size: bytes.
        note: how far size and digest could be checked when they were written down.
    """

    name: str
    use: str
    size: int
    sha256: str
    licence: str
    note: str

    @property
    def digest(self) -> Digest:
        return Digest(algorithm="sha256", hexadecimal=self.sha256)

    @property
    @abstractmethod
    def source(self) -> str:
        """Where it comes from, for people."""

    @abstractmethod
    def path(self) -> Path | None:
        """Where the file is on this machine, if it is there and has its size."""

    @abstractmethod
    def download(self, callback: Callback) -> Path:
        """Fetch and verify; see `download`."""

    def _is_whole(self, path: Path) -> bool:
        return path.stat().st_size == self.size and self.digest.matches(path)


@dataclass(frozen=True, kw_only=True)
class AddressWeights(Weights):
    """A file at an address of its own, kept in our cache."""

    url: str

    @property
    def source(self) -> str:
        return self.url

    def path(self) -> Path | None:
        path = self._place()
        return path if path.is_file() and path.stat().st_size == self.size else None

    def download(self, callback: Callback) -> Path:
        path = self._place()
        if path.is_file() and not self._is_whole(path):
            path.unlink(missing_ok=True)  # not what it should be: fetch it anew
        return fetch(self.url, path, digest=self.digest, size=self.size, callback=callback)

    def _place(self) -> Path:
        return weights_dir() / self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class HubWeights(Weights):
    """A file of a Hugging Face repository at a pinned revision, kept in the cache that all the Hub's tools share."""

    repo: str
    revision: str
    file: str

    @property
    def source(self) -> str:
        return f"{self.repo}@{self.revision[:7]}, {self.file}"

    def path(self) -> Path | None:
        cached = hub.cached_file(self.repo, self.file, self.revision)
        return cached if cached is not None and cached.stat().st_size == self.size else None

    def download(self, callback: Callback) -> Path:
        cached = hub.cached_file(self.repo, self.file, self.revision)
        if cached is not None and self._is_whole(cached):
            return cached
        damaged = cached is not None
        path = hub.fetch_file(self.repo, self.file, self.revision, callback=callback, again=damaged)
        if not self._is_whole(path):
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise CorruptError(
                f"{self.file} of {self.repo} does not have its sha256 digest; it was not kept",
                hint="try again later",
            )
        return path


REGISTRY: dict[str, Weights] = {
    entry.name: entry
    for entry in (
        HubWeights(
            name="clip",
            use="CLIP ViT-B/32 by OpenAI: conditions from text, and CLIP scores",
            repo="timm/vit_base_patch32_clip_224.openai",
            revision="a6f597a30f7b82c51704746581f9a4e41421e878",
            file="open_clip_model.safetensors",
            size=605_143_284,
            sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
            licence="MIT",
            note="revision, size and digest as several public projects quote them; not yet downloaded by the authors",
        ),
        AddressWeights(
            name="inception",
            use='Inception-v3 of the original FID: the metric "fid"',
            url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            size=95_628_359,
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            licence="Apache-2.0",
            note="the digest begins as the published name says; its rest and the size as several public projects "
            "quote them; not yet downloaded by the authors",
        ),
    )
}


def get(name: str) -> Weights:
    """The registered file of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise UsageError(
            f'no weights "{name}".{did_you_mean(name, list(REGISTRY))}',
            hint=f"weights: {', '.join(REGISTRY)}",
        ) from None


def download(entry: Weights, callback: Callback = ignore) -> Path:
    """Fetch a file unless it is here, verify its digest either way, and return its path.

    Raises:
        MissingError: it cannot be fetched.
        CorruptError: it does not have its digest; it is not kept.
    """
    return entry.download(callback)


def require(entry: Weights, callback: Callback = ignore) -> Path:
    """The file for use, verified: as `download`, with the command that fetches it in the hint of a MissingError."""
    try:
        return download(entry, callback)
    except MissingError as error:
        raise MissingError(
            f'the weights "{entry.name}" are not here ({entry.size / 1e6:,.0f} MB, from {entry.source})',
            hint=f"fetch them once:  cvae download-weights {entry.name}",
        ) from error
