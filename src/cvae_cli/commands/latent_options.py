"""The options of `cvae latents` that no other command has, and which of them go together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cvae_cli.data.catalog import names
from cvae_cli.errors import UsageError

Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Model to look into; repeat to compare several, one panel each.", metavar="MODEL"),
]
Out = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--out",
        help="Picture file, DIR/ for a default name in a folder, or - for PNG bytes on stdout. The figure can also be "
        ".svg or .pdf; with --interpolate and --traverse, .gif and .webp are animations.  [default: latents.png]",
        metavar="PATH",
    ),
]
Method = Annotated[
    Literal["tsne", "pca"] | None,
    typer.Option("--method", help="How latents are laid out in a plane.  [default: tsne]", metavar="tsne|pca"),
]
Number = Annotated[
    int | None, typer.Option("-n", help="Number of pictures, chosen by --seed.  [default: 2000]", min=1, metavar="N")
]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help=f"Data set of the pictures: {', '.join(names())}.  [default: the model's own]",
        metavar="DATASET",
    ),
]
Points = Annotated[
    Path | None,
    typer.Option("--points", help="Also write where each picture lies, into this .csv file.", metavar="FILE"),
]
Interpolate = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--interpolate", help="Draw what lies between two prompts, or between two picture files.", metavar="A B"
    ),
]
Traverse = Annotated[
    int | None,
    typer.Option(
        "--traverse",
        help="Draw what changes with number DIM of the latent (of a map: with channel DIM), counted from 0.",
        min=0,
        metavar="DIM",
    ),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        "--label",
        help="What --traverse draws; repeat for a row each.  [default: each class]  With --interpolate, what the two "
        "picture files show.",
        metavar="TEXT",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", help="Pictures in a row.  [default: 9, in an animation 25]", min=2, max=1000, metavar="N"),
]


def check_choices(
    ways: dict[str, Any],
    models: Sequence[str],
    prompts: Sequence[str],
    of_figure: dict[str, Any],
    of_strip: dict[str, Any],
) -> None:
    """Raise a UsageError for options that do not go together.

    Args:
        ways: `--interpolate` and `--traverse` with their values, of which one may be given; then a strip is drawn.
        of_figure, of_strip: the options that only the figure, or only a strip, has, with their values.
    """
    given = [option for option, value in ways.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"give either {' or '.join(given)}")
    for option, value in (of_figure if given else of_strip).items():
        if value not in (None, False, []):
            place = f"the figure, without {given[0]}" if given else " and ".join(ways)
            raise UsageError(f"{option} is for {place}")
    if given and len(models) > 1:
        raise UsageError(f"{given[0]} is for one model, not {len(models)}")
    if given == ["--interpolate"] and len(prompts) > 1:
        raise UsageError("--interpolate takes one --prompt, which says what its pictures show")
