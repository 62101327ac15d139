"""The options of `cvae train` that take more than a line."""

from pathlib import Path
from typing import Annotated

import typer

from cvae_cli.data.catalog import names
from cvae_cli.text.catalog import encoder_options

Recipe = Annotated[
    str | None,
    typer.Argument(help="A recipe (see --list), a .toml file, folder:PATH or webdataset:PATTERN.", metavar="RECIPE"),
]
Resume = Annotated[Path | None, typer.Option(help="Resume the run in this folder.", metavar="RUN")]
Data = Annotated[
    str | None,
    typer.Option(help=f"Data set to train on instead of the recipe's: {', '.join(names())}.", metavar="DATASET"),
]
Condition = Annotated[
    str | None,
    typer.Option(
        "--condition",
        help=f"Condition of the model: labels, or captions through a text encoder ({', '.join(encoder_options())}).",
        metavar="CONDITION",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(help="Passes over the training pictures; scales further stages too.", metavar="N", min=1),
]
Minutes = Annotated[
    float | None,
    typer.Option(help="Minutes to train for, all stages together, in place of --epochs.", metavar="M"),
]
Limit = Annotated[int | None, typer.Option(help="Use only N pictures, some of each class.", metavar="N", min=1)]
Stream = Annotated[
    bool,
    typer.Option("--stream", help="Read shards (webdataset:PATTERN) while training; nothing is prepared in the cache."),
]
Beta = Annotated[float | None, typer.Option(help="Weight of the rate (KL); 1 is the true bound.", metavar="X", min=0.0)]
Seed = Annotated[int | None, typer.Option(help="Seed of all random numbers.", metavar="N", min=0, max=2**32 - 1)]
Seeds = Annotated[
    int | None,
    typer.Option(
        help="Train with N seeds, --seed and the ones after it, in OUT/seed-0 and so on. After a stop, the "
        "same command goes on.",
        metavar="N",
        min=1,
    ),
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="Precision: auto, fp32 or bf16.", metavar="PRECISION")
]
Prior = Annotated[
    str | None,
    typer.Option(
        "--prior",
        help="Fit a prior in a second stage: flow or score; none leaves out the recipe's own.",
        metavar="PRIOR",
    ),
]
Tune = Annotated[
    str | None,
    typer.Option(
        help="Train on only a part of the model of --model: network, decoder, prior, guidance or steps.", metavar="PART"
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Finished model to fit a --prior to, to --tune, or to start from with a folder of pictures.",
        metavar="MODEL",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change any other setting of the recipe; repeat for several.", metavar="KEY=VALUE"),
]
Log = Annotated[
    str | None,
    typer.Option(
        "--log",
        help='Log for TensorBoard too: "tensorboard" writes event files to tensorboard/ in the run (install '
        '"cvae-cli[tensorboard]").',
        metavar="LOG",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Look at the data, show the settings and what would be done, and stop.")
]
