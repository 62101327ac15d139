"""`cvae evaluate`: the scores of models in one table."""

from typing import Annotated, Literal

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.data.catalog import check_known, names
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.paths import DEFAULT_MODEL

EPILOG = """\b
Examples:
  cvae evaluate
  cvae evaluate --metric fid
  cvae evaluate --model fashion --model runs/fashion-concat --metric mse --metric ssim
  cvae evaluate --model fashion --metric fid-fashion --json > scores.json
  cvae evaluate --metric clip-score --metric retrieval --samples 1000
In a pipe, each line has a metric, a tab and its value; with several models, also a tab and the model.
"""


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Model to measure: a bundled name, a folder, or org/name on the Hub; repeat to compare several.",
            metavar="MODEL",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help=f"{catalog.listing()}; repeat for several.", metavar="METRIC"),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help=f"Data set to measure on: {', '.join(names())}.  [default: the model's own]", metavar="NAME"),
    ] = None,
    split: options.Split = None,
    samples: Annotated[
        int | None, typer.Option(help="Measure on N pictures only, chosen at random by the seed.", min=1, metavar="N")
    ] = None,
    seed: options.Seed = 0,
    temperature: options.Temperature = 1.0,
    guidance: options.Guidance = None,
    reconstruction: Annotated[
        Literal["sample", "mean"],
        typer.Option(help="Reconstruct from a sample of the posterior, as in the article, or from its mean."),
    ] = "sample",
    k: Annotated[int, typer.Option("--k", help="Posterior samples per picture for iwae.", min=1, metavar="N")] = 64,
    clip: Annotated[
        str | None,
        typer.Option(
            help="CLIP model for clip-score and retrieval: ARCHITECTURE/TAG as open_clip names them, or a folder.  "
            "[default: OpenAI's ViT-B/32]",
            metavar="MODEL",
        ),
    ] = None,
    data_dir: options.DataDir = None,
    gpus: options.Gpus = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure models. Metrics judge reconstructions, the variational bound or samples."""
    console.configure(json=json, quiet=quiet, debug=debug)
    # Wrong names are said before torch is imported.
    catalog.check_names(metrics or [])
    if dataset is not None:
        check_known(dataset)
    options.check_models(models or [])
    options.share_work(gpus, device)

    with console.events("evaluating") as callback:
        from cvae_cli.evaluation import report
        from cvae_cli.evaluation.evaluate import evaluate as run

        evaluation = run(
            models or DEFAULT_MODEL,
            metrics=metrics,
            dataset=dataset,
            split=split,
            samples=samples,
            seed=seed,
            temperature=temperature,
            guidance=guidance,
            reconstruction=reconstruction,
            k=k,
            clip=clip,
            data_dir=data_dir,
            device=device,
            callback=callback,
        )
    console.table(
        evaluation.to_dict(),
        columns=report.columns(evaluation),
        rows=report.rows(evaluation),
        plain=report.plain_rows(evaluation),
        footer=report.footer(evaluation),
        warnings=report.caveats(evaluation.models, evaluation.metrics),
    )
