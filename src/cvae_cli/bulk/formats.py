"""Pictures as files: one for each, or shards as WebDataset reads them."""

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from cvae_cli.bulk.manifest import Line
from cvae_cli.paths import atomic_path, name_in_errors, write_bytes
from cvae_cli.pictures.files import png_bytes, webp_bytes
from cvae_cli.text.prompts import slug

FILES: dict[str, Callable[[Image.Image, dict[str, str]], bytes]] = {"png": png_bytes, "webp": webp_bytes}
"""The formats of one picture a file."""

SHARD = 1000  # pictures in a tar file, at most


@dataclass(frozen=True)
class Picture:
    """A picture to be written.

    Attributes:
        name: its number among all that are asked for, from 1, with leading zeros.
        sample: its number among those of its prompt, from 0.
        facts: how it was drawn.
    """

    image: Image.Image
    name: str
    prompt: str
    sample: int
    facts: dict[str, str]

    @property
    def text(self) -> dict[str, str]:
        """What its file says about it."""
        return {"prompt": self.prompt, "sample": str(self.sample), **self.facts}


def write_file(picture: Picture, folder: Path, suffix: str) -> Line:
    """Write a picture with its text into a file of its own."""
    name = f"{picture.name}-{slug(picture.prompt)}.{suffix}"
    write_bytes(folder / name, FILES[suffix](picture.image, picture.text))
    return {"file": name, "prompt": picture.prompt, "sample": picture.sample}


@dataclass(frozen=True)
class Member:
    """A picture as it goes into a shard."""

    name: str
    prompt: str
    sample: int
    files: dict[str, bytes]  # by suffix


def encode_member(picture: Picture) -> Member:
    """A picture as PNG, beside it the prompt and its text."""
    prompt = picture.prompt.encode(errors="replace")  # an argument may not be UTF-8
    files = {"png": png_bytes(picture.image), "txt": prompt, "json": json.dumps(picture.text).encode()}
    return Member(picture.name, picture.prompt, picture.sample, files)


def write_shard(members: Iterable[Member], path: Path) -> Line:
    """Write a tar file, whole or not at all."""
    pictures = 0
    with name_in_errors(path), atomic_path(path) as draft, tarfile.open(draft, "w") as tar:
        for member in members:
            pictures += 1
            for suffix, content in member.files.items():
                header = tarfile.TarInfo(f"{member.name}.{suffix}")  # of no time and no user: always the same
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
    return {"file": path.name, "pictures": pictures, "prompt": member.prompt, "sample": member.sample}
