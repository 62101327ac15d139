"""MS-COCO 2017: 118,287 + 5,000 photographs with five captions each (Lin et al. 2014, Chen et al. 2015)."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvae_cli.data.building import exclusive, require_space
from cvae_cli.data.conditions import make_captions
from cvae_cli.data.listing import Listing, check_file_name, clean_caption, note_left_out, note_missing
from cvae_cli.data.published import unpack_zip, way_out
from cvae_cli.data.source import ListingSource
from cvae_cli.errors import CorruptError, MissingError, byte_size
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.paths import datasets_dir
from cvae_cli.weights.download import Digest, download_file, is_offline

_BASE = "http://images.cocodataset.org"
_LAYOUT = "--data-dir takes a folder with annotations/captions_val2017.json, val2017/*.jpg and the same for train"


@dataclass(frozen=True, kw_only=True)
class _Archive:
    """A published archive, and the folder that it is unpacked to.

    Attributes:
        url: relative to `_BASE`.
        size: of the archive, in bytes.
        unpacked: approximate size of the unpacked files that are kept, in bytes.
        sha256: of the archive.
        members: a pattern for the full names of the members to keep.
    """

    url: str
    size: int
    unpacked: int
    sha256: str
    members: str


# COCO publishes no digests. These are the ones that torchvision's prototype data sets state. Mirrors and other projects
# agree with them, some by the MD5 of the same files.
_ARCHIVES = {
    "annotations": _Archive(
        url="annotations/annotations_trainval2017.zip",
        size=252_907_541,
        unpacked=100_000_000,
        sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        members=r"annotations/captions_(train|val)2017\.json",
    ),
    "train2017": _Archive(
        url="zips/train2017.zip",
        size=19_336_861_798,
        unpacked=19_700_000_000,
        sha256="69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        members=r"train2017/\d{12}\.jpg",
    ),
    "val2017": _Archive(
        url="zips/val2017.zip",
        size=815_585_330,
        unpacked=830_000_000,
        sha256="4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        members=r"val2017/\d{12}\.jpg",
    ),
}


class Coco(ListingSource):
    """COCO's captions, in a copy of the published layout or downloaded into the cache, one split at a time."""

    description = "123,287 photographs with five captions each (MS-COCO 2017)"
    splits = ("train", "val")

    def has_classes(self) -> bool:
        return False

    def is_here(self) -> bool:
        home = datasets_dir() / "coco"
        return all((home / folder).is_dir() for folder in ("annotations", "train2017"))

    def list_pictures(self, split: str, *, data_dir: Path | None = None, callback: Callback = ignore) -> Listing:
        if data_dir is not None:
            return _read(data_dir.absolute(), split)
        home = datasets_dir() / "coco"
        with way_out(_LAYOUT):
            _download(["annotations", f"{split}2017"], home, callback)
        return _read(home, split)


def _download(folders: Sequence[str], home: Path, callback: Callback) -> None:
    """Download and unpack the archives of missing folders. Archives are deleted once they are unpacked."""
    folders = [name for name in folders if not (home / name).is_dir()]
    if not folders:
        return
    paths = {name: home / _ARCHIVES[name].url.rpartition("/")[2] for name in folders}
    remaining = sum(_ARCHIVES[name].size - _downloaded_bytes(path) for name, path in paths.items())
    if not (remaining and is_offline()):  # offline, space is not what is missing: `download_file` says what is
        require_space(
            home, remaining + sum(_ARCHIVES[name].unpacked for name in folders), "downloading and unpacking COCO"
        )
    if remaining and not is_offline():
        callback(Notice(f"downloading {byte_size(remaining)} of COCO once, into {home}"))
    for name, path in paths.items():
        with exclusive(home / name, f"downloading COCO's {name}", callback):
            if (home / name).is_dir():  # another process has created it in the meantime
                continue
            archive = _ARCHIVES[name]
            digest = Digest(algorithm="sha256", hexadecimal=archive.sha256)
            download_file(f"{_BASE}/{archive.url}", path, digest=digest, size=archive.size, callback=callback)
            unpack_zip(path, home / name, archive.members, callback)
            path.unlink()


def _downloaded_bytes(path: Path) -> int:
    """Return how many bytes of a download are already on the disk."""
    part = path.with_name(path.name + ".part")
    return next((each.stat().st_size for each in (path, part) if each.exists()), 0)


def _read(home: Path, split: str) -> Listing:
    """List the pictures of a split that have captions, in the order of their ids."""
    path, folder = home / "annotations" / f"captions_{split}2017.json", home / f"{split}2017"
    for each in (path, folder):
        if not each.exists():
            raise MissingError(f"{home} has no {each.relative_to(home).as_posix()}", hint=_LAYOUT)
    names, captions, strays = _read_captions(path)
    existing = set(os.listdir(folder))
    notes = note_missing(sorted(name for name in names.values() if name not in existing), len(names), path)
    uncaptioned = sorted(names[image] for image in names if not captions[image])
    notes += note_left_out(uncaptioned, "picture without a caption", "pictures without a caption")
    notes += note_left_out(strays, "caption of an unknown picture", "captions of unknown pictures")
    images = [image for image in sorted(names) if captions[image] and names[image] in existing]
    if not images:
        raise CorruptError(f"{path} has no captions of pictures")
    return Listing(
        name="coco",
        split=split,
        root=home,
        files=tuple(f"{folder.name}/{names[image]}" for image in images),
        conditions=make_captions([captions[image] for image in images]),
        licence="captions CC BY 4.0; each picture under its own Flickr licence",
        notes=notes,
    )


def _read_captions(path: Path) -> tuple[dict[int, str], dict[int, list[str]], list[str]]:
    """Read an annotations file.

    Returns:
        the file name of each picture by its id, the captions of each picture by its id, and the captions whose picture
        is not listed, in quotes.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is not JSON ({error})") from error
    names = {
        image: check_file_name(name, str(path))
        for image, name in _entries(path, content, "images", ("id", int), ("file_name", str))
    }
    captions: dict[int, list[str]] = {image: [] for image in names}
    strays = []
    for image, text in _entries(path, content, "annotations", ("image_id", int), ("caption", str)):
        caption = clean_caption(text)
        if image not in captions:
            strays.append(f'"{caption}"')
        elif caption:
            captions[image].append(caption)
    return names, captions, strays


def _entries(path: Path, content: Any, kind: str, *fields: tuple[str, type]) -> Iterator[tuple[Any, ...]]:
    """Yield the given fields of each entry of a kind.

    Args:
        fields: the name and the type of each.

    Raises:
        CorruptError: a field is missing or has another type.
    """
    entries = content.get(kind) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise CorruptError(f'{path} is not as COCO publishes it: it has no list of "{kind}"')
    for number, entry in enumerate(entries):
        values = tuple(entry.get(field) if isinstance(entry, dict) else None for field, _ in fields)
        for (field, expected_type), value in zip(fields, values, strict=True):
            if not isinstance(value, expected_type):
                raise CorruptError(f'{path} is not as COCO publishes it: {kind}[{number}] has no "{field}"')
        yield values
