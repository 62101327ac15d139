"""Draw the pictures of README and docs/results.md.

    pip install matplotlib
    python benchmarks/figures.py guidance TABLE.tsv -o guidance.png
    python benchmarks/figures.py samples --model fashion --model runs/other@1.5="another prior" --n 1 -o study.png
    python benchmarks/figures.py samples --model scenes= --prompt snow --prompt "a beach" -o scenes.png
    python benchmarks/figures.py sizes --model runs/size-64 --model runs/size-128 --prompt snow -o sizes.png
    python benchmarks/figures.py neighbours --model fashion [--data-dir DIR] -o neighbours.png
    python benchmarks/figures.py neighbours --model scenes --data folder:PATH -o neighbours.png

`guidance` plots the output of photo_judge.py, and only this command needs matplotlib. A model is given as
NAME[@GUIDANCE][=LABEL]. NAME is any value of `cvae generate --model`. LABEL is written beside the samples (by default
NAME; an empty LABEL writes nothing).

`samples` draws the same samples as `cvae generate -n N` for the same prompts. A model of classes has one column for
each class, or for each prompt if prompts are given. A model of captions has one row for each prompt.

`sizes` draws the first sample of each prompt by models of several sizes, side by side and equally large.

`neighbours` shows samples beside their nearest training pictures, for each class or for the first captions of the
evaluation split. It prints the median distance to the nearest training picture for samples and for the real pictures
with the same conditions. The distance is the root mean square over pixels from 0 to 255. The samples of a model that
copies are much closer than real pictures. Mirrored training pictures count too, because a model may have been trained
on them.
"""

import argparse
import csv
import math
import re
from collections.abc import Callable, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from cvae_cli.config.condition import LabelCondition
from cvae_cli.data.catalog import evaluation_split, load_dataset
from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.features.fashion_cnn import load_fashion_cnn
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures.grid import grid, to_pil
from cvae_cli.pictures.pixels import to_float, to_uint8
from cvae_cli.text.condition import with_model_conditions

FONT, LINE = ImageFont.load_default(14), 17  # pixels: the font size, and the height of a line
TEXT_WIDTH = 130  # pixels: maximum width of the text at the left of rows
MARGIN, GAP = 2, 12  # pixels: between pictures (the same as in `grid`), and between groups
LARGEST = 300_000  # bytes: maximum size of a file
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # on the axis of retrieval
NEAREST = 4  # training pictures shown beside a sample
MEASURED = 500  # samples, and as many real pictures, in the search for nearest training pictures
TOGETHER, CHUNK = 100, 250  # sizes of one comparison: pictures, and training pictures

Row = Sequence[str | Image.Image]
See = Callable[[Tensor], Tensor]
"""A function from pictures, uint8 `(n, h, w, c)`, to the vectors that are compared, float `(n, d)`."""


def asked(text: str) -> tuple[str, float | None, str]:
    """Parse NAME[@GUIDANCE][=LABEL] into name, guidance and label."""
    found = re.fullmatch(r"([^=]+?)(?:@(\d+\.?\d*))?(?:=(.*))?", text)  # @ without a number: a revision on the Hub
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is not NAME[@GUIDANCE][=LABEL]")
    name, guidance, label = found.groups()
    return name, float(guidance) if guidance else None, Path(name).name if label is None else label


