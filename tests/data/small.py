"""Folders of small pictures for the tests of data sets."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]


def save(path: Path, colour: Colour = (200, 30, 90), size: tuple[int, int] = (24, 16)) -> Path:
    """Save a picture of one colour in the format of its suffix, and create missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def save_noise(path: Path, side: int) -> Path:
    """Save a picture that is slow to decode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(noise).save(path, quality=95)
    return path


def captioned(folder: Path, n: int) -> Path:
    """Save `n` pictures `00.png`, `01.png`, ... in shades of red, each with a caption that contains its number."""
    for number in range(n):
        save(folder / f"{number:02}.png", colour=(number, 0, 0))
        (folder / f"{number:02}.txt").write_text(f"shade {number}\n")
    return folder


def many(folder: Path, n: int, side: int) -> Path:
    """Make `n` hard links to one large picture, each with a caption."""
    first = save_noise(folder / "0000.jpg", side)
    (folder / "0000.txt").write_text("noise")
    for number in range(1, n):
        os.link(first, folder / f"{number:04}.jpg")
        os.link(folder / "0000.txt", folder / f"{number:04}.txt")
    return folder
