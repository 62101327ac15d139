"""Generate pictures for a few prompts, side by side on one sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from cvae_cli.bulk.sampling import Sampling, make_prompts, note_repeats, prompt_conditions, sample_pictures
from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.cvae import Source, load_model
from cvae_cli.models.sampling import check_sampling
from cvae_cli.pictures.files import png_bytes
from cvae_cli.pictures.grid import Labels, check_enlargement, check_sheet, enlarge, grid, readable_scale
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
    scale: int | None = None,
    resample: str = "nearest",
    labels: bool = False,
    seed: int = 0,
    temperature: float = 1.0,
    guidance: float | None = None,
    same_noise: bool = False,
    device: str = "auto",
    callback: Callback = ignore,
) -> Grid:
    """Generate `n` pictures for each prompt, and lay them out on one sheet.

    Args:
        model: a bundled name, a folder, `org/name` on the Hub, or a model in memory.
        n: pictures per prompt.
        columns: pictures per row. By default one row per prompt, or about as many columns as rows for one prompt.
        scale: how many times as wide and as high each picture is on the sheet; by default 1, or with labels as much as
            they need.
        resample: how pictures are enlarged: `nearest` keeps their pixels as squares, `lanczos` smooths them.
        labels: write the prompts beside the rows; or above them, if there is one prompt, or if rows are mixed.
        seed, temperature, guidance, same_noise: see `CVAE.sample`. Further equal prompts get further pictures.
        device: see `pick_device`.
        callback: receives the progress, and notices about prompts.

    Raises:
        UsageError: no such model, or the model cannot use a prompt or the guidance; or the sheet would be too large.
    """
    check_sampling(n=n)
    check_enlargement(scale, resample)
    if columns is not None and columns < 1:
        raise UsageError(f"columns must be at least 1, not {columns}")
    given = make_prompts(prompts)
    wanted = list(given)
    model = load_model(model, device=device, callback=callback)
    model.prior.check_guidance(guidance)
    sampling = Sampling(seed, temperature, guidance, same_noise)
    total = len(wanted) * n
    size = model.config.image.size
    scale = scale or (readable_scale(size) if labels else 1)
    columns = columns or (n if len(wanted) > 1 else None)
    check_sheet(total, columns, scale * size)
    conditions = prompt_conditions(model, wanted, callback)
    note_repeats(given, sampling, callback)
    pictures: list[Image.Image] = []
    callback(Progress("drawing", 0, total))
    for batch in sample_pictures(model, wanted, conditions, n, sampling, range(total)):
        pictures += (enlarge(picture, scale, resample) for picture in batch)
        callback(Progress("drawing", len(pictures), total))
    texts = [prompt.text for prompt in wanted]
    sheet = grid(pictures, columns=columns, labels=_labels(texts, n, columns) if labels else None)
    enlarged = {"scale": scale, "resample": resample} if scale > 1 else {}
    return Grid(sheet, size, texts, n, sampling.metadata(model) | enlarged)


def _labels(prompts: list[str], n: int, columns: int | None) -> Labels:
    """Where the prompts are written."""
    if len(prompts) == 1 or columns is None:
        return Labels(title=prompts[0])
    if n % columns == 0:  # each prompt has whole rows
        return Labels(rows=[text for prompt in prompts for text in [prompt, *[""] * (n // columns - 1)]])
    return Labels(pictures=[prompt for prompt in prompts for _ in range(n)])