def sheet(rows: Sequence[Row], gap: int = MARGIN) -> Image.Image:
    """Arrange rows of a text and of pictures or headings in columns. A row with only a text spans the full width."""
    texts, *columns = zip_longest(*(row for row in rows if len(row) > 1))
    widths = [max(math.ceil(FONT.getlength(line)) for text in texts for line in wrapped(str(text), TEXT_WIDTH))]
    widths += [max(cell.width for cell in column if isinstance(cell, Image.Image)) for column in columns]
    lefts = list(accumulate(widths[1:], lambda left, width: left + width + gap, initial=MARGIN + widths[0] + GAP))
    placed, top = [], 0
    for row in rows:
        spans = widths if len(row) > 1 else [lefts[-1]]
        cells = [
            label(cell, span, centred=number > 0) if isinstance(cell, str) else cell
            for number, (cell, span) in enumerate(zip(row, spans, strict=False))
        ]
        height = max(cell.height for cell in cells)
        for cell, left in zip(cells, [MARGIN, *lefts], strict=False):
            placed.append((cell, (left, top + (height - cell.height) // 2)))
        top += height + MARGIN
    canvas = Image.new("RGB", (lefts[-1] - gap, top - MARGIN), "white")
    for cell, place in placed:
        canvas.paste(cell, place)
    return canvas


def label(text: str, width: int, *, centred: bool) -> Image.Image:
    """Render a text as a picture of this width."""
    lines = wrapped(text, width)
    picture = Image.new("RGB", (width, LINE * len(lines)), "white")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        left = (width - FONT.getlength(line)) / 2 if centred else 0
        draw.text((left, LINE * number), line, "black", FONT)
    return picture


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines at spaces and after slashes."""
    lines = [""]
    for piece in re.findall(r"[^ /]*[ /]|[^ /]+", text):
        if lines[-1] and FONT.getlength((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def in_grids(images: Tensor, n: int, scale: int, *, columns: int = 1) -> list[Image.Image]:
    """Arrange pictures, uint8 `(m * n, h, w, c)`, in `m` grids of `n`, and enlarge each pixel to a square."""
    tiles = [ImageOps.scale(each, scale, Image.Resampling.NEAREST) for each in to_pil(to_float(images))]
    return [grid(tiles[start : start + n], columns=columns) for start in range(0, len(tiles), n)]


def save(picture: Image.Image, path: Path) -> None:
    """Save a PNG of limited size, with as many shades as fit; a picture without colours is saved in grey."""
    red, green, blue = picture.split()
    picture = red if red == green == blue else picture
    for shades in (256, 128, 64, 32, 16):
        steps = [round(round(value * (shades - 1) / 255) * 255 / (shades - 1)) for value in range(256)]
        picture.point(steps * len(picture.getbands())).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            break


def plot_guidance(options: argparse.Namespace) -> None:
    """Plot fid-efficientnet and retrieval of samples for each guidance."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    curves: dict[str, list[tuple[float, float]]] = {}
    with options.table.open(encoding="utf-8") as file:
        for row in csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"):
            model, what, height = row["model"], row["what"], row["retrieval"]
            if what.startswith("samples, "):
                place = float(row["fid-efficientnet"]), float(height)
                curves.setdefault(model, []).append(place)
                axes.annotate(what.split()[-1], place, (0, -16), textcoords="offset points", ha="center")
            elif height != "-":
                name = {"real": "real photographs", "chance": "chance"}.get(model, f"{what} by {model}")
                wide = axes.get_yaxis_transform()  # x: fraction of the axes; y: data
                axes.text(0.99, 1.03 * float(height), f"{name}: {height}", color="dimgrey", ha="right", transform=wide)
                axes.axhline(float(height), color="grey", linestyle="--", linewidth=1)
    for model, places in curves.items():
        axes.plot(*zip(*places, strict=True), "o-", label=f"samples of {model}, by guidance")
    axes.set(
        yscale="log", xlabel="fid-efficientnet (lower is better)", ylabel="retrieval, R@1 of 100 (higher is better)"
    )
    axes.set_yticks(TICKS, map(str, TICKS))
    axes.minorticks_off()
    axes.margins(x=0.15)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.08))
    figure.savefig(options.out, dpi=100)


def draw_samples(options: argparse.Namespace) -> None:
    """Draw samples of each model for the same prompts."""
    rows: list[Row] = []
    for name, guidance, words in options.model:
        model = CVAE.from_pretrained(name)
        settings = model.config.condition
        classes = settings.names if isinstance(settings, LabelCondition) else []
        prompts = options.prompt or classes
        if not prompts:
            raise SystemExit(f"{name} draws what a text says: give it one with --prompt")
        condition = model.condition(prompts) if options.prompt else torch.arange(len(classes))
        condition = condition.repeat_interleave(options.n, dim=0)
        texts = [prompt for prompt in prompts for _ in range(options.n)]
        guidance = options.guidance if guidance is None else guidance
        images = to_uint8(model.sample(condition, seed=options.seed, prompts=texts, guidance=guidance))
        if rows and options.n > 1:
            rows.append([""])
        if classes:
            rows += [] if (headings := ["", *prompts]) in rows else [headings]
            rows.append([words, *in_grids(images, options.n, options.scale)])
        else:
            rows += [[words]] if words else []
            tiles = in_grids(images, 1, options.scale)
            rows += [[text, *tiles[options.n * i : options.n * (i + 1)]] for i, text in enumerate(prompts)]
    save(sheet(rows), options.out)


def draw_sizes(options: argparse.Namespace) -> None:
    """Draw a sample of each prompt by each model, one column a model, as large as those of the largest."""
    models = [CVAE.from_pretrained(name) for name, _, _ in options.model]
    largest = max(model.config.image.size for model in models)
    columns = []
    for model in models:
        images = to_uint8(model.sample(model.condition(options.prompt), seed=options.seed, prompts=options.prompt))
        columns.append(in_grids(images, 1, largest // model.config.image.size))
    headings = ["", *(f"{model.config.image.size} px" for model in models)]
    save(sheet([headings, *zip(options.prompt, *columns, strict=True)]), options.out)


def draw_neighbours(options: argparse.Namespace) -> None:
    """Draw samples beside their nearest training pictures, and print the distances of samples and of real pictures."""
    name, guidance, _ = options.model
    model = CVAE.from_pretrained(name)
    data, size = options.data or model.config.dataset, model.config.image.size
    splits = ("train", evaluation_split(data))
    train, real = (load_dataset(data, split, size=size, data_dir=options.data_dir) for split in splits)
    rows = np.arange(len(real))
    if isinstance(real.conditions, Labels):
        _, rows = np.unique(real.conditions.indices, return_index=True)  # the first picture of each class
    real = with_model_conditions(real, model.config.condition)
    shown, measured = real.take(rows[: options.n]), real.sample(MEASURED, options.seed)
    conditions = (torch.from_numpy(part.conditions.values(np.arange(len(part)))) for part in (shown, measured))
    samples, many = (to_uint8(model.sample(each, seed=options.seed, guidance=guidance)) for each in conditions)

    columns = [in_grids(samples, 1, options.scale)]
    ways = {"nearest training pictures by pixels": pixels}
    if data == "fashion-mnist":
        classifier = load_fashion_cnn(torch.device("cpu"))
        ways["by what the classifier sees"] = lambda images: classifier(images.permute(0, 3, 1, 2))
    for see in ways.values():
        _, numbers = nearest(samples, train, NEAREST, see)
        columns.append(in_grids(numbered(train, numbers.flatten()), NEAREST, options.scale, columns=NEAREST))
    texts = [shown.conditions.text(row) for row in range(len(shown))]
    save(sheet([["", "sample", *ways], *zip(texts, *columns, strict=True)], GAP), options.out)

    for what, pictures in (("samples", many), (f"{real.split} pictures", torch.from_numpy(measured.images))):
        distances = torch.cat([nearest(part, train, 1, pixels)[0] for part in pictures.split(TOGETHER)])
        median = (distances / pictures[0].numel() ** 0.5).quantile(0.5).item()
        print(f"{len(pictures)} {what} to the nearest training picture, median\t{median:.4g}", flush=True)


def pixels(images: Tensor) -> Tensor:
    return images.flatten(1).float()


def nearest(pictures: Tensor, train: Dataset, k: int, see: See) -> tuple[Tensor, Tensor]:
    """Return distances and numbers of the `k` training pictures nearest to each picture, `(n, k)`, nearest first.

    The number of training picture i is 2 i, or 2 i + 1 if its mirror image is nearer.
    """
    ours, mirrored = see(pictures), see(pictures.flip(2))
    distances, numbers = torch.empty(len(ours), 0), torch.empty(len(ours), 0).long()
    for start in range(0, len(train), CHUNK):
        chunk = np.arange(start, min(start + CHUNK, len(train)))
        theirs = see(torch.from_numpy(train.take(chunk).images))
        direct, turned = torch.cdist(ours, theirs), torch.cdist(mirrored, theirs)  # (n, CHUNK)
        distances = torch.cat([distances, torch.minimum(direct, turned)], dim=1)
        numbers = torch.cat([numbers, 2 * torch.from_numpy(chunk) + (turned < direct)], dim=1)
        distances, best = distances.topk(k, largest=False)
        numbers = numbers.gather(1, best)
    return distances, numbers


def numbered(train: Dataset, numbers: Tensor) -> Tensor:
    """Return the training pictures with these numbers (see `nearest`), uint8 `(n, h, w, c)`."""
    images = torch.from_numpy(train.take(numbers.numpy() // 2).images)
    return torch.where((numbers % 2 == 1).view(-1, 1, 1, 1), images.flip(2), images)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="guidance|samples|sizes|neighbours")
    drawings = {"guidance": plot_guidance, "samples": draw_samples, "sizes": draw_sizes, "neighbours": draw_neighbours}
    guidance, samples, sizes, neighbours = (commands.add_parser(name) for name in drawings)
    for command, draw in zip((guidance, samples, sizes, neighbours), drawings.values(), strict=True):
        command.set_defaults(draw=draw)
        command.add_argument("-o", "--out", type=Path, required=True, help="PNG file")
    guidance.add_argument("table", type=Path, help="output of photo_judge.py")
    samples.add_argument("--model", type=asked, action="append", required=True, help="NAME[@GUIDANCE][=LABEL]")
    samples.add_argument("--guidance", type=float, help="for models without @GUIDANCE; default: the model's own")
    samples.add_argument("--prompt", action="append", help="repeatable")
    samples.add_argument("--n", type=int, default=8, help="samples for each class or prompt")
    sizes.add_argument("--model", type=asked, action="append", required=True, help="NAME")
    sizes.add_argument("--prompt", action="append", required=True, help="repeatable")
    sizes.add_argument("--seed", type=int, default=0)
    neighbours.add_argument("--model", type=asked, required=True, help="NAME[@GUIDANCE]")
    neighbours.add_argument("--data", help="its training data; default: the data set in its config")
    neighbours.add_argument("--data-dir", type=Path)
    neighbours.add_argument("--n", type=int, default=10, help="maximum number of classes or captions")
    for command in (samples, neighbours):
        command.add_argument("--scale", type=int, default=2, help="size of a pixel in the figure")
        command.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.draw(options)


if __name__ == "__main__":
    main()
