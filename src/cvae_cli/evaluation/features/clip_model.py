"""A CLIP model with both of its towers: vectors of pictures and of captions."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cvae_cli.events import Callback, ignore
from cvae_cli.text.clip_source import ClipSource, find_clip, load_tensors, make_tokenizer, unbuildable_error

_CHUNK = 64  # pictures or captions in one forward pass


class ClipModel:
    """Both towers of a CLIP model: vectors of length 1, whose products are cosines.

    Attributes:
        num_features: the length of a vector.
        cut: how many captions so far were longer than the model's context, and truncated.
    """

    def __init__(
        self,
        model: str | None = None,
        device: torch.device | None = None,
        callback: Callback = ignore,
    ) -> None:
        """Load both towers in float32.

        Args:
            model: see `clip_source.find_clip`; OpenAI's ViT-B/32 if absent.
            device: the CPU if absent.

        Raises:
            UsageError, MissingError, CorruptError: see `clip_source.find_clip`.
        """
        self._source = find_clip(model, callback)
        self._device = device or torch.device("cpu")
        self._model, self._preprocess = _build_model(self._source)
        self._tokenizer = make_tokenizer(self._source)
        load_tensors(self._model, self._source)
        self._model.eval().requires_grad_(False).to(self._device)
        self._transform = _transform(self._source, self._preprocess)
        self.num_features = int(self._source.model["embed_dim"])
        self.cut = 0

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that the vectors depend on besides the pictures and captions."""
        height, width = _sides(self._preprocess.size)
        return {
            "clip": self._source.name,
            "clip_sha256": self._source.sha256,
            "clip_resize": f"{height}x{width}, {self._preprocess.interpolation}, antialiased, "
            f"{self._preprocess.resize_mode}",
        }

    def __call__(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """The same as `images`: the model is a feature extractor."""
        return self.images(images)

    @torch.no_grad()
    def images(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Encode at least one picture: a vector a picture, on the CPU.

        Pictures are grey or RGB, of any size; open_clip's own transform resizes and normalises them.
        """
        vectors = []
        for chunk in images.cpu().split(_CHUNK):
            inputs = torch.stack([self._transform(_picture(image)) for image in chunk])
            vectors.append(self._model.encode_image(inputs.to(self._device), normalize=True).cpu())
        return torch.cat(vectors)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Encode at least one caption: a vector a caption, on the CPU.

        A caption is not divided into sentences. As for published scores, it is truncated at the end of the context.
        """
        if isinstance(texts, str):
            raise TypeError("texts takes a list of captions, not one caption")
        room = self._tokenizer.context_length - 2
        vectors = []
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            self.cut += sum(len(self._tokenizer.encode(text)) > room for text in chunk)
            tokens = self._tokenizer(chunk).to(self._device)  # (n, context)
            vectors.append(self._model.encode_text(tokens, normalize=True).cpu())
        return torch.cat(vectors)


def _build_model(source: ClipSource) -> tuple[Any, Any]:
    """The network with random weights, and how its pictures are preprocessed (open_clip's PreprocessCfg)."""
    import open_clip
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    settings = dict(source.model)
    kind = open_clip.CustomTextCLIP if settings.pop("custom_text", False) else open_clip.CLIP
    try:
        # timm must not download anything: the weights are in the file
        settings["vision_cfg"] = settings["vision_cfg"] | {"timm_model_pretrained": False}
        with torch.random.fork_rng(devices=[]):  # leaves the caller's random state as it is
            model = kind(**settings)
        preprocess = merge_preprocess_dict(PreprocessCfg(), source.preprocess) | {"size": model.visual.image_size}
        return model, PreprocessCfg(**preprocess)
    except Exception as error:  # the libraries raise anything for settings that contradict each other
        raise unbuildable_error(source, error) from error


def _transform(source: ClipSource, preprocess: Any) -> Any:
    """open_clip's own transform from a PIL picture to the model's input `(3, h, w)`."""
    from open_clip.transform import image_transform_v2

    try:
        return image_transform_v2(preprocess, is_train=False)
    except Exception as error:
        raise unbuildable_error(source, error) from error


def _picture(image: UInt8[Tensor, "c h w"]) -> Any:
    from PIL import Image

    return Image.fromarray((image[0] if len(image) == 1 else image.movedim(0, -1)).numpy())


def _sides(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
