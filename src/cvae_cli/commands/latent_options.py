"""The options of `cvae latents` that no other command has."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cvae_cli.data.catalog import names

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
    typer.Option("--method", help="How latents are laid out in a plane.  [default: tsne]"),
]
Number = Annotated[
    int | None, typer.Option("-n", help="Number of pictures, chosen by --seed.  [default: 2000]", min=1, metavar="N")
]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help=f"Data set of the pictures: {', '.join(names())}.  [default: the model's own]",
        metavar="NAME",
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
