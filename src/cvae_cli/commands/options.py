"""Options that several commands share."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cvae_cli.runtime import launch

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0, max=2**32 - 1)]
Temperature = Annotated[
    float, typer.Option(help="Scale of the noise: below 1 likelier, above 1 wilder.", min=0.0, max=100.0)
]
Guidance = Annotated[
    float | None,
    typer.Option(
        help="How far samples are driven towards the prompt: 1 is the model itself.  [default: the model's own]",
        min=0.0,
        max=100.0,
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(help="A folder with the data set's published files, instead of the cache.")
]

Gpus = Annotated[
    int | None, typer.Option(help="So many processes share the work, a GPU each, as torchrun would start them.", min=1)
]

DEFAULT_MODEL = "scenes"


def share_work(gpus: int | None, device: str) -> None:
    """Where several processes are asked for, start them and end with them; each of them passes here and goes on."""
    if gpus is not None and gpus > 1 and launch.rank_and_size() == (0, 1):
        launch.check_gpus(gpus, device)
        raise typer.Exit(launch.launch(gpus, sys.argv[1:]))


def free_name(stem: str) -> Path:
    """`stem.png`, or the first of `stem-2.png`, `stem-3.png`, ... that does not exist: a default overwrites nothing."""
    path = Path(f"{stem}.png")
    number = 2
    while path.exists():
        path = Path(f"{stem}-{number}.png")
        number += 1
    return path
