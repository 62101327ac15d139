"""Prompts to conditions to pictures, some at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, ignore
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures.grid import to_pil
from cvae_cli.text.prompts import Prompt

_DRAWN = 64  # pictures at a time: some of the model's chunks, and a moment's wait after Ctrl-C


def prompt_conditions(network: CVAE, prompts: Sequence[Prompt], callback: Callback = ignore) -> Condition:
    """See `CVAE.condition`; a UsageError says in which line of a file the prompt stands."""
    try:
        return network.condition([prompt.text for prompt in prompts], callback=callback)
    except UsageError:
        for prompt in prompts:
            try:
                network.condition([prompt.text])
            except UsageError as error:
                place = f"{prompt.place}: " if prompt.place else ""
                raise UsageError(place + error.message, hint=error.hint) from error
        raise


def sample_pictures(
    network: CVAE, conditions: Condition, n: int, sampling: dict[str, Any], wanted: range
) -> Iterator[list[Image.Image]]:
    """Some at a time, the `wanted` of all pictures: `n` for each condition, condition by condition."""
    for start in range(0, len(wanted), _DRAWN):
        rows, samples = zip(*(divmod(number, n) for number in wanted[start : start + _DRAWN]), strict=True)
        yield to_pil(network.sample(conditions[list(rows)], indices=samples, **sampling))
