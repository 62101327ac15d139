"""A tiny CLIP model for tests, in the layout that open_clip saves."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file


def tiny_config(*, quick_gelu: bool = True, width: int = 16, context_length: int = 77) -> dict[str, Any]:
    """Return an open_clip architecture with CLIP's own vocabulary and vectors of `width` numbers."""
    return {
        "embed_dim": width,
        "quick_gelu": quick_gelu,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": context_length, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }


def save_tiny_clip(
    folder: Path, *, quick_gelu: bool = True, seed: int = 0, width: int = 16, context_length: int = 77
) -> Path:
    """Save a CLIP model of about 3 MB with random weights, and return `folder`.

    The weights are larger than open_clip's initial ones, so that the choice of activation changes the vectors.
    """
    config = tiny_config(quick_gelu=quick_gelu, width=width, context_length=context_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config)
        tensors = {
            name: tensor if name == "logit_scale" else tensor + 0.3 * torch.randn(tensor.shape)
            for name, tensor in model.state_dict().items()
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(tensors, folder / "open_clip_model.safetensors")
    return folder
