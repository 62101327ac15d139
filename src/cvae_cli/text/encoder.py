"""What a text encoder is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from cvae_cli.config.condition import TextCondition
from cvae_cli.events import Callback, ignore


class TextEncoder(ABC):
    """A frozen network from texts to vectors.

    The catalog constructs an encoder as `Class(model, device=device, callback=callback)`. The `model` is what the user
    writes after the encoder's kind and a colon, or None.

    Attributes:
        settings: identifies the encoder in the `config.json` of every model that is trained with it.
        replacement: how a user gets the encoder that a model was trained with, if this one differs.
    """

    settings: TextCondition
    replacement: str = "use the version of cvae-cli that the model was made with"

    @abstractmethod
    def encode(self, texts: Sequence[str], *, callback: Callback = ignore) -> Float[Tensor, "n width"]:
        """Encode each text as a float32 vector on the CPU.

        Raises:
            UsageError: a text is empty, or has no word that the encoder knows.
        """
