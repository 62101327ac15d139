"""Read captions from `metadata.jsonl`, `.csv` or `.parquet`, the format of Hugging Face's imagefolder.

https://huggingface.co/docs/datasets/image_dataset
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvae_cli.data.listing import check_file_name
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.paths import check_regular

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_FILE_COLUMNS = ("filename", "imagefilename", "file", "image", "imagepath", "filepath", "path")
_TEXT_COLUMNS = ("text", "texts", "caption", "captions", "prompt", "prompts", "description", "descriptions")
_NO_TEXT = {
    "",
    "null",
    "NULL",
    "None",
    "nan",
    "NaN",
    "NA",
    "N/A",
    "n/a",
    "<NA>",
    "#N/A",
}  # in CSV, as pandas has it

Row = tuple[str, Any]
"""Where a record is, for messages, and the record."""


@dataclass(frozen=True)
class Metadata:
    """The captions in a metadata file.

    Attributes:
        captions: of each picture, by its file name relative to the folder of the metadata. Empty for a picture whose
            caption is null or absent.
        notes: sentences for the user.
    """

    captions: dict[str, list[str]]
    notes: tuple[str, ...] = ()


def is_metadata(file: str) -> bool:
    """Return whether a file is metadata by its name, in which capitals do not matter."""
    return file.rpartition("/")[2].lower() in NAMES


def read_metadata(path: Path) -> Metadata:
    """Return the captions of each picture.

    A picture that several records name has the captions of all of them.

    Raises:
        CorruptError: a record is not a file name with captions; the message names the line.
        UsageError: several columns may be the one with the captions, or the file cannot be read here.
    """
    rows = list(_READERS[path.suffix.lower()](path))
    if not rows:
        raise CorruptError(f"{path} names no pictures")
    columns: dict[str, None] = {}
    for where, record in rows:
        if not isinstance(record, dict):
            raise CorruptError(f"{where}: not an object with file_name and text")
        columns.update(dict.fromkeys(record))
    file_column = _find_column(path, columns, "file_name", _FILE_COLUMNS)
    text_column = _find_column(path, columns, "text", _TEXT_COLUMNS)
    captions: dict[str, list[str]] = {}
    for where, record in rows:
        file, text = record.get(file_column), record.get(text_column)
        if not isinstance(file, str):
            raise CorruptError(f'{where}: no "{file_column}"')
        texts = [each for each in (text if isinstance(text, list) else [text]) if each is not None]
        if not all(isinstance(each, str) for each in texts):
            raise CorruptError(f'{where}: "{text_column}" is not a caption or a list of captions')
        captions.setdefault(check_file_name(file, where), []).extend(texts)
    taken = [(file_column, "file_name"), (text_column, "text")]
    notes = [f'the column "{column}" of {path.name} is taken for "{name}"' for column, name in taken if column != name]
    return Metadata(captions, tuple(notes))


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        UsageError: it is a pipe or a device.
        CorruptError: the file is not valid UTF-8.
    """
    check_regular(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptError(f"{path} is not UTF-8 text (byte {error.start:,})") from error


def _find_column(path: Path, columns: Iterable[str], name: str, others: tuple[str, ...]) -> str:
    """Return the column called `name`, or the only one that can be meant by it."""
    columns = list(columns)
    if name in columns:
        return name
    candidates = [each for each in columns if "".join(filter(str.isalnum, each.lower())) in others]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise UsageError(
            f'{path} has no column "{name}", but {" and ".join(candidates)}',
            hint=f'name the one that is meant "{name}"',
        )
    separated = "; commas separate columns" if path.suffix.lower() == ".csv" else ""
    raise CorruptError(f'{path} has no column "{name}"', hint=f"its columns: {', '.join(columns[:8])}{separated}")


def _jsonl(path: Path) -> Iterator[Row]:
    """Yield the value of each line that is not blank."""
    # `splitlines` would also split at other characters, which a JSON string may contain
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorruptError(f"{where}: not JSON ({error})") from error


def _csv(path: Path) -> Iterator[Row]:
    """Yield the fields of each record by the name of their column; null where a field is empty or absent."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        columns = [column.strip() for column in next(reader, [])]
        for fields in reader:
            where = f"{path}, line {reader.line_num}"
            if len(fields) > len(columns):
                raise CorruptError(
                    f"{where}: {len(fields)} fields, where the first line has {len(columns)}",
                    hint='a text with a comma needs quotes, as in 1.jpg,"a hat, and a shoe"',
                )
            if any(fields):
                texts = [None if field in _NO_TEXT else field for field in fields]
                yield where, dict.fromkeys(columns) | dict(zip(columns, texts, strict=False))
    except csv.Error as error:
        raise CorruptError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _parquet(path: Path) -> Iterator[Row]:
    """Yield each row."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UsageError(f"reading {path} needs pyarrow", hint='pip install "cvae-cli[parquet]"') from error
    check_regular(path)
    try:
        rows = parquet.read_table(path).to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        raise CorruptError(f"{path} is not Parquet ({str(error).splitlines()[0]})") from error
    for number, row in enumerate(rows, 1):
        yield f"{path}, row {number}", row


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
