"""MS-COCO 2017: 118,287 + 5,000 photographs with five captions each (Lin et al. 2014, Chen et al. 2015)."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvae_cli.data.cache import exclusive, require_space
from cvae_cli.data.conditions import make_captions
from cvae_cli.data.listing import Listing, absent, inside, left_out, one_line
from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback, Notice, Progress
from cvae_cli.paths import datasets_dir
from cvae_cli.weights.download import Digest, download_file, is_offline

SPLITS = ("train", "val")

_BASE = "http://images.cocodataset.org"
_LAYOUT = "--data-dir takes a folder with annotations/captions_val2017.json, val2017/*.jpg and the same for train"


@dataclass(frozen=True, kw_only=True)
class _Archive:
    """A published archive, and the folder that is made of it.

    Attributes:
        url: behind `_BASE`.
        size: bytes of the archive.
        unpacked: bytes of what is kept of it, about.
        members: what is kept, a pattern for the whole name; the last part becomes the file's name.
    """

    url: str
    size: int
    unpacked: int
    sha256: str
    members: str


# COCO publishes no digests. On these agree, among others, torchvision's prototype data sets, and mirrors and projects
# that state the MD5 of the same files.
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


def listing(split: str, *, data_dir: Path | None, callback: Callback) -> Listing:
    """A split, of a copy in the published layout, or fetched into the cache: of the pictures only that split's.

    The archives are unpacked and then deleted.

    Args:
        data_dir: the copy.

    Raises:
        MissingError: a file is absent and cannot be fetched.
        CorruptError: a file is damaged.
        UsageError: the cache cannot be written, or has too little space.
    """
    home = data_dir.absolute() if data_dir is not None else datasets_dir() / "coco"
    if data_dir is None:
        _bring(["annotations", f"{split}2017"], home, callback)
    return _read(home, split)


def _bring(wanted: list[str], home: Path, callback: Callback) -> None:
    """Fetch and unpack what is not there."""
    wanted = [what for what in wanted if not (home / what).is_dir()]
    if not wanted:
        return
    archives = {what: home / _ARCHIVES[what].url.rpartition("/")[2] for what in wanted}
    left = sum(_ARCHIVES[what].size - _arrived(path) for what, path in archives.items())
    require_space(home, left + sum(_ARCHIVES[what].unpacked for what in wanted), "fetching and unpacking COCO")
    if left and not is_offline():
        callback(Notice(f"fetching {left / 1e6:,.0f} MB of COCO once, into {home}"))
    for what, path in archives.items():
        with exclusive(home / what, f"fetching COCO's {what}", callback):
            if (home / what).is_dir():
                continue
            archive = _ARCHIVES[what]
            digest = Digest(algorithm="sha256", hexadecimal=archive.sha256)
            download_file(f"{_BASE}/{archive.url}", path, digest=digest, size=archive.size, callback=callback)
            _unpack(path, home / what, archive.members, callback)
            path.unlink()


def _arrived(path: Path) -> int:
    """How much of a download is here, in bytes."""
    part = path.with_name(path.name + ".part")
    return next((each.stat().st_size for each in (path, part) if each.exists()), 0)


def _unpack(path: Path, place: Path, members: str, callback: Callback) -> None:
    """Make the folder `place` of the members whose names match; it is there when it is whole."""
    draft = place.with_name(place.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        with _reading(path), zipfile.ZipFile(path) as archive:
            chosen = [each for each in archive.infolist() if re.fullmatch(members, each.filename)]
        if not chosen:
            raise CorruptError(f"{path.name} has nothing of what COCO's has")
        with zipfile.ZipFile(path) as archive:
            for number, member in enumerate(chosen, 1):
                with _reading(path):
                    content = archive.read(member)
                (draft / member.filename.rpartition("/")[2]).write_bytes(content)
                callback(Progress(f"unpacking {path.name}", number, len(chosen)))
        os.replace(draft, place)
    except CorruptError:
        path.unlink()
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _reading:
    """What a damaged archive raises, as a CorruptError; it may be anything, as an archive's numbers are trusted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, MemoryError):
            raise CorruptError(f"{self._path} is damaged and was removed ({error})", hint="try again") from error


def _read(home: Path, split: str) -> Listing:
    path, folder = home / "annotations" / f"captions_{split}2017.json", home / f"{split}2017"
    for each in (path, folder):
        if not each.exists():
            raise MissingError(f"{home} has no {each.relative_to(home).as_posix()}", hint=_LAYOUT)
    names, captions, strangers = _captions(path)
    present = set(os.listdir(folder))
    gone = sorted(name for name in names.values() if name not in present)
    notes = absent(gone, len(names), path)
    silent = sorted(names[image] for image in names if not captions[image])
    notes += left_out(silent, "picture without a caption", "pictures without a caption")
    notes += left_out(strangers, "caption of an unknown picture", "captions of unknown pictures")
    kept = [image for image in sorted(names) if captions[image] and names[image] in present]
    if not kept:
        raise CorruptError(f"{path} has no captions of pictures")
    return Listing(
        name="coco",
        split=split,
        root=home,
        files=tuple(f"{folder.name}/{names[image]}" for image in kept),
        conditions=make_captions([captions[image] for image in kept]),
        licence="captions CC BY 4.0; each picture under its own Flickr licence",
        notes=notes,
    )


def _captions(path: Path) -> tuple[dict[int, str], dict[int, list[str]], list[str]]:
    """The name and the captions of each picture by its id, and the captions of pictures that are not listed."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is not JSON ({error})") from error
    names = {
        image: inside(name, str(path))
        for image, name in _pairs(path, content, "images", ("id", int), ("file_name", str))
    }
    captions: dict[int, list[str]] = {image: [] for image in names}
    strangers = []
    for image, text in _pairs(path, content, "annotations", ("image_id", int), ("caption", str)):
        caption = one_line(text)
        if image not in captions:
            strangers.append(f'"{caption}"')
        elif caption:
            captions[image].append(caption)
    return names, captions, strangers


def _pairs(path: Path, content: Any, kind: str, *fields: tuple[str, type]) -> Iterator[tuple[Any, ...]]:
    """Some fields of every entry of a kind, which must be there and of their type."""
    entries = content.get(kind) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise CorruptError(f'{path} is not as COCO publishes it: it has no list of "{kind}"')
    for number, entry in enumerate(entries):
        values = tuple(entry.get(field) if isinstance(entry, dict) else None for field, _ in fields)
        for (field, kind_of), value in zip(fields, values, strict=True):
            if not isinstance(value, kind_of):
                raise CorruptError(f'{path} is not as COCO publishes it: {kind}[{number}] has no "{field}"')
        yield values
