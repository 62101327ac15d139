"""`cvae reconstruct`: what a model makes of pictures it is shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.errors import UsageError
from cvae_cli.paths import check_writable

if TYPE_CHECKING:
    from torch import Tensor

    from cvae_cli.models import CVAE

EPILOG = """\b
Examples:
  cvae reconstruct boot.jpg --label "ankle boot" -o pairs.png
  cvae reconstruct pictures/dress/*.jpg         the folder's name is the label
  cvae reconstruct --dataset fashion-mnist -n 16 --model runs/fashion-concat
"""

_PAIRS_IN_A_ROW = 4


def reconstruct(
    images: Annotated[list[Path] | None, typer.Argument(help="Pictures of any kind and size.", metavar="IMAGE")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="PNG file: each original, beside it its reconstruction.  [default: pairs.png]"
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Take the pictures from this data set.")] = None,
    split: Annotated[str, typer.Option(help="Which part of the data set.")] = "test",
    n: Annotated[int, typer.Option("-n", help="How many pictures of the data set, drawn by the seed.", min=1)] = 16,
    model: Annotated[
        str, typer.Option(help="A bundled name, a folder, or org/name on the Hub.")
    ] = options.DEFAULT_MODEL,
    label: Annotated[str | None, typer.Option(help="What the pictures show, in the words of a prompt.")] = None,
    seed: options.Seed = 0,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Reconstruct pictures, and say how close each came (MSE and SSIM)."""
    console.configure(json=json, quiet=quiet, debug=debug)
    if bool(images) == bool(dataset):
        raise UsageError(
            "give either pictures or --dataset", hint="for example:  cvae reconstruct boot.jpg --label boot"
        )
    if label and dataset:
        raise UsageError("--label is for pictures of your own; a data set has its labels")
    output = out or options.free_name("pairs")
    check_writable(output)

    import torch

    from cvae_cli.device import pick_device
    from cvae_cli.evaluation.metrics import closeness
    from cvae_cli.models import CVAE
    from cvae_cli.pictures import grid, save_png, to_pil
    from cvae_cli.pixels import to_float

    network = CVAE.from_pretrained(model, device=pick_device(device))
    if images:
        names, pixels = [str(path) for path in images], _open(images, network)
        condition = _labels(images, label, network)
    else:
        with options.download_report(str(dataset)) as report:
            names, pixels, condition = _draw(str(dataset), split, n, seed, data_dir, network, report)
    originals = to_float(pixels).to(network.device)
    reconstructions = network.reconstruct(originals, condition)
    pairs = torch.stack([originals, reconstructions], dim=1).flatten(0, 1)
    columns = 2 * min(_PAIRS_IN_A_ROW, len(originals))
    save_png(grid(to_pil(pairs), columns=columns), output, {"model": network.config.name})

    scores = {name: values.tolist() for name, values in closeness(originals, reconstructions).items()}
    if out is None and not console.is_terminal():
        console.note(f"pairs in {output}")
    _show(names, condition, scores, network, output)


def _open(paths: list[Path], network: "CVAE") -> "Tensor":
    """uint8 `(n, h, w, c)`; what had to be done to a picture is said."""
    import numpy as np
    import torch

    from cvae_cli.pictures import open_picture

    shape = network.config.image
    arrays = []
    for path in paths:
        picture, done = open_picture(path, size=shape.size, channels=shape.channels)
        if done:
            console.note(f"{path}: {', '.join(done)}")
        arrays.append(np.asarray(picture).reshape(shape.size, shape.size, shape.channels))
    return torch.from_numpy(np.stack(arrays))


def _labels(paths: list[Path], label: str | None, network: "CVAE") -> "Tensor":
    """The conditions of pictures: `--label` for all, else the name of the folder that each is in."""
    if label is not None:
        return network.condition([label] * len(paths), notice=console.warn)
    import torch

    conditions = []
    for path in paths:
        try:
            conditions.append(network.condition([path.absolute().parent.name]))
        except UsageError as error:
            raise UsageError(
                f"what does {path} show? Its folder's name says no class", hint=f"add --label; {error.hint}"
            ) from error
    return torch.cat(conditions)


def _draw(
    dataset: str, split: str, n: int, seed: int, data_dir: Path | None, network: "CVAE", report: Any
) -> "tuple[list[str], Tensor, Tensor]":
    """Names, pixels and conditions of pictures from a data set."""
    import torch

    from cvae_cli.data import load_dataset
    from cvae_cli.evaluation.run import check

    data = load_dataset(dataset, split, data_dir=data_dir, report=report).sample(n, seed)
    check([], network, data)
    names = [f"{dataset} {split} {number}" for number in range(1, len(data) + 1)]
    return names, torch.from_numpy(data.images), torch.from_numpy(data.labels).to(network.device)


def _show(names: list[str], condition: "Tensor", scores: dict[str, list[float]], network: "CVAE", output: Path) -> None:
    classes = network.config.condition.names
    labels = [classes[index] if network.is_conditional else "-" for index in condition.tolist()]
    entries: list[dict[str, Any]] = [
        {"image": name, "label": text, **{metric: values[index] for metric, values in scores.items()}}
        for index, (name, text) in enumerate(zip(names, labels, strict=True))
    ]
    mean = {metric: sum(values) / len(values) for metric, values in scores.items()}
    rows = [
        [str(each["image"]), str(each["label"]), *(f"{each[metric]:.4g}" for metric in scores)]
        for each in [*entries, {"image": "mean", "label": "", **mean}]
    ]
    console.table(
        {"file": str(output), "model": network.config.name, "images": entries, "mean": mean},
        columns=["image", "label", "mse, sum ↓", "mse, pixel ↓", "ssim ↑"],
        rows=rows,
        footer=f"{output}   {network.config.name} · through the mean of the posterior",
    )
