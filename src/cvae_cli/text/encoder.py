"""What a text encoder is to the rest of the program."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from cvae_cli.config.model import TextCondition
from cvae_cli.events import Callback, ignore


class TextEncoder(ABC):
    """A frozen network from texts to vectors.

    Attributes:
        settings: its identity, as it stands in the `config.json` of every model that learned with it.
    """

    settings: TextCondition

    @abstractmethod
    def encode(self, texts: Sequence[str], *, callback: Callback = ignore) -> Float[Tensor, "n width"]:
        """A float32 vector a text, on the CPU.

        Raises:
            UsageError: a text is empty, or has nothing in it that the encoder knows.
        """
