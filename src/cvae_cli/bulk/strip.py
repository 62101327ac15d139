"""Strips of pictures that change step by step: from one end to another, or along one number of the latent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from cvae_cli.bulk.sampling import Sampling
from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, Event, Progress, ignore
from cvae_cli.models.cvae import Source, load_model
from cvae_cli.pictures.grid import Labels, check_enlargement, check_sheet, enlarge, grid, readable_scale


@dataclass(frozen=True)
class Strip:
    """Rows of pictures.

    Attributes:
        rows: the pictures of each row, all of the same number and size.
        names: what each row shows.
        metadata: how the pictures were made.
    """

    rows: list[list[Image.Image]]
    names: list[str]
    metadata: dict[str, Any]

    def sheet(self, *, scale: int | None = None, resample: str = "nearest", labels: bool = False) -> Image.Image:
        """Return all pictures side by side, row by row.

        Args:
            scale, resample: how pictures are enlarged, see `generate_grid`.
            labels: write beside the rows what they show; above them if there is one.

        Raises:
            UsageError: no such way to enlarge pictures, or the sheet would be too large.
        """
        return self._lay_out(range(len(self.rows[0])), scale, resample, labels)

    def frames(self, *, scale: int | None = None, resample: str = "nearest", labels: bool = False) -> list[Image.Image]:
        """Return the pictures of each step below each other, for an animation; for arguments see `sheet`."""
        return [self._lay_out(range(step, step + 1), scale, resample, labels) for step in range(len(self.rows[0]))]

    def _lay_out(self, steps: range, scale: int | None, resample: str, labels: bool) -> Image.Image:
        check_enlargement(scale, resample)
        size = self.rows[0][0].width
        scale = scale or (readable_scale(size) if labels else 1)
        check_sheet(len(self.rows) * len(steps), len(steps), scale * size)
        pictures = [enlarge(row[step], scale, resample) for row in self.rows for step in steps]
        beside = Labels(title=self.names[0]) if len(self.names) == 1 else Labels(rows=self.names)
        return grid(pictures, columns=len(steps), labels=beside if labels else None)


def interpolation(
    model: Source,
    start: str | Path,
    end: str | Path,
    *,
    prompt: str | None = None,
    steps: int = 9,
    seed: int = 0,
    temperature: float = 1.0,
    guidance: float | None = None,
    device: str = "auto",
    callback: Callback = ignore,
) -> Strip:
    """Return one row of pictures from one prompt or picture to another; see `CVAE.interpolate`."""
    model = load_model(model, device=device, callback=callback)
    sampling = Sampling(seed, temperature, guidance)
    callback(Progress("drawing", 0, None))
    pictures = model.interpolate(
        start,
        end,
        steps=steps,
        prompt=prompt,
        seed=seed,
        temperature=temperature,
        guidance=guidance,
        callback=callback,
    )
    ends = {"from": str(start), "to": str(end), "steps": steps}
    return Strip([pictures], [f"{start} - {end}"], ends | sampling.metadata(model))


def traversal(
    model: Source,
    dim: int,
    prompts: Sequence[str] = (),
    *,
    steps: int = 9,
    seed: int = 0,
    temperature: float = 1.0,
    guidance: float | None = None,
    device: str = "auto",
    callback: Callback = ignore,
) -> Strip:
    """Return a row of pictures along number `dim` of the latent for each prompt; see `CVAE.traverse`.

    Args:
        prompts: what the rows show; by default each class of the model.
    """
    model = load_model(model, device=device, callback=callback)
    sampling = Sampling(seed, temperature, guidance)
    names = list(prompts) or _default_prompts(model)
    rows = []
    for number, name in enumerate(names):
        callback(Progress("drawing", number, len(names)))
        rows.append(
            model.traverse(
                dim,
                name or None,
                steps=steps,
                seed=seed,
                temperature=temperature,
                guidance=guidance,
                callback=_of_row(number, len(names), callback),
            )
        )
    return Strip(rows, names, {"dim": dim, "prompt": "\n".join(names), "steps": steps} | sampling.metadata(model))


def _of_row(number: int, rows: int, callback: Callback) -> Callback:
    """Return a callback for the progress of one row, which passes on that of all rows."""

    def call(event: Event) -> None:
        if isinstance(event, Progress) and event.total:
            event = replace(event, done=number + event.done / event.total, total=rows)
        callback(event)

    return call


_MAX_CLASSES = 20  # rows that are drawn where no prompt is named


def _default_prompts(model: Any) -> list[str]:
    """Return each class; of a model without a condition, nothing."""
    if not model.is_conditional:
        return [""]
    condition = model.config.condition
    if condition.kind != "labels":
        raise UsageError("say what to draw", hint='for example:  --prompt "two dogs on a beach"')
    names: list[str] = condition.names
    if len(names) > _MAX_CLASSES:
        raise UsageError(f"{model.called} has {len(names)} classes", hint="choose some:  --prompt CLASS")
    return names
