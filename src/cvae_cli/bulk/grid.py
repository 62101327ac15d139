"""Generate pictures for a few prompts, side by side on one sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from cvae_cli.bulk.sampling import Sampling, make_prompts, prompt_conditions, sample_pictures
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.cvae import Source, check_sampling, load_model
from cvae_cli.pictures.files import png_bytes
from cvae_cli.pictures.grid import grid
from cvae_cli.text.prompts import Prompts


@dataclass(frozen=True)
class Grid:
    """Pictures side by side.

    Attributes:
        sheet: the pictures, row by row.
        size: the width and height of one picture, in pixels.
        prompts: what the pictures show, in order.
        n: pictures per prompt.
        metadata: how the pictures were made.
    """

    sheet: Image.Image
    size: int
    prompts: list[str]
    n: int
    metadata: dict[str, Any]

    @property
    def pictures(self) -> int:
        """The number of all pictures."""
        return len(self.prompts) * self.n

    @property
    def text(self) -> dict[str, Any]:
        """What the sheet's file says: the prompts, one a line, and how the pictures were made."""
        return {"prompt": "\n".join(self.prompts), "n": self.n, "pictures": self.pictures, **self.metadata}

    def png(self) -> bytes:
        """The sheet as a PNG file, with its text inside."""
        return png_bytes(self.sheet, self.text)


def generate_grid(
    model: Source,
    prompts: Prompts | str | Sequence[str],
    *,
    n: int = 1,
    columns: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    guidance: float | None = None,
    device: str = "auto",
    callback: Callback = ignore,
) -> Grid:
    """Generate `n` pictures for each prompt, and lay them out on one sheet.

    Args:
        model: a bundled name, a folder, `org/name` on the Hub, or a model in memory.
        n: pictures per prompt.
        columns: pictures per row. By default one row per prompt, or about as many columns as rows for one prompt.
        seed, temperature, guidance: see `CVAE.sample`.
        device: see `pick_device`.
        callback: receives the progress, and notices about prompts.

    Raises:
        UsageError: no such model, or the model cannot use a prompt or the guidance.
    """
    check_sampling(n=n)
    wanted = list(make_prompts(prompts))
    model = load_model(model, device=device, callback=callback)
    model.prior.check_guidance(guidance)
    sampling = Sampling(seed, temperature, guidance)
    total = len(wanted) * n
    conditions = prompt_conditions(model, wanted, callback)
    pictures: list[Image.Image] = []
    callback(Progress("drawing", 0, total))
    for batch in sample_pictures(model, conditions, n, sampling, range(total)):
        pictures += batch
        callback(Progress("drawing", len(pictures), total))
    sheet = grid(pictures, columns=columns or (n if len(wanted) > 1 else None))
    size = model.config.image.size
    return Grid(sheet, size, [prompt.text for prompt in wanted], n, sampling.metadata(model))
