"""Which text encoders there are. Reading this list imports neither torch nor an encoder."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from cvae_cli.errors import CorruptError, MissingError, UsageError, did_you_mean, quoted
from cvae_cli.events import Callback, ignore

if TYPE_CHECKING:
    import torch

    from cvae_cli.config.condition import TextCondition
    from cvae_cli.text.encoder import TextEncoder


@dataclass(frozen=True)
class EncoderEntry:
    """A kind of text encoder.

    Attributes:
        module, class_name: where its class is; see `TextEncoder` for how it is constructed.
        description: what it is, a phrase.
        models: what a user may write after the kind and a colon, if anything.
    """

    module: str
    class_name: str
    description: str
    models: tuple[str, ...] = ()


ENCODERS = {
    "static": EncoderEntry("cvae_cli.text.static", "StaticEncoder", "embedded, reads English"),
    "clip": EncoderEntry("cvae_cli.text.clip", "ClipEncoder", "a CLIP text tower", ("ARCHITECTURE/TAG", "FOLDER")),
}


def encoder_options() -> list[str]:
    """Return what a user can write to choose an encoder: `static`, `clip`, `clip:ARCHITECTURE/TAG`, `clip:FOLDER`."""
    return [
        option for kind, entry in ENCODERS.items() for option in (kind, *(f"{kind}:{each}" for each in entry.models))
    ]


def check_known(name: str) -> None:
    """Raise a UsageError if there is no encoder `name`. Nothing is imported or opened for that."""
    kind, colon, _ = name.partition(":")
    entry = ENCODERS.get(kind)
    if entry is None or (colon and not entry.models):
        raise UsageError(
            f'no text encoder "{name}".{did_you_mean(name, list(ENCODERS))}',
            hint=f"text encoders: {', '.join(encoder_options())}",
        )


def load_encoder(name: str, callback: Callback = ignore, device: "torch.device | None" = None) -> "TextEncoder":
    """Load the encoder that a user chooses: one of `encoder_options()`.

    Args:
        device: where a large encoder computes; the CPU by default.

    Raises:
        UsageError: no such encoder.
        MissingError: its weights are not on this machine and cannot be downloaded.
        CorruptError: its weights are damaged.
    """
    check_known(name)
    kind, _, model = name.partition(":")
    entry = ENCODERS[kind]
    make: Callable[..., TextEncoder] = getattr(import_module(entry.module), entry.class_name)
    return make(model or None, device=device, callback=callback)


def load_matching_encoder(
    settings: "TextCondition", callback: Callback = ignore, device: "torch.device | None" = None
) -> "TextEncoder":
    """Load the encoder that a model was trained with.

    Raises:
        MissingError: its weights are not on this machine and cannot be downloaded.
        CorruptError: the encoder of this name on this machine is another one.
    """
    if settings.kind == "clip" and "/" not in settings.model and not os.path.isdir(settings.model):
        raise MissingError(
            f"the model learned with the CLIP model in a folder {quoted(settings.model)}, which is not here",
            hint="put that folder, or a link to it, where you run this",
        )
    encoder = load_encoder(settings.option, callback, device)
    if encoder.settings.sha256 != settings.sha256:
        raise CorruptError(
            f"the model learned with another {settings.kind} text encoder than the one that is here "
            f"(sha256 {settings.sha256[:12]}, not {encoder.settings.sha256[:12]})",
            hint=encoder.replacement,
        )
    return encoder
