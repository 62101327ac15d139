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

    from cvae_cli.models.cvae import CVAE

EPILOG = """\b
Examples:
  cvae reconstruct beach.jpg --prompt "two dogs on a beach" -o pairs.png
  cvae reconstruct boots/*.jpg --model fashion       the folder's name is the label
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
    split: Annotated[
        str | None, typer.Option(help="Which part of the data set.  [default: test, or val where there is no test]")
    ] = None,
    n: Annotated[int, typer.Option("-n", help="How many pictures of the data set, drawn by the seed.", min=1)] = 16,
    model: Annotated[
        str, typer.Option(help="A bundled name, a folder, or org/name on the Hub.")
    ] = options.DEFAULT_MODEL,
    prompt: Annotated[str | None, typer.Option("--prompt", "--label", help="What the pictures show.")] = None,
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
            "give either pictures or --dataset",
            hint='for example:  cvae reconstruct beach.jpg --prompt "two dogs on a beach"',
        )
    if prompt and dataset:
        raise UsageError("--prompt is for pictures of your own; a data set says what its pictures show")
    output = out or options.free_name("pairs")
    check_writable(output)

    import torch

    from cvae_cli.evaluation.metrics import closeness
    from cvae_cli.models.cvae import CVAE
    from cvae_cli.pictures.files import save_png
    from cvae_cli.pictures.grid import grid, to_pil
    from cvae_cli.pictures.pixels import to_float
    from cvae_cli.runtime.device import pick_device

    network = CVAE.from_pretrained(model, device=pick_device(device))
    if images:
        names, pixels = [str(path) for path in images], _open(images, network)
        texts, condition = _conditions(images, prompt, network)
    else:
        names, pixels, texts, condition = _draw(str(dataset), split, n, seed, data_dir, network)
    originals = to_float(pixels).to(network.device)
    reconstructions = network.reconstruct(originals, condition)
    pairs = torch.stack([originals, reconstructions], dim=1).flatten(0, 1)
    columns = 2 * min(_PAIRS_IN_A_ROW, len(originals))
    save_png(grid(to_pil(pairs), columns=columns), output, {"model": network.config.name})

    scores = {name: values.tolist() for name, values in closeness(originals, reconstructions).items()}
    if out is None and not console.is_terminal():
        console.note(f"pairs in {output}")
    _show(names, texts, scores, network, output)


def _open(paths: list[Path], network: "CVAE") -> "Tensor":
    """uint8 `(n, h, w, c)`; what had to be done to a picture is said."""
    import numpy as np
    import torch

    from cvae_cli.pictures.opening import open_picture

    shape = network.config.image
    arrays = []
    for path in paths:
        picture, done = open_picture(path, size=shape.size, channels=shape.channels)
        if done:
            console.note(f"{path}: {', '.join(done)}")
        arrays.append(np.asarray(picture).reshape(shape.size, shape.size, shape.channels))
    return torch.from_numpy(np.stack(arrays))


def _conditions(paths: list[Path], prompt: str | None, network: "CVAE") -> "tuple[list[str], Tensor]":
    """What the pictures show, and its conditions: `--prompt` for all, else the name of the folder that each is in."""
    import torch

    if prompt is not None:
        return [prompt] * len(paths), network.condition([prompt], callback=console.show).repeat_interleave(
            len(paths), dim=0
        )
    if network.config.condition.kind != "labels" and network.is_conditional:
        raise UsageError(f"what does {paths[0]} show?", hint='say it:  --prompt "two dogs on a beach"')
    texts = [path.absolute().parent.name for path in paths]
    conditions = []
    for path, text in zip(paths, texts, strict=True):
        try:
            conditions.append(network.condition([text]))
        except UsageError as error:
            raise UsageError(
                f"what does {path} show? Its folder's name says no class", hint=f"add --prompt; {error.hint}"
            ) from error
    return texts, torch.cat(conditions)


def _draw(
    dataset: str, split: str | None, n: int, seed: int, data_dir: Path | None, network: "CVAE"
) -> "tuple[list[str], Tensor, list[str], Tensor]":
    """Names, pixels, texts and conditions of pictures from a data set."""
    import numpy as np
    import torch

    from cvae_cli.data.catalog import evaluation_split, load_dataset, short_name
    from cvae_cli.evaluation.run import check
    from cvae_cli.text.condition import check_image_shape, prepare_encoder, with_model_conditions

    check_image_shape(network.config, dataset)
    split = split or evaluation_split(dataset)
    with console.events(short_name(dataset)) as callback:
        prepare_encoder(network.config.condition, device=network.device, callback=callback)
        data = load_dataset(
            dataset,
            split,
            size=network.config.image.size,
            data_dir=data_dir,
            callback=callback,
        )
        check([], network, data)
        data = with_model_conditions(data, network.config.condition, callback=callback)
    data = data.sample(n, seed)
    names = [f"{short_name(dataset)} {split} {number}" for number in range(1, len(data) + 1)]
    rows = np.arange(len(data))
    conditions = torch.from_numpy(data.conditions.values(rows)).to(network.device)
    return names, torch.from_numpy(data.images), [data.conditions.text(row) for row in range(len(data))], conditions


def _show(names: list[str], texts: list[str], scores: dict[str, list[float]], network: "CVAE", output: Path) -> None:
    texts = [_shown(text, network) for text in texts]
    entries: list[dict[str, Any]] = [
        {"image": name, "prompt": text, **{metric: values[index] for metric, values in scores.items()}}
        for index, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    mean = {metric: sum(values) / len(values) for metric, values in scores.items()}
    rows = [
        [str(each["image"]), str(each["prompt"]), *(f"{each[metric]:.4g}" for metric in scores)]
        for each in [*entries, {"image": "mean", "prompt": "", **mean}]
    ]
    console.table(
        {"file": str(output), "model": network.config.name, "images": entries, "mean": mean},
        columns=["image", "prompt", "mse, sum ↓", "mse, pixel ↓", "ssim ↑"],
        rows=rows,
        footer=f"{output}   {network.config.name} · through the mean of the posterior",
    )


def _shown(text: str, network: "CVAE") -> str:
    """What a model is told of a picture, in words: of a class its own name."""
    condition = network.config.condition
    if not network.is_conditional:
        return "-"
    if condition.kind != "labels":
        return text
    from cvae_cli.text.labels import match_class

    return match_class(text, condition.classes).name
