"""`cvae evaluate`: scores in one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.errors import MissingError

if TYPE_CHECKING:
    import torch

    from cvae_cli.data.dataset import Dataset
    from cvae_cli.evaluation.features import Features
    from cvae_cli.evaluation.metrics import Metric
    from cvae_cli.evaluation.run import Scores
    from cvae_cli.models.cvae import CVAE

EPILOG = """\b
Examples:
  cvae evaluate
  cvae evaluate --metric fid
  cvae evaluate --model fashion --model runs/fashion-concat --metric mse --metric ssim
  cvae evaluate --model fashion --metric fid-fashion --json > scores.json
  cvae evaluate --metric clip-score --metric retrieval --samples 1000
In a pipe a line has a metric and its value, tab-separated; with several models a line each, the model last.
"""

Reconstruction = Literal["sample", "mean"]


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="A bundled name, a folder, or org/name on the Hub; repeat to compare."),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="mse, ssim, psnr, elbo, rate, distortion, bits-per-dim, active-units, iwae, accuracy, fid, "
            "fid-fashion, recall, coverage, clip-score or retrieval; repeat for several.",
            metavar="METRIC",
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set to measure on; the model's own unless given.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Which part of it.  [default: test, or val where there is no test]")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Measure on so many pictures only, drawn by the seed.", min=1)
    ] = None,
    seed: options.Seed = 0,
    temperature: options.Temperature = 1.0,
    guidance: options.Guidance = None,
    reconstruction: Annotated[
        Reconstruction,
        typer.Option(help="Reconstruct through a sample of the posterior, as the article does, or its mean."),
    ] = "sample",
    k: Annotated[int, typer.Option("--k", help="Samples a picture for iwae.", min=1)] = 64,
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
    """Measure models: reconstructions, the bound, and samples."""
    console.configure(json=json, quiet=quiet, debug=debug)
    options.share_work(gpus, device)
    from cvae_cli.evaluation import metrics

    chosen = [metrics.get(name) for name in dict.fromkeys(names or [])]

    import torch

    from cvae_cli.data.catalog import check_name, evaluation_split, load_dataset, short_name
    from cvae_cli.evaluation.features import FRECHET_DISTANCES
    from cvae_cli.evaluation.run import Settings, check, check_metrics, protocol
    from cvae_cli.evaluation.run import evaluate as measure
    from cvae_cli.models.cvae import CVAE
    from cvae_cli.runtime import distributed
    from cvae_cli.runtime.device import pick_device
    from cvae_cli.text.condition import check_image_shape, prepare_encoder, with_model_conditions

    place = pick_device(distributed.local_device(device))
    wanted = list(dict.fromkeys(models or [options.DEFAULT_MODEL]))
    networks = [CVAE.from_pretrained(each, device=place) for each in wanted]
    labels = _distinct(wanted)
    name = dataset or networks[0].config.dataset
    chosen = chosen or metrics.default_for(name)
    for network in networks:
        check_image_shape(network.config, name)
        network.prior.check_guidance(guidance)
    split = split or evaluation_split(name)
    check_name(name, split)
    check_metrics(chosen, name)
    features = _load_features_or_say_how(chosen, name, place, clip)
    with console.events(short_name(name)) as callback:
        for network in networks:  # before the pictures: what is missing should not be found after gigabytes
            prepare_encoder(network.config.condition, device=network.device, callback=callback)
        data = load_dataset(
            name,
            split,
            size=networks[0].config.image.size,
            data_dir=data_dir,
            callback=callback,
        )
        if samples is not None:
            data = data.sample(samples, seed)
        for network in networks:
            check(chosen, network, data)
        datasets = [with_model_conditions(data, network.config.condition, callback=callback) for network in networks]
    for metric in FRECHET_DISTANCES & features.keys():
        judge = features[metric].network
        assert isinstance(judge, torch.nn.Module)
        if len(data) <= (width := int(judge.num_features)):  # type: ignore[arg-type]
            console.warn(f"{metric}: fewer pictures ({len(data)}) than features ({width}): the distance means little")
    for network in networks:
        _say_circularity(network, features)
    settings = Settings(seed=seed, temperature=temperature, guidance=guidance, k=k, reconstruction=reconstruction)
    scores = []
    with distributed.process_group(place):
        for label, network, seen in zip(labels, networks, datasets, strict=True):
            with console.events(label) as callback:
                scores.append(
                    measure(
                        network,
                        seen,
                        chosen,
                        features=features,
                        settings=settings,
                        callback=callback,
                    )
                )
    console.table(
        {
            "models": [
                {**_identity(label, model, network), "scores": each.values, **each.details}
                for label, model, network, each in zip(labels, wanted, networks, scores, strict=True)
            ],
            "protocol": protocol(data, features, settings, place),
        },
        columns=["", *(_heading(each, network) for each, network in zip(labels, networks, strict=True))],
        rows=[_row(metric, scores, networks) for metric in chosen],
        plain=[
            [metric.name, _plain(each.values[metric.name]), *([label] if len(labels) > 1 else [])]
            for metric in chosen
            for label, each in zip(labels, scores, strict=True)
        ],
        footer=_footer(data, settings.seed, chosen, networks),
    )


def _heading(label: str, network: "CVAE") -> str:
    return f"{label} (hybrid)" if network.config.hybrid else label


def _identity(label: str, model: str, network: "CVAE") -> dict[str, Any]:
    from cvae_cli.models.pretrained import find_model, weights_sha256

    return {
        "model": label,
        "weights_sha256": weights_sha256(find_model(model)),
        "likelihood": network.config.architecture.likelihood.kind,
        "hybrid": network.config.hybrid,
    }


_OF_LIKELIHOOD = {"elbo", "distortion", "iwae"}


def _comparable(metric: "Metric", networks: "list[CVAE]") -> bool:
    """Nats under one likelihood say nothing about another's."""
    return metric.name not in _OF_LIKELIHOOD or len({n.config.architecture.likelihood.kind for n in networks}) == 1


