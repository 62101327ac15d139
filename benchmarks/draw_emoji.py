"""Make a folder of captioned emoji by two more artists, to train `emoji` on.

    pip install resvg-py
    python benchmarks/draw_emoji.py FOLDER [--without folder:DIR]

The drawings are Twemoji's (CC BY 4.0, flat) and those of Noto Emoji's first version, the "blobs" (Apache-2.0). Both
come from npm packages, the names and keywords from emojibase (MIT). Each caption has a word for the style, so that a
prompt without one draws what the other data taught.

With `--without`, no emoji is drawn whose name stands in a caption of the validation split of that data set: names that
a model is judged by must be new to it.
"""

import argparse
import io
import json
import re
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import resvg_py
from PIL import Image

from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.conditions import Captions

SIDE = 96
PACKAGE = "https://registry.npmjs.org/{name}/-/{file}-{version}.tgz"
HANDS = {  # style: package, version
    "flat": ("@iconify-json/twemoji", "1.2.5"),
    "blob": ("@iconify-json/noto-v1", "1.2.5"),
}
NAMES = ("emojibase-data", "17.0.0")


def read_package(name: str, version: str, *files: str) -> list[Any]:
    """Return JSON files of an npm package."""
    address = PACKAGE.format(name=name, file=name.rpartition("/")[2], version=version)
    with urllib.request.urlopen(address, timeout=60) as response:
        packed = io.BytesIO(response.read())
    with tarfile.open(fileobj=packed) as archive:
        return [json.loads(archive.extractfile(f"package/{file}").read()) for file in files]  # type: ignore[union-attr]


def slug(label: str) -> str:
    """Return a name as Iconify writes it: `face-with-tears-of-joy`."""
    return re.sub(r"[^a-z0-9*#]+", "-", label.lower().replace("’", "")).strip("-")


def base(label: str) -> str:
    """Return the name without its skin tones."""
    return re.sub(
        r"(:| with)?( and)?( (medium|dark|light|medium-light|medium-dark) skin tone,?)+", "", label.lower()
    ).strip()


def emoji() -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the keywords of each emoji, and of each with a skin tone."""
    [entries] = read_package(*NAMES, "en/data.json")
    for entry in entries:
        tags = entry.get("tags", [])
        for variant in (entry, *entry.get("skins", [])):
            yield variant["label"], tags


def draw(body: str, width: int, height: int) -> Image.Image:
    """Draw the inside of an SVG on white."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{body}</svg>'
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE))
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    white.alpha_composite(drawn)
    return white.convert("RGB")


def held_out(name: str) -> set[str]:
    """Return the names in the captions of a validation split."""
    captions = load_dataset(name, "validation", size=16).conditions
    assert isinstance(captions, Captions), f"{name} has no captions"
    return {base(text) for text in captions.sentences}  # one caption of each picture is its name alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without", metavar="DATA")
    options = parser.parse_args()
    unwanted = held_out(options.without) if options.without else set()
    folder = options.folder / "train"
    folder.mkdir(parents=True)
    named = list(emoji())
    with (folder / "metadata.jsonl").open("w") as metadata:
        for style, package in HANDS.items():
            [icons] = read_package(*package, "icons.json")
            width, height = icons.get("width", 16), icons.get("height", 16)
            drawn = 0
            for label, tags in named:
                icon = icons["icons"].get(slug(label))
                if icon is None or base(label) in unwanted:
                    continue
                file = f"{style}_{slug(label)}.png"
                draw(icon["body"], icon.get("width", width), icon.get("height", height)).save(folder / file)
                name = label.replace(":", " with" if "skin tone" in label else "")
                captions = [
                    f"a {style} emoji of {name}",
                    f"{name}, {style}",
                    f"{name}, {style}, {', '.join(tags)}",
                ]
                metadata.write(json.dumps({"file_name": file, "text": captions}) + "\n")
                drawn += 1
            print(f"{style}\t{drawn} of {len(icons['icons'])} drawings")


if __name__ == "__main__":
    main()
