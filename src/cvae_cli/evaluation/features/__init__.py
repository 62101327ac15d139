"""The feature extractors by name: networks from pictures to vectors.

Importing this module is cheap: networks are imported when one is loaded (`extractors.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.events import Callback, ignore

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, UInt8
    from torch import Tensor

EXTRACTORS = {
    "inception": "cvae_cli.evaluation.features.extractors:inception",
    "clip": "cvae_cli.evaluation.features.extractors:clip",
    "fashion": "cvae_cli.evaluation.features.extractors:fashion",
    "pictures": "cvae_cli.evaluation.features.extractors:pictures",
}
"""The loader of each feature extractor, as `module:function`. A Fréchet distance on others than Inception's is not FID.

Besides these there are `clip:MODEL`, another CLIP model, and `MODULE:CALLABLE`, the user's own.
"""

SIZES = {"fashion": 28}
"""How many pixels a side pictures must have, for extractors that take no others."""

SMALL = "small"
"""Stands for the features that need no download: `fashion` for Fashion-MNIST, `pictures` for all else."""

_PAIRS = {"lpips": "cvae_cli.evaluation.features.extractors:lpips"}  # networks that compare two pictures: no features
_OWN = "cvae_cli.evaluation.features.extractors:own"
LISTING = f"{', '.join(EXTRACTORS)}, or MODULE:CALLABLE for your own"


@dataclass(frozen=True, eq=False)
class Extractor:
    """A feature extractor.

    Attributes:
        network: maps uint8 pictures `(n, 3, h, w)` to vectors `(n, num_features)`, and may have other methods:
            Inception and the classifier of Fashion-MNIST also have `logits`, a CLIP model also `texts`.
        num_features: the length of a vector.
        protocol: what the vectors depend on besides the pictures. `extractor` is the name.
        size: pixels a side of the only pictures that it is for; None if it resizes pictures of any size.
        chunk: how many pictures the network is given at a time on a CPU: so few that each takes less than a second.
        has_threads: whether several threads may call the network at the same time.
    """

    network: Any
    num_features: int
    protocol: dict[str, Any]
    size: int | None = None
    chunk: int = 16
    has_threads: bool = True

    def in_chunks(self, images: "UInt8[Tensor, 'n 3 h w']") -> "Iterator[Float[Tensor, 'b d']]":
        """Yield the features of pictures in order, a few at a time; on a CPU each core computes those of others."""
        import torch

        from cvae_cli.runtime.threads import map_on_cores

        @torch.no_grad()
        def compute(chunk: "UInt8[Tensor, 'b 3 h w']") -> "Float[Tensor, 'b d']":
            features: Tensor = self.network(chunk)
            return features

        chunks = images.split(self.chunk) if images.device.type == "cpu" else (images,)
        return map_on_cores(compute, chunks, images.device) if self.has_threads else map(compute, chunks)


def small_features(dataset: str | None) -> str:
    """Return the features of pictures of a data set that need no download."""
    return "fashion" if dataset == "fashion-mnist" else "pictures"


def check_features(name: str) -> None:
    """Raise a UsageError if this is not the name of a feature extractor. A module of the user's is not imported yet."""
    module, colon, function = name.partition(":")
    if name not in EXTRACTORS and not (colon and module and function):
        raise UsageError(f'no features "{name}".{did_you_mean(name, list(EXTRACTORS))}', hint=f"features: {LISTING}")


def load_extractor(name: str, device: "torch.device", callback: Callback = ignore) -> Extractor:
    """Load a feature extractor, and download its weights if they are not on this machine.

    Args:
        name: one of `EXTRACTORS`; `clip:MODEL` for another CLIP model than the default, see `clip_source.find_clip`; or
            `MODULE:CALLABLE`, see `extractors.own`.

    Raises:
        UsageError: there is no such extractor, or the user's own does not work.
        MissingError: the weights are not on this machine and cannot be downloaded.
        CorruptError: the weights are damaged.
    """
    targets = EXTRACTORS | _PAIRS
    kind, _, model = name.partition(":")
    if name not in targets and kind != "clip":
        check_features(name)
        kind, model = "own", name
    load: Callable[[torch.device, Callback, str | None], Extractor] = resolve_name(targets.get(kind, _OWN))
    extractor = load(device, callback, model or None)
    return replace(extractor, protocol={"extractor": name, **extractor.protocol}, size=SIZES.get(name))