def _footer(data: "Dataset", seed: int, chosen: "list[Metric]", networks: "list[CVAE]") -> str:
    from cvae_cli.data.catalog import short_name

    text = f"{len(data):,} {data.split} images of {short_name(data.name)} · seed {seed} · details: --json"
    if not all(_comparable(metric, networks) for metric in chosen):
        text += "\nthe models have different likelihoods: their -ELBOs and distortions cannot be compared"
    if any(metric.name == "bits-per-dim" for metric in chosen):
        text += "\nbits/dim: only of likelihoods over 8-bit values (logistic); of others it is not comparable"
    return text


def _row(metric: "Metric", scores: "list[Scores]", networks: "list[CVAE]") -> list[str]:
    """A table's row: the values, the best of several marked where they can be compared."""
    values = [each.values[metric.name] for each in scores]
    known = [value for value in values if value is not None]
    mark = len(known) > 1 and metric.better is not None and _comparable(metric, networks)
    best = (min if metric.better == "lower" else max)(known) if mark else None
    cells = [_cell(value) + (" *" if mark and value == best else "  " if mark else "") for value in values]
    return [f"{metric.label} {metric.arrow}".rstrip(), *cells]


def _cell(value: float | None) -> str:
    return "not comparable" if value is None else f"{value:.4g}"


def _plain(value: float | None) -> str:
    return "nan" if value is None else f"{value:.6g}"


def _load_features_or_say_how(
    chosen: "list[Metric]", dataset: str, device: "torch.device", clip: str | None
) -> "dict[str, Features]":
    from cvae_cli.evaluation.run import load_features

    try:
        with console.events("weights") as callback:
            return load_features(chosen, device, callback, clip=clip)
    except MissingError as error:
        offline = "or measure what needs no download:  --metric ssim"
        if any(metric.name == "fid" for metric in chosen) and dataset == "fashion-mnist":
            offline = "or measure offline, on other features:  --metric fid-fashion"
        raise MissingError(error.message, hint=f"{error.hint}\n{offline}") from error


def _say_circularity(network: "CVAE", features: "dict[str, Features]") -> None:
    """A model that learned with the eyes of its judge has an advantage over others."""
    condition = network.config.condition
    for metric in ("clip-score", "retrieval"):
        if (
            metric in features
            and condition.kind == "clip"
            and condition.sha256 == features[metric].protocol["clip_sha256"]
        ):
            console.warn(
                f"{metric} of {network.config.name} is circular: the CLIP model that judges it is the one that "
                "conditions it"
            )


def _distinct(models: list[str]) -> list[str]:
    """Short names for the columns: the last part of a path, unless two are the same."""
    short = [Path(model).name or model for model in models]
    return short if len(set(short)) == len(short) else models
