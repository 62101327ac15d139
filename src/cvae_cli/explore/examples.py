"""Prompts to begin with."""

import json
from pathlib import Path

from cvae_cli.config.model import ModelConfig
from cvae_cli.errors import CvaeError
from cvae_cli.models.pretrained import PROMPTS, SAMPLES

_SHOWN, _LONGEST = 5, 60  # captions, and letters of one, that fit beside the pictures

_EXAMPLES = {
    "scenes": ["two dogs on a beach", "snow on a mountain", "a plate of food", "a bus on a street", "green grass"],
    "emoji": ["red heart", "angry cat", "smiling face", "blue fish", "green tree"],
}


def prompts_of(config: ModelConfig, folder: Path | None = None) -> list[str]:
    """Return the classes of a model, or examples for one that reads any text; "" for one without a condition.

    Args:
        folder: the model's; the captions of its samples are the examples, where the file says them.
    """
    if config.architecture.conditioning == "none":
        return [""]
    if config.condition.kind == "labels":
        return config.condition.names
    if config.name in _EXAMPLES or folder is None:
        return _EXAMPLES.get(config.name, _EXAMPLES["scenes"])
    return _captions(folder / SAMPLES) or _EXAMPLES["scenes"]


def _captions(samples: Path) -> list[str]:
    """Return some of the captions that a picture of samples says; none if there is no such picture, or it says none."""
    from cvae_cli.pictures.opening import read_text

    try:
        said = json.loads(read_text(samples, PROMPTS) or "[]")
    except (CvaeError, ValueError, RecursionError):  # the picture of a stranger's model may hold anything
        return []
    texts = [text for text in said if isinstance(text, str) and text] if isinstance(said, list) else []
    return [text for text in dict.fromkeys(texts) if len(text) <= _LONGEST][:_SHOWN]
