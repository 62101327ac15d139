"""How well pictures show what their captions say, in the eyes of a CLIP model."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cvae_cli.events import Callback, ignore
from cvae_cli.text.clip_source import ClipSource, load_tensors, resolve, tokenizer, unbuildable

_TOGETHER = 64  # pictures, or captions, that pass the model at once
_SAME = 1e-6  # cosines nearer than this are of the same caption, up to rounding


class ClipJudge:
    """Both towers of a CLIP model: vectors of length 1 whose products are cosines.

    Attributes:
        cut: how many of the captions seen so far were longer than the model reads, and cut.
    """

    def __init__(
        self,
        model: str | None = None,
        device: torch.device | None = None,
        callback: Callback = ignore,
    ) -> None:
        """Load the whole model, in float32.

        Args:
            model: as for `clip_source.resolve`; OpenAI's ViT-B/32 when absent.
            device: the CPU when absent.

        Raises:
            UsageError, MissingError, CorruptError: see `clip_source.resolve`.
        """
        self._source = resolve(model, callback)
        self._device = device or torch.device("cpu")
        self._tokenizer = tokenizer(self._source)
        self._model, self._preprocess = _whole_model(self._source)
        load_tensors(self._model, self._source)
        self._model.eval().requires_grad_(False).to(self._device)
        self._transform = _transform(self._source, self._preprocess)
        self.cut = 0

    @property
    def protocol(self) -> dict[str, Any]:
        """All that a score depends on, but for the pictures and captions."""
        height, width = _sides(self._preprocess.size)
        return {
            "clip": self._source.name,
            "clip_sha256": self._source.sha256,
            "clip_resize": f"{height}x{width}, {self._preprocess.interpolation}, antialiased, "
            f"{self._preprocess.resize_mode}",
        }

    @torch.no_grad()
    def images(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """A vector a picture, at least one, on the CPU.

        Pictures are grey or RGB, of any size; open_clip's own transform makes of them what the model expects.
        """
        vectors = []
        for chunk in images.cpu().split(_TOGETHER):
            inputs = torch.stack([self._transform(_picture(image)) for image in chunk])
            vectors.append(self._model.encode_image(inputs.to(self._device), normalize=True).cpu())
        return torch.cat(vectors)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """A vector a caption, at least one, on the CPU.

        The whole caption is one text here, cut where the model's context ends, as published scores have it.
        """
        if isinstance(texts, str):
            raise TypeError("texts takes a list of captions, and was given one caption")
        room = self._tokenizer.context_length - 2
        vectors = []
        for start in range(0, len(texts), _TOGETHER):
            chunk = list(texts[start : start + _TOGETHER])
            self.cut += sum(len(self._tokenizer.encode(text)) > room for text in chunk)
            tokens = self._tokenizer(chunk).to(self._device)  # (n, context)
            vectors.append(self._model.encode_text(tokens, normalize=True).cpu())
        return torch.cat(vectors)


def clip_score(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """100 times the cosine of each picture with its caption, not below 0.

    Hessel et al. 2021, https://arxiv.org/abs/2104.08718, with the factor of torchmetrics in place of the paper's 2.5.
    Vectors are of length 1.
    """
    return 100 * (images * texts).sum(dim=1).clamp(min=0)


def retrieval(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"], group: int = 100) -> float:
    """R@1: the share of pictures to which, of all captions of their group, their own is nearest.

    Groups are consecutive; an incomplete last one is left out unless it is the only one. Where a caption is in its
    group several times, any of them will do. Vectors are of length 1, and at least one of each.
    """
    group = min(group, len(images))
    whole = len(images) // group * group
    cosines = images[:whole].unflatten(0, (-1, group)) @ texts[:whole].unflatten(0, (-1, group)).mT  # (groups, i, t)
    own = cosines.diagonal(dim1=1, dim2=2)  # (groups, i)
    return (own >= cosines.amax(dim=2) - _SAME).double().mean().item()


def _whole_model(source: ClipSource) -> tuple[Any, Any]:
    """The network, with random values, and what its pictures are to be like (open_clip's PreprocessCfg)."""
    import open_clip
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    settings = dict(source.model)
    kind = open_clip.CustomTextCLIP if settings.pop("custom_text", False) else open_clip.CLIP
    try:
        # Never what timm would fetch: the weights are in the file.
        settings["vision_cfg"] = settings["vision_cfg"] | {"timm_model_pretrained": False}
        with torch.random.fork_rng(devices=[]):  # the values are of no use, and the caller's randomness is not ours
            model = kind(**settings)
        preprocess = merge_preprocess_dict(PreprocessCfg(), source.preprocess) | {"size": model.visual.image_size}
        return model, PreprocessCfg(**preprocess)
    except Exception as error:  # whatever the libraries make of settings that do not fit each other
        raise unbuildable(source, error) from error


def _transform(source: ClipSource, preprocess: Any) -> Any:
    """open_clip's own way from a PIL picture to the model's input `(3, h, w)`."""
    from open_clip.transform import image_transform_v2

    try:
        return image_transform_v2(preprocess, is_train=False)
    except Exception as error:
        raise unbuildable(source, error) from error


def _picture(image: UInt8[Tensor, "c h w"]) -> Any:
    from PIL import Image

    return Image.fromarray((image[0] if len(image) == 1 else image.movedim(0, -1)).numpy())


def _sides(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
