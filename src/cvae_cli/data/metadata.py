"""Captions in `metadata.jsonl` or `metadata.csv`, as Hugging Face's imagefolder has them.

https://huggingface.co/docs/datasets/image_dataset
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvae_cli.data.listing import inside
from cvae_cli.errors import CorruptError, UsageError

NAMES = ("metadata.jsonl", "metadata.csv")


def find_metadata(folder: Path) -> Path | None:
    """The metadata in a folder, if it has any.

    Raises:
        UsageError: it has both, and they may differ.
    """
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise UsageError(f"{folder} has both {' and '.join(NAMES)}", hint="remove the one that is not meant")
    return found[0] if found else None


def read_metadata(path: Path) -> dict[str, list[str]]:
    """The captions of each picture by its name, relative to the file's folder; lines of one picture are merged.

    Raises:
        CorruptError: something else than a name and captions, with the line it is in.
    """
    text = read_text(path)
    captions: dict[str, list[str]] = {}
    for line, record in _csv(path, text) if path.suffix == ".csv" else _jsonl(path, text):
        file, texts = _entry(f"{path}, line {line}", record)
        captions.setdefault(file, []).extend(texts)
    if not captions:
        raise CorruptError(f"{path} names no pictures")
    return captions


def read_text(path: Path) -> str:
    """A file of UTF-8, with or without a byte order mark."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptError(f"{path} is not UTF-8 text (byte {error.start:,})") from error


def _jsonl(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):  # what else ends a line may stand in a JSON string
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorruptError(f"{path}, line {number}: not JSON ({error})") from error


def _csv(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for column in ("file_name", "text"):
            if column not in (reader.fieldnames or []):
                raise CorruptError(f'{path} has no column "{column}"', hint="its first line names the columns")
        for record in reader:
            yield reader.line_num, record
    except csv.Error as error:
        raise CorruptError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _entry(where: str, record: Any) -> tuple[str, list[str]]:
    """The name and the captions that one line gives."""
    if not isinstance(record, dict):
        raise CorruptError(f"{where}: not an object with file_name and text")
    file, text = record.get("file_name"), record.get("text")
    if not isinstance(file, str):
        raise CorruptError(f'{where}: no "file_name"')
    texts = [each for each in (text if isinstance(text, list) else [text]) if isinstance(each, str)]
    if len(texts) < (len(text) if isinstance(text, list) else 1):
        raise CorruptError(f'{where}: no "text" that is a caption or a list of captions')
    return inside(file, where), texts
