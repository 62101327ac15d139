"""Small data sets of picture files: a copy of COCO, folders with captions, class folders."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SCENES = {
    "beach": ("a dog on a beach", "two dogs play by the sea", "sand, and the ocean behind it"),
    "snow": ("a man skis down a mountain", "snow on a slope", "a skier in the cold"),
    "street": ("a red bus in the street", "traffic in a city", "a bus drives past a building"),
    "kitchen": ("a kitchen with a stove", "food on a table", "a white refrigerator"),
}
"""The captions of each scene."""
COLOURS = {"beach": (220, 190, 120), "snow": (220, 225, 240), "street": (150, 60, 60), "kitchen": (90, 120, 80)}


def picture(path: Path, scene: str, seed: int, size: tuple[int, int] = (72, 60)) -> Path:
    """Save a JPEG in the colours of a scene, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    patches = random.normal(COLOURS[scene], 25, (6, 7, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def scene(number: int) -> str:
    return list(SCENES)[number % len(SCENES)]


def captions(number: int) -> list[str]:
    """Return three captions of a picture; the last one contains its number."""
    said = SCENES[scene(number)]
    return [said[number % 3], said[(number + 1) % 3], f"picture {number} of a {scene(number)}"]


def coco(home: Path, *, train: int = 60, val: int = 12) -> Path:
    """Make a copy of COCO 2017 in its published layout."""
    for split, n, first in (("train", train, 0), ("val", val, 1_000)):
        images, annotations = [], []
        for number in range(first, first + n):
            name = f"{number:012}.jpg"
            picture(home / f"{split}2017" / name, scene(number), number)
            images.append({"id": number, "file_name": name, "height": 60, "width": 72})
            annotations += [{"id": 0, "image_id": number, "caption": caption} for caption in captions(number)]
        annotations_file = home / "annotations" / f"captions_{split}2017.json"
        annotations_file.parent.mkdir(exist_ok=True)
        annotations_file.write_text(json.dumps({"images": images, "annotations": annotations}))
    return home


def imagefolder(folder: Path, n: int = 60) -> Path:
    """Make a folder of pictures with several captions each in `metadata.jsonl`, without splits."""
    for number in range(n):
        picture(folder / f"{number:03}.jpg", scene(number), number)
    lines = [json.dumps({"file_name": f"{number:03}.jpg", "text": captions(number)}) for number in range(n)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def texts(folder: Path, n: int = 12) -> Path:
    """Make a folder with a text file beside each picture, one caption per line."""
    for number in range(n):
        picture(folder / f"{number:03}.jpg", scene(number), number)
        (folder / f"{number:03}.txt").write_text("\n".join(captions(number)))
    return folder


def classes(folder: Path, n: int = 40, names: tuple[str, ...] = ("polar_bear", "zebra", "hot-dog", "bus")) -> Path:
    """Make class folders."""
    for number in range(n):
        picture(folder / names[number % len(names)] / f"{number:03}.jpg", scene(number), number)
    return folder


def large(folder: Path, n: int, side: int = 500) -> Path:
    """Make a class folder with `n` hard links to one picture that is slow to decode."""
    first = folder / "noise" / "0000.jpg"
    first.parent.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(noise).save(first, quality=95)
    for number in range(1, n):
        os.link(first, first.with_name(f"{number:04}.jpg"))
    return folder


def shards(
    folder: Path, n: int = 4, each: int = 25, ending: str = "txt", name: str = "{:06}.tar", side: int = 20
) -> Path:
    """Make `n` shards of `each` pictures; the grey value of a picture is its number in all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(n):
        with tarfile.open(folder / name.format(shard), "w") as tar:
            for number in range(shard * each, (shard + 1) * each):
                file = io.BytesIO()
                Image.new("RGB", (20, 20), (number % 256,) * 3).save(file, "PNG")
                told = {
                    "txt": f"a grey picture\nnumber {number}",
                    "json": json.dumps({"caption": f"number {number}", "key": f"{number:09}"}),
                    "cls": str(number % 3),
                }[ending]
                for suffix, content in (("png", file.getvalue()), (ending, told.encode())):
                    header = tarfile.TarInfo(f"{number:09}.{suffix}")
                    header.size = len(content)
                    tar.addfile(header, io.BytesIO(content))
    return folder
