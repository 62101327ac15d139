"""`cvae reconstruct`: pictures through a model and back, and how close they come."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.data.catalog import names
from cvae_cli.errors import UsageError
from cvae_cli.paths import DEFAULT_MODEL, check_writable

if TYPE_CHECKING:
    from cvae_cli.evaluation.reconstruct import Reconstructions

EPILOG = """\b
Examples:
  cvae reconstruct beach.jpg --prompt "two dogs on a beach" -o pairs.png
  cvae reconstruct boots/*.jpg --model fashion       the folder's name is the label
  cvae reconstruct --dataset fashion-mnist -n 16 --model runs/fashion-concat
"""


def reconstruct(
    images: Annotated[
        list[Path] | None, typer.Argument(help="Pictures of any format and size.", metavar="IMAGE")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="PNG file to write: each picture with its reconstruction to the right.  [default: pairs.png]",
            metavar="FILE",
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help=f"Take the pictures from this data set: {', '.join(names())}.", metavar="NAME")
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
    output = out or options.free_name("pairs")
    check_writable(output)

    with console.events("reconstructing") as callback:
        from cvae_cli.evaluation.reconstruct import reconstruct_dataset, reconstruct_files
        from cvae_cli.pictures.files import save_png

        if images:
            result = reconstruct_files(model, images, prompt=prompt, device=device, callback=callback)
        else:
            result = reconstruct_dataset(
                model,
                str(dataset),
                split=split,
                n=n,
                seed=seed,
                data_dir=data_dir,
                device=device,
                callback=callback,
            )
        save_png(result.sheet(), output, {"model": result.model})
    if out is None and not console.is_terminal():
        console.note(f"pairs in {output}")
    _show(result, output)


_HEADINGS = {"mse": "mse, sum ↓", "mse_per_pixel": "mse, pixel ↓", "ssim": "ssim ↑", "ssim-wang": "ssim-wang ↑"}


def _show(result: "Reconstructions", output: Path) -> None:
    scores = [dict(zip(result.scores, values, strict=True)) for values in zip(*result.scores.values(), strict=True)]
    images = [
        {"image": name, "prompt": prompt, **each}
        for name, prompt, each in zip(result.names, result.prompts, scores, strict=True)
    ]
    mean = {"image": "mean", "prompt": "", **result.mean}
    console.table(
        {"file": str(output), "model": result.model, "images": images, "mean": result.mean},
        columns=["image", "prompt", *(_HEADINGS[score] for score in result.scores)],
        rows=[
            [value if isinstance(value, str) else f"{value:.4g}" for value in row.values()] for row in [*images, mean]
        ],
        footer=f"{output}   {result.model} · through the mean of the posterior",
    )
