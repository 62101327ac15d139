"""`cvae reconstruct`: pictures through a model and back, and how close they come."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.commands.output import OUTPUT, Output
from cvae_cli.data.catalog import check_known, names
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.paths import DEFAULT_MODEL

if TYPE_CHECKING:
    from cvae_cli.evaluation.reconstruct import Reconstructions

EPILOG = """\b
Examples:
  cvae reconstruct beach.jpg --prompt "two dogs on a beach" -o pairs.png
  cvae reconstruct boots/*.jpg --model fashion       # the folder's name is the label
  cvae reconstruct --dataset fashion-mnist -n 16 --model runs/fashion-concat
"""


def reconstruct(
    images: Annotated[
        list[Path] | None, typer.Argument(help="Pictures of any format and size.", metavar="IMAGE")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            help=f"Where to write each picture with its reconstruction to the right. {OUTPUT}  [default: pairs.png]",
            metavar="PATH",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", help=f"Take the pictures from this data set: {', '.join(names())}.", metavar="DATASET"
        ),
    ] = None,
    split: options.Split = None,
    n: Annotated[
        int, typer.Option("-n", help="Number of pictures from the data set, chosen by --seed.", min=1, metavar="N")
    ] = 16,
    model: options.Model = DEFAULT_MODEL,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "--label", help="What the pictures show.", metavar="TEXT")
    ] = None,
    seed: options.Seed = 0,
    data_dir: options.DataDir = None,
    scale: options.Scale = None,
    resample: options.Resample = "nearest",
    labels: options.Labels = False,
    force: options.ForceBytes = False,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Encode pictures and decode them again.

    Shows how close each reconstruction is to its picture (MSE and SSIM).
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    if bool(images) == bool(dataset):
        raise UsageError(
            "give either pictures or --dataset",
            hint='for example:  cvae reconstruct beach.jpg --prompt "two dogs on a beach"',
        )
    if prompt and dataset:
        raise UsageError("--prompt is for pictures of your own; a data set says what its pictures show")
    if dataset is not None:
        check_known(dataset)
    options.check_models([model])
    output = Output(out, force=force, json=json)

    with console.events("reconstructing") as callback:
        from cvae_cli.evaluation.reconstruct import reconstruct_dataset, reconstruct_files

        if images:
            result = reconstruct_files(model, images, prompt=prompt, device=device, callback=callback)
        else:
            result = reconstruct_dataset(
                model, str(dataset), split=split, n=n, seed=seed, data_dir=data_dir, device=device, callback=callback
            )
        path = output.write(
            result.sheet(scale=scale, resample=resample, labels=labels), {"model": result.model}, stem="pairs"
        )
    if path is None:  # stdout has the picture
        return console.note("mean: " + ", ".join(f"{name} {value:.4g}" for name, value in result.mean.items()))
    if not output.has_name and not console.is_terminal():
        console.note(f"pairs in {path}")
    return _show(result, path, model)


_HEADINGS = {"mse": "mse, sum ↓", "mse_per_pixel": "mse, pixel ↓", "ssim": "ssim ↑", "ssim-wang": "ssim-wang ↑"}


def _show(result: "Reconstructions", path: Path, model: str) -> None:
    """Show the scores, and below them the name of the model that the user gave."""
    scores = [dict(zip(result.scores, values, strict=True)) for values in zip(*result.scores.values(), strict=True)]
    images = [
        {"image": name, "prompt": prompt, **each}
        for name, prompt, each in zip(result.names, result.prompts, scores, strict=True)
    ]
    mean = {"image": "mean", "prompt": "", **result.mean}
    console.table(
        {"file": str(path), "model": result.model, "images": images, "mean": result.mean},
        columns=["image", "prompt", *(_HEADINGS[score] for score in result.scores)],
        rows=[
            [value if isinstance(value, str) else f"{value:.4g}" for value in row.values()] for row in [*images, mean]
        ],
        footer=f"{path}   {distinct_labels([model])[0]} · through the mean of the posterior",
    )
