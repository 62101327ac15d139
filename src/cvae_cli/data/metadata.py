"""Read captions from `metadata.jsonl` or `metadata.csv`, the format of Hugging Face's imagefolder.

https://huggingface.co/docs/datasets/image_dataset
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvae_cli.data.listing import check_file_name
from cvae_cli.errors import CorruptError, UsageError

NAMES = ("metadata.jsonl", "metadata.csv")


def find_metadata(folder: Path) -> Path | None:
    """Return the metadata file of a folder, or None when it has none.

    Raises:
        UsageError: the folder has both kinds, which may differ.
    """
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise UsageError(f"{folder} has both {' and '.join(NAMES)}", hint="remove the one that is not meant")
    return found[0] if found else None


def read_metadata(path: Path) -> dict[str, list[str]]:
    """Return the captions of each picture by its file name, relative to the folder of the metadata.

    A picture that several lines name has the captions of all of them.

    Raises:
        CorruptError: a line is not a file name with captions; the message names the line.
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
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        CorruptError: the file is not valid UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptError(f"{path} is not UTF-8 text (byte {error.start:,})") from error


def _jsonl(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each line that is not blank."""
    # `splitlines` would also split at other characters, which a JSON string may contain
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorruptError(f"{path}, line {number}: not JSON ({error})") from error


def _csv(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Yield the line number and the fields of each record."""
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
    """Return the file name and the captions of one record."""
    if not isinstance(record, dict):
        raise CorruptError(f"{where}: not an object with file_name and text")
    file, text = record.get("file_name"), record.get("text")
    if not isinstance(file, str):
        raise CorruptError(f'{where}: no "file_name"')
    texts = [each for each in (text if isinstance(text, list) else [text]) if isinstance(each, str)]
    if len(texts) < (len(text) if isinstance(text, list) else 1):
        raise CorruptError(f'{where}: no "text" that is a caption or a list of captions')
    return check_file_name(file, where), texts
