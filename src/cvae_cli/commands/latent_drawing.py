"""What `cvae latents` draws: the figure of latent spaces, or a strip of pictures."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cvae_cli import console
from cvae_cli.commands.output import Output
from cvae_cli.errors import UsageError
from cvae_cli.paths import check_writable, write_text
from cvae_cli.pictures.animation import encode_animation, is_animated
from cvae_cli.pictures.figure import check_figure_ending, encode_figure
from cvae_cli.pictures.files import encode_picture
from cvae_cli.pictures.kinds import AVIF, HEIF, PILLOW
from cvae_cli.text.prompts import slug

_STEPS, _STEPS_OF_ANIMATION = 9, 25


def draw_spaces(
    models: Sequence[str], out: str | None, points: Path | None, *, force: bool, json: bool, **settings: Any
) -> None:
    """Draw the figure, write it and the points, and show how well the classes are read."""
    output = Output(out, force=force, json=json, check=check_figure_ending)
    if points is not None:
        _check_points(points, out)
    with console.events("computing latents") as callback:
        from cvae_cli.evaluation.latents import latent_spaces

        spaces = latent_spaces(models, callback=callback, **settings)
        sheet = spaces.figure()
        path = output.write_encoded(lambda path: encode_figure(sheet, path, spaces.text), stem="latents")
        if points is not None:
            write_text(points, spaces.csv())
    rows = [[space.label, "-" if space.probe is None else f"{space.probe.accuracy:.4f}"] for space in spaces.spaces]
    if path is None:  # stdout has the picture
        for name, accuracy in rows:
            console.note(f"{name}: linear probe {accuracy}")
        return
    if not output.has_name and not console.is_terminal():
        console.note(f"figure in {path}")
    chance = next((f" · chance {space.probe.chance:.3f}" for space in spaces.spaces if space.probe), "")
    console.table(
        {"file": str(path), "points": None if points is None else str(points), **spaces.to_dict()},
        columns=["model", "linear probe ↑"],
        rows=rows,
        footer=f"{path}   {spaces.title} · seed {spaces.seed}{chance}",
    )


def draw_strip(
    model: str,
    out: str | None,
    interpolate: tuple[str, str] | None,
    traverse: int | None,
    prompts: Sequence[str],
    *,
    steps: int | None,
    look: dict[str, Any],
    force: bool,
    json: bool,
    **settings: Any,
) -> None:
    """Draw pictures along a way through the latent space, and write a strip or an animation.

    Args:
        look: how the sheet is made; see `Strip.sheet`.
    """
    output = Output(out, force=force, json=json)
    is_moving = output.has_name and is_animated(Path(str(out)))
    settings["steps"] = steps or (_STEPS_OF_ANIMATION if is_moving else _STEPS)
    with console.events("drawing") as callback:
        from cvae_cli.bulk.strip import interpolation, traversal

        settings["callback"] = callback
        if interpolate is not None:
            start, end = map(_end, interpolate)
            strip = interpolation(model, start, end, prompt=next(iter(prompts), None), **settings)
            stem = slug(f"{Path(start).stem} to {Path(end).stem}")
        else:
            assert traverse is not None
            strip = traversal(model, traverse, prompts, **settings)
            stem = f"traverse-{traverse}"
        if is_moving:
            frames = strip.frames(**look)
            path = output.write_encoded(lambda path: encode_animation(frames, path, strip.metadata), stem=stem)
        else:
            sheet = strip.sheet(**look)
            path = output.write_encoded(lambda path: encode_picture(sheet, path, strip.metadata), stem=stem)
    if path is not None:
        console.result({"file": str(path), **strip.metadata}, None if output.has_name else str(path))


def _end(text: str) -> str | Path:
    """Return an end of an interpolation: the path of a picture, known by its ending or its folder, or a prompt."""
    is_named = Path(text).suffix.lower() in PILLOW | AVIF | HEIF
    return Path(text) if is_named or (os.sep in text and os.path.isfile(text)) else text


def _check_points(points: Path, out: str | None) -> None:
    """Raise a UsageError if the points cannot be written."""
    if points.suffix.lower() != ".csv":
        raise UsageError(f"{points} does not end in .csv", hint="for example:  --points points.csv")
    check_writable(points)
