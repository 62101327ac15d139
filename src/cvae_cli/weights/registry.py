"""The registry of weights that can be downloaded."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from cvae_cli.errors import CorruptError, MissingError, UsageError, byte_size, did_you_mean
from cvae_cli.events import Callback, ignore
from cvae_cli.paths import weights_dir
from cvae_cli.weights import hub
from cvae_cli.weights.download import Digest, download_file


@dataclass(frozen=True, kw_only=True)
class Weights(ABC):
    """A published file of weights.

    Attributes:
        name: the name that `cvae download-weights` takes.
        use: what the weights are for, a phrase for people.
        size: bytes.
        note: how far `size` and `sha256` were checked when they were written down.
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
        """Where the file comes from, for people."""

    @abstractmethod
    def cached_path(self) -> Path | None:
        """The path of the file on this machine; None if it is absent or has another size. The digest is not checked."""

    @abstractmethod
    def download(self, callback: Callback = ignore) -> Path:
        """Download the file unless it is cached, verify its digest either way, and return its path.

        Raises:
            MissingError: the file cannot be downloaded.
            CorruptError: the downloaded file has another digest; it is deleted.
        """

    def is_intact(self, path: Path) -> bool:
        """Whether a file has the size and the digest."""
        return path.stat().st_size == self.size and self.digest.matches(path)


@dataclass(frozen=True, kw_only=True)
class AddressWeights(Weights):
    """A file at a URL of its own, kept in this program's cache."""

    url: str

    @property
    def source(self) -> str:
        return self.url

    def cached_path(self) -> Path | None:
        path = self.target
        return path if path.is_file() and path.stat().st_size == self.size else None

    def download(self, callback: Callback = ignore) -> Path:
        path = self.target
        if path.is_file() and not self.is_intact(path):
            path.unlink(missing_ok=True)  # damaged: download it again
        return download_file(self.url, path, digest=self.digest, size=self.size, callback=callback)

    @property
    def target(self) -> Path:
        """Where the file is in the cache, once it is downloaded."""
        return weights_dir() / self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class HubWeights(Weights):
    """A file of a Hugging Face repository at a pinned revision, kept in the cache that the Hub's tools share."""

    repo: str
    revision: str
    file: str

    @property
    def source(self) -> str:
        return f"{self.repo}@{self.revision[:7]}, {self.file}"

    def cached_path(self) -> Path | None:
        cached = hub.cached_file(self.repo, self.file, self.revision)
        return cached if cached is not None and cached.stat().st_size == self.size else None

    def download(self, callback: Callback = ignore) -> Path:
        cached = hub.cached_file(self.repo, self.file, self.revision)
        if cached is not None and self.is_intact(cached):
            return cached
        is_damaged = cached is not None
        path = hub.download_file(self.repo, self.file, self.revision, callback=callback, force=is_damaged)
        if not self.is_intact(path):
            path.resolve().unlink()  # the file itself, and then the link to it
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
            use="Inception-v3 of the original FID: fid, kid, inception-score",
            url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            size=95_628_359,
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            licence="Apache-2.0",
            note="the digest starts with the digits of the published file name; its other digits and the size as "
            "several public projects quote them; not yet downloaded by the authors",
        ),
        AddressWeights(
            name="vgg16",
            use="VGG16 trained on ImageNet: the features of training.perceptual",
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            size=553_433_881,
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            licence="BSD-3-Clause",
            note="the digest starts with the digits of the published file name; its other digits and the size as "
            "several public projects quote them; not yet downloaded by the authors",
        ),
        AddressWeights(
            name="alexnet",
            use="AlexNet trained on ImageNet: lpips",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            size=244_408_911,
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            licence="BSD-3-Clause",
            note="the digest starts with the digits of the published file name; its other digits and the size as "
            "several public projects quote them; not yet downloaded by the authors",
        ),
    )
}


def get_weights(name: str) -> Weights:
    """Return the registered weights of this name.

    Raises:
        UsageError: there are none of this name.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise UsageError(
            f'no weights "{name}".{did_you_mean(name, list(REGISTRY))}',
            hint=f"weights: {', '.join(REGISTRY)}",
        ) from None


def require_weights(entry: Weights, callback: Callback = ignore) -> Path:
    """Return the path of the verified file, as `Weights.download` does.

    Raises:
        MissingError: the file cannot be downloaded; the hint is the command that downloads it.
        CorruptError: see `Weights.download`.
    """
    try:
        return entry.download(callback)
    except MissingError as error:
        raise MissingError(
            f'the weights "{entry.name}" are not on this machine ({byte_size(entry.size)}, from {entry.source})',
            hint=f"download them once:  cvae download-weights {entry.name}",
        ) from error
