"""Write pictures to disk: one file per picture, or shards as WebDataset reads them."""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from cvae_cli.bulk.manifest_lines import WEBDATASET, Entry
from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.paths import atomic_path, name_in_errors, write_bytes
from cvae_cli.pictures.files import FORMATS, png_bytes
from cvae_cli.text.prompts import slug


def check_format(format: str) -> None:
    """Raise a UsageError if a folder of pictures cannot have this format."""
    known = [*FORMATS, WEBDATASET]
    if format not in known:
        raise UsageError(f'no format "{format}".{did_you_mean(format, known)}', hint=f"formats: {', '.join(known)}")


@dataclass(frozen=True)
class Picture:
    """A picture to be written.

    Attributes:
        name: its number among all pictures of the job, from 1, with leading zeros.
        sample: its number among the pictures of its prompt, from 0 (see `Sampling.number`).
        metadata: how it was made (see `Sampling.metadata`).
    """

    image: Image.Image
    name: str
    prompt: str
    sample: int
    metadata: dict[str, Any]

    @property
    def text(self) -> dict[str, Any]:
        """What is stored with the picture."""
        return {"prompt": self.prompt, "sample": self.sample, **self.metadata}


def write_file(picture: Picture, folder: Path, format: str) -> Entry:
    """Write a picture and its text into a file of its own; return the file's manifest entry."""
    name = f"{picture.name}-{slug(picture.prompt)}.{format}"
    content = FORMATS[format](picture.image, picture.text)
    write_bytes(folder / name, content)
    return {"file": name, "prompt": picture.prompt, "sample": picture.sample, "bytes": len(content)}


@dataclass(frozen=True)
class Member:
    """An encoded picture, as it goes into a shard: the content of its files by suffix."""

    name: str
    prompt: str
    sample: int
    files: dict[str, bytes]


def encode_member(picture: Picture) -> Member:
    """Encode a picture as PNG, with the prompt and all of its text in files beside it."""
    prompt = picture.prompt.encode(errors="replace")  # an argument may not be UTF-8
    files = {"png": png_bytes(picture.image), "txt": prompt, "json": json.dumps(picture.text).encode()}
    return Member(picture.name, picture.prompt, picture.sample, files)


def write_shard(members: Iterable[Member], path: Path) -> Entry:
    """Write a complete tar file or none; return its manifest entry. The same members give the same bytes."""
    pictures = 0
    with name_in_errors(path), atomic_path(path) as draft, tarfile.open(draft, "w") as tar:
        for member in members:
            pictures += 1
            for suffix, content in member.files.items():
                header = tarfile.TarInfo(f"{member.name}.{suffix}")  # without time and user
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
    size = path.stat().st_size
    return {"file": path.name, "pictures": pictures, "prompt": member.prompt, "sample": member.sample, "bytes": size}
