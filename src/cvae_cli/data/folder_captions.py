"""Take the captions of pictures from metadata files, or from the text files beside the pictures."""

import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cvae_cli.data.listing import clean_caption, note_left_out, note_missing
from cvae_cli.data.metadata import read_metadata, read_text
from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.pictures.kinds import is_picture

TEXT_ENDINGS = (".txt", ".caption")
"""The endings of text files with captions, in lower case."""
_MAX_COMPARED = 1000  # names that are compared letter by letter


@dataclass(frozen=True, kw_only=True)
class CaptionsFound:
    """What files say about pictures.

    Attributes:
        captions: of each picture; empty for a picture without any.
        source: where they come from, in a few words.
        read: the files with captions.
        notes: sentences for the user.
    """

    captions: dict[str, list[str]]
    source: str
    read: set[str]
    notes: tuple[str, ...]


def from_metadata(
    root: Path, files: Sequence[str], metadata: Sequence[str], belongs: Callable[[str], bool]
) -> CaptionsFound:
    """Take captions from metadata files.

    Args:
        files: all files of the data set.
        metadata: those to read. Each names pictures relative to its own folder.
        belongs: whether a file is in the split that is read.

    Raises:
        UsageError: a folder has several metadata files, which may differ.
        MissingError: more than 1% of the pictures that are named do not exist.
        CorruptError: captions cannot be read.
    """
    _check_single(root, metadata)
    known = set(files)
    by_form: dict[str, list[str]] = {}
    captions: dict[str, list[str]] = defaultdict(list)
    missing: set[str] = set()
    notes: list[str] = []

    def find(named: str) -> str | None:
        """Return the file that a name means, or None."""
        nonlocal by_form
        if named in known or os.path.isfile(root / named):
            return named
        by_form = by_form or _by_form(files)
        alike = by_form.get(_form(named), [])
        return alike[0] if len(alike) == 1 else None

    for file in metadata:
        folder = file.rpartition("/")[0]
        found = read_metadata(root / file)
        notes += found.notes
        for name, texts in found.captions.items():
            named = f"{folder}/{name}" if folder else name
            picture = find(named)
            if belongs(picture or named):
                captions[picture or named] += texts
                if picture is None:
                    missing.add(named)
    source = root / (metadata[0] if len(metadata) == 1 else f"*/{PurePosixPath(metadata[0]).name}")
    unnamed = [file for file in files if missing and is_picture(file) and file not in captions]
    hint = _near_name(min(missing), unnamed) if unnamed else ""
    lost = note_missing(sorted(missing), len(captions), source, hint=hint)
    return CaptionsFound(
        captions={name: texts for name, texts in captions.items() if name not in missing},
        source=metadata[0] if len(metadata) == 1 else f"{len(metadata)} files {PurePosixPath(metadata[0]).name}",
        read=set(metadata),
        notes=tuple(dict.fromkeys(notes)) + lost,
    )


def from_texts(root: Path, pictures: Sequence[str], texts: dict[str, list[str]]) -> CaptionsFound:
    """Take captions from the text files beside the pictures, a caption a line.

    Args:
        texts: the text files of each picture that has any.
    """
    captions = {
        picture: [line for text in texts.get(picture, ()) for line in read_text(root / text).splitlines()]
        for picture in pictures
    }
    read = {text for each in texts.values() for text in each}
    endings = sorted({PurePosixPath(text).suffix.lower() for text in read}, reverse=True)
    return CaptionsFound(captions=captions, source=f"{' and '.join(endings)} files beside them", read=read, notes=())


def texts_beside(pictures: Iterable[str], files: Iterable[str]) -> dict[str, list[str]]:
    """Return the text files of each picture that has any: `a.txt` or `a.jpg.txt` for `a.jpg`, in capitals or not."""
    by_stem = defaultdict(list)
    for file in files:
        if file.lower().endswith(TEXT_ENDINGS):
            by_stem[_form(file.rpartition(".")[0])].append(file)
    found = {}
    for picture in pictures if by_stem else ():
        form = _form(picture)
        if texts := by_stem.get(form.rpartition(".")[0], []) + by_stem.get(form, []):
            found[picture] = sorted(texts, reverse=True)  # .txt before .caption
    return found


def note_stray_texts(files: Iterable[str], read: set[str]) -> tuple[str, ...]:
    """Return a note on text files that no picture stands beside, if there are any."""
    strays = [file for file in files if file.lower().endswith(TEXT_ENDINGS) and file not in read]
    return note_left_out(strays, "text without a picture", "texts without a picture")


def clean(captions: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the captions of the pictures that have any, as valid text."""
    cleaned = {file: [each for each in map(clean_caption, texts) if each] for file, texts in captions.items()}
    return {file: texts for file, texts in cleaned.items() if texts}


def _check_single(root: Path, metadata: Sequence[str]) -> None:
    """Raise when two metadata files lie in one folder."""
    by_folder: dict[str, str] = {}
    for file in metadata:
        folder, _, name = file.rpartition("/")
        if other := by_folder.get(folder):
            raise UsageError(f"{root / folder} has both {other} and {name}", hint="remove the one that is not meant")
        by_folder[folder] = name


def _form(name: str) -> str:
    """Return what names have in common that differ in their form only: in slashes, in capitals, in Unicode's form."""
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/")).casefold())


def _by_form(files: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for file in files:
        found[_form(file)].append(file)
    return found


def _near_name(missing: str, unnamed: Sequence[str]) -> str:
    """Return a question that names the file that may be meant: of the same name or stem, or with a similar path."""
    form = _form(missing)
    name = form.rpartition("/")[2]
    for same in (lambda other: other == name, lambda other: PurePosixPath(other).stem == PurePosixPath(name).stem):
        alike = [file for file in unnamed if same(_form(file).rpartition("/")[2])]
        if alike:
            return f'Did you mean "{alike[0]}"?'
    return did_you_mean(missing, unnamed[:_MAX_COMPARED]).strip()
