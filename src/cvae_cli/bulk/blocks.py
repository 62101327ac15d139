"""Prompts to conditions to pictures, some at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from cvae_cli.errors import UsageError
from cvae_cli.models import CVAE
from cvae_cli.models.condition import Condition
from cvae_cli.pictures import to_pil
from cvae_cli.prompts import Prompt
from cvae_cli.text.encoder import Notice

_DRAWN = 64  # pictures at a time: some of the model's chunks, and a moment's wait after Ctrl-C


def understand(network: CVAE, prompts: Sequence[Prompt], notice: Notice = lambda text: None) -> Condition:
    """See `CVAE.condition`; a UsageError says in which line of a file the prompt stands."""
    try:
        return network.condition([prompt.text for prompt in prompts], notice=notice)
    except UsageError:
        for prompt in prompts:
            try:
                network.condition([prompt.text])
            except UsageError as error:
                place = f"{prompt.place}: " if prompt.place else ""
                raise UsageError(place + error.message, hint=error.hint) from error
        raise


def in_blocks(
    network: CVAE, conditions: Condition, n: int, sampling: dict[str, Any], wanted: range
) -> Iterator[list[Image.Image]]:
    """Some at a time, the `wanted` of all pictures: `n` for each condition, condition by condition."""
    for start in range(0, len(wanted), _DRAWN):
        rows, samples = zip(*(divmod(number, n) for number in wanted[start : start + _DRAWN]), strict=True)
        yield to_pil(network.sample(conditions[list(rows)], indices=samples, **sampling))
