"""Options that several commands share, and the longer ones."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cvae_cli.pictures.files import FORMATS
from cvae_cli.runtime import launch

if TYPE_CHECKING:  # type checkers cannot read the choices from the table of formats
    _Format = str
    _Resample = str
else:
    _Format = Literal[(*FORMATS, "webdataset")]
    _Resample = Literal["nearest", "lanczos"]

Model = Annotated[
    str,
    typer.Option("--model", help="Model to use: a bundled name, a folder, or org/name on the Hub.", metavar="MODEL"),
]
PromptFile = Annotated[
    str | None,
    typer.Option(
        "--from",
        help='File with one prompt per line (in a .jsonl file, {"prompt": ...}), or - for stdin.',
        metavar="FILE",
    ),
]
Format = Annotated[
    _Format | None,
    typer.Option(
        "--format",
        help=f"Write files of this format into the folder of -o: {' or '.join(FORMATS)} for one file per picture, "
        "webdataset for tar files of 1,000. After a stop, the same command goes on.",
        metavar="|".join([*FORMATS, "webdataset"]),
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.", min=0, max=2**32 - 1, metavar="N")]
Temperature = Annotated[
    float,
    typer.Option(
        help="Scale of the noise: below 1 for more likely pictures, above 1 for more varied ones.",
        min=0.0,
        max=100.0,
        metavar="X",
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        help="Guidance scale: 1 samples from the model itself, larger values follow the prompt more closely, and 0 "
        "leaves it to the decoder.  [default: the model's own]",
        min=0.0,
        max=100.0,
        metavar="X",
    ),
]
SameNoise = Annotated[
    bool,
    typer.Option(
        "--same-noise",
        help="Start picture j of every prompt from the same noise, to compare prompts. Otherwise each picture has a "
        "noise of its own, from the seed, its prompt and j.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option("--split", help="Split of the data set.  [default: test, or val if there is none]", metavar="SPLIT"),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder with the published files of the data set, used instead of the cache.", metavar="DIR"),
]
Gpus = Annotated[int | None, typer.Option(help="Share the work among N processes, one GPU each.", min=1, metavar="N")]
Scale = Annotated[
    int | None,
    typer.Option(
        help="Enlarge each picture N times.  [default: 1, or with --labels what they need]", min=1, max=64, metavar="N"
    ),
]
Resample = Annotated[
    _Resample,
    typer.Option(
        help="How --scale enlarges: nearest keeps the pixels as squares, lanczos smooths them.",
        metavar="nearest|lanczos",
    ),
]
Labels = Annotated[bool, typer.Option("--labels", help="Write beside the pictures what they show.")]
ForceBytes = Annotated[bool, typer.Option("--force", help="With -o -, write bytes to a terminal too.")]
Device = Annotated[
    str, typer.Option("--device", help="Device to compute on: auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before removing anything.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only results, warnings and errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def check_models(models: Sequence[str]) -> None:
    """Raise a CvaeError for a model that does not exist, before torch is imported; the Hub is not asked."""
    from cvae_cli.models.pretrained import check_known
    from cvae_cli.models.seeds import seed_runs

    for model in models:
        for each in [str(run) for run in seed_runs(model)] or [model]:
            check_known(each)


def share_work(gpus: int | None, device: str) -> None:
    """If `--gpus` asks for several processes, start them, wait for them, and exit with their exit code.

    In the processes that it starts it does nothing.
    """
    if gpus is not None and gpus > 1 and launch.rank_and_size() == (0, 1):
        launch.check_gpus(gpus, device)
        raise typer.Exit(launch.launch(gpus, sys.argv[1:]))
