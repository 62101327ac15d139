"""`cvae evaluate`: the scores of models, or of sets of pictures, in one table."""

from typing import TYPE_CHECKING, Any

from cvae_cli import console
from cvae_cli.commands import evaluate_options, options
from cvae_cli.commands.evaluate_checks import check_sets, check_written
from cvae_cli.commands.evaluated import show, write_cards, write_report
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
  cvae evaluate --model fashion --model runs/fashion-concat --metric mse --metric ssim
  cvae evaluate --model fashion --metric fid-fashion --json > scores.json
  cvae evaluate --metric clip-score --metric retrieval --samples 1000
  cvae evaluate --model runs/photos --metric precision --metric recall --metric frechet:clip
  cvae evaluate --model fashion --metric samples --repeats 5
  cvae evaluate --model fashion --model runs/fashion-concat --report report.html
  cvae evaluate --model runs/fashion-concat --card
  cvae evaluate --model fashion --fail-if "fid-fashion>10" --fail-if "accuracy<0.9"
  cvae evaluate --real photos/ --generated samples/ --metric fid
  cvae evaluate --real coco --generated shards/ --metric fid --reference coco.safetensors

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
    repeats: evaluate_options.Repeats = 1,
    real: evaluate_options.Real = None,
    generated: evaluate_options.Generated = None,
    reference: evaluate_options.Reference = None,
    fail_if: evaluate_options.FailIf = None,
    report: evaluate_options.Report = None,
    card: evaluate_options.Card = False,
    data_dir: options.DataDir = None,
    gpus: options.Gpus = None,
    device: options.Device = "auto",
    json: options.Json = False,
    csv: evaluate_options.Csv = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure models, or sets of pictures. Metrics judge reconstructions, the variational bound or samples."""
    console.configure(json=json, quiet=quiet, debug=debug)
    if json and csv:
        raise UsageError("give either --json or --csv: both write to stdout")
    catalog.check_names(metrics or [], groups=True)  # wrong names are said before torch is imported
    conditions = gates.parse_gates(fail_if or [])
    if dataset is not None:
        check_known(dataset)
    of_model = {
        "--model": models,
        "--dataset": dataset,
        "--temperature": temperature != 1.0,
        "--guidance": guidance is not None,
        "--reconstruction": reconstruction != "sample",
        "--k": k != 64,
        "--repeats": repeats != 1,
        "--report": report is not None,
        "--card": card,
    }
    check_sets(generated, real, reference, of_model=of_model, split=split)
    options.check_models(models or [])
    check_written(report, card, models or [DEFAULT_MODEL])
    options.share_work(gpus, device)
    names = gates.measured_names(metrics or [], conditions)
    shared: dict[str, Any] = {"metrics": names, "split": split, "samples": samples, "seed": seed, "clip": clip}
    shared |= {"data_dir": data_dir, "device": device}
    evaluation: Evaluation | SetEvaluation
    with console.events("evaluating") as callback:
        from cvae_cli.evaluation.evaluate import evaluate as run
        from cvae_cli.evaluation.result import StoppedEvaluationError
        from cvae_cli.evaluation.sets import evaluate_sets

        for text in gates.doubts(conditions):
            console.warn(text)
        try:
            if generated:
                evaluation = evaluate_sets(real, generated, reference=reference, callback=callback, **shared)
            else:
                evaluation = run(
                    models or DEFAULT_MODEL,
                    dataset=dataset,
                    temperature=temperature,
                    guidance=guidance,
                    reconstruction=reconstruction,
                    k=k,
                    repeats=repeats,
                    callback=callback,
                    **shared,
                )
        except StoppedEvaluationError as stopped:
            show(stopped.evaluation, [], csv=csv)
            raise
    show(evaluation, conditions, csv=csv)
    if report is not None:
        write_report(evaluation, report, data_dir=data_dir, device=device)
    if card:
        write_cards(evaluation)
    gates.check_gates(evaluation, conditions)
