"""The options of `cvae evaluate` that take more than a line."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cvae_cli.data.catalog import names
from cvae_cli.evaluation.features import LISTING as FEATURES
from cvae_cli.evaluation.metrics import catalog

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Model to measure: a bundled name, a folder, or org/name on the Hub; repeat to compare several. "
        "Of a folder that --seeds has made, the mean and standard deviation of its runs.",
        metavar="MODEL",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help=f"{catalog.listing()}; repeat for several. {', '.join(catalog.ON_FEATURES)} take other features as "
        f"METRIC:FEATURES, of {FEATURES}. {', '.join(catalog.GROUPS)} stand for all metrics, or those of one kind, "
        "that can be computed.",
        metavar="METRIC",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help=f"Data set to measure on: {', '.join(names())}.  [default: the model's own]",
        metavar="DATASET",
    ),
]
_PICTURES = (
    "a folder of pictures of any kind and size, .tar shards (a file or their folder), or a data set with --split"
)
Generated = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Measure these pictures against --real, without a model: {_PICTURES}; repeat to compare several.",
        metavar="PICTURES",
    ),
]
Real = Annotated[
    str | None, typer.Option(help="The real pictures for --generated, named in the same ways.", metavar="PICTURES")
]
Reference = Annotated[
    Path | None,
    typer.Option(
        help="File with the statistics of the real pictures: read and verified if it exists (then --real is not "
        "needed), and written otherwise. A .npz of pytorch-fid (mu and sigma) can be read for fid.",
        metavar="FILE",
    ),
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        help='Exit with code 7 if this is true of a score, as in "fid>60" (with the quotes); repeat for several. '
        "These metrics are measured too.",
        metavar="RULE",
    ),
]
Repeats = Annotated[
    int,
    typer.Option(help="Mean and standard deviation over N seeds: --seed and the ones after it.", min=1, metavar="N"),
]
Samples = Annotated[
    int | None, typer.Option(help="Measure on N pictures only, chosen at random by the seed.", min=1, metavar="N")
]
Reconstruction = Annotated[
    Literal["sample", "mean"],
    typer.Option(
        help="Reconstruct from a sample of the posterior, as in the article, or from its mean.", metavar="sample|mean"
    ),
]
K = Annotated[int, typer.Option("--k", help="Posterior samples per picture for iwae.", min=1, metavar="N")]
Clip = Annotated[
    str | None,
    typer.Option(
        "--clip",
        help="CLIP model for clip-score and retrieval: ARCHITECTURE/TAG as open_clip names them, or a folder.  "
        "[default: OpenAI's ViT-B/32]",
        metavar="CLIP",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        help="Write a page of HTML too, in one file: the table, samples, reconstructions, the latent space and the "
        "loss curves of runs.",
        metavar="FILE",
    ),
]
Card = Annotated[
    bool,
    typer.Option(
        "--card",
        help="Write the scores into the card of each model too: README.md in its folder, with their protocol.",
    ),
]
Csv = Annotated[
    bool,
    typer.Option("--csv", help="Print the result as CSV on stdout, a line for each score with its protocol."),
]
