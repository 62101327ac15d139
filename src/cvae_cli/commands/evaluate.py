"""`cvae evaluate`: the scores of models, or of sets of pictures, in one table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvae_cli import console
from cvae_cli.commands import evaluate_options, options
from cvae_cli.data.catalog import check_known
from cvae_cli.errors import UsageError
from cvae_cli.evaluation import gates
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.paths import DEFAULT_MODEL

if TYPE_CHECKING:
    from cvae_cli.evaluation.result import Evaluation, SetEvaluation

EPILOG = """\b
Examples:
  cvae evaluate
  cvae evaluate --metric fid
  cvae evaluate --model fashion --model runs/fashion-concat --metric mse --metric ssim
  cvae evaluate --model fashion --metric fid-fashion --json > scores.json
  cvae evaluate --metric clip-score --metric retrieval --samples 1000
  cvae evaluate --model fashion --fail-if "fid-fashion>10" --fail-if "accuracy<0.9"
In a pipe, each line has a metric, a tab and its value; with several models, also a tab and the model.
"""


def evaluate(
    models: evaluate_options.Models = None,
    metrics: evaluate_options.Metrics = None,
    dataset: evaluate_options.Dataset = None,
    split: options.Split = None,
    samples: evaluate_options.Samples = None,
    seed: options.Seed = 0,
    temperature: options.Temperature = 1.0,
    guidance: options.Guidance = None,
    reconstruction: evaluate_options.Reconstruction = "sample",
    k: evaluate_options.K = 64,
    clip: evaluate_options.Clip = None,
    fail_if: evaluate_options.FailIf = None,
    data_dir: options.DataDir = None,
    gpus: options.Gpus = None,
    device: options.Device = "auto",
    json: options.Json = False,
    csv: evaluate_options.Csv = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure models. Metrics judge reconstructions, the variational bound or samples."""
    console.configure(json=json, quiet=quiet, debug=debug)
    if json and csv:
        raise UsageError("give either --json or --csv: stdout has one of them")
    # Wrong names are said before torch is imported.
    catalog.check_names(metrics or [])
    conditions = gates.parse_gates(fail_if or [])
    if dataset is not None:
        check_known(dataset)
    options.check_models(models or [])
    options.share_work(gpus, device)

    with console.events("evaluating") as callback:
        from cvae_cli.evaluation.evaluate import evaluate as run

        for text in gates.doubts(conditions):
            console.warn(text)
        evaluation = run(
            models or DEFAULT_MODEL,
            metrics=gates.measured_names(metrics or [], conditions),
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
    _show(evaluation, conditions, csv=csv)
    gates.check_gates(evaluation, conditions)


def _show(evaluation: "Evaluation | SetEvaluation", conditions: Sequence[gates.Gate], *, csv: bool) -> None:
    from cvae_cli.evaluation import report

    warnings = report.caveats(evaluation.measured, evaluation.metrics)
    if csv:
        for text in warnings:
            console.warn(text)
        return console.result(None, report.csv_lines(evaluation))
    return console.table(
        {**evaluation.to_dict(), **gates.results(evaluation, conditions)},
        columns=report.columns(evaluation),
        rows=report.rows(evaluation),
        plain=report.plain_rows(evaluation),
        footer=report.footer(evaluation),
        warnings=warnings,
    )
