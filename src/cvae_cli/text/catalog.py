"""The text encoders that can be asked for by name."""

import torch

from cvae_cli.config.model import ClipCondition, StaticCondition, TextCondition
from cvae_cli.errors import CorruptError, UsageError, did_you_mean
from cvae_cli.events import Callback, ignore
from cvae_cli.text.encoder import TextEncoder

KINDS = ("static", "clip")


def load_encoder(name: str, callback: Callback = ignore, device: torch.device | None = None) -> TextEncoder:
    """The encoder that a user names: `static`, `clip`, `clip:ARCHITECTURE/TAG` or `clip:FOLDER`.

    Args:
        device: where a large one computes; the CPU when absent.

    Raises:
        UsageError: no such encoder.
        MissingError: its weights are not here and cannot be fetched.
        CorruptError: its weights are damaged.
    """
    kind, _, model = name.partition(":")
    if name == "static":
        from cvae_cli.text.static import StaticEncoder

        return StaticEncoder()
    if kind == "clip":
        from cvae_cli.text.clip import ClipEncoder

        return ClipEncoder(model or None, device=device, callback=callback)
    raise UsageError(
        f'no text encoder "{name}".{did_you_mean(name, list(KINDS))}',
        hint="text encoders: static, clip, clip:ARCHITECTURE/TAG, clip:FOLDER",
    )


def load_matching_encoder(
    settings: TextCondition, callback: Callback = ignore, device: torch.device | None = None
) -> TextEncoder:
    """The encoder that a model learned with.

    Raises:
        MissingError: it is not here.
        CorruptError: what is here under its name is another.
    """
    match settings:
        case StaticCondition():
            encoder = load_encoder("static")
        case ClipCondition():
            encoder = load_encoder(f"clip:{settings.model}", callback, device)
    if encoder.settings.sha256 != settings.sha256:
        raise CorruptError(
            f"the model learned with another {settings.kind} text encoder than the one that is here "
            f"(sha256 {settings.sha256[:12]}, not {encoder.settings.sha256[:12]})",
            hint="use the version of cvae-cli that it was made with"
            if settings.kind == "static"
            else f"put the encoder it learned with at {settings.model}",
        )
    return encoder
