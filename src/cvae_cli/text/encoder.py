"""What a text encoder is to the rest of the program, and which there are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.config import ClipCondition, StaticCondition, TextCondition
from cvae_cli.download import Report
from cvae_cli.errors import CorruptError, UsageError, did_you_mean

Notice = Callable[[str], None]
"""Told what in a prompt has no effect, or not the expected one, a sentence at a time."""

KINDS = ("static", "clip")


class TextEncoder(ABC):
    """A frozen network from texts to vectors.

    Attributes:
        settings: its identity, as it stands in the `config.json` of every model that learned with it.
    """

    settings: TextCondition

    @abstractmethod
    def encode(self, texts: Sequence[str], *, notice: Notice = lambda text: None) -> Float[Tensor, "n width"]:
        """A float32 vector a text, on the CPU.

        Raises:
            UsageError: a text is empty, or has nothing in it that the encoder knows.
        """


def find_encoder(
    name: str, report: Report = lambda here, total: None, device: torch.device | None = None
) -> TextEncoder:
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

        return ClipEncoder(model or None, device=device, report=report)
    raise UsageError(
        f'no text encoder "{name}".{did_you_mean(name, list(KINDS))}',
        hint="text encoders: static, clip, clip:ARCHITECTURE/TAG, clip:FOLDER",
    )


def same_encoder(
    settings: TextCondition, report: Report = lambda here, total: None, device: torch.device | None = None
) -> TextEncoder:
    """The encoder that a model learned with.

    Raises:
        MissingError: it is not here.
        CorruptError: what is here under its name is another.
    """
    match settings:
        case StaticCondition():
            encoder = find_encoder("static")
        case ClipCondition():
            encoder = find_encoder(f"clip:{settings.model}", report, device)
    if encoder.settings.sha256 != settings.sha256:
        raise CorruptError(
            f"the model learned with another {settings.kind} text encoder than the one that is here "
            f"(sha256 {settings.sha256[:12]}, not {encoder.settings.sha256[:12]})",
            hint="use the version of cvae-cli that it was made with"
            if settings.kind == "static"
            else f"put the encoder it learned with at {settings.model}",
        )
    return encoder
