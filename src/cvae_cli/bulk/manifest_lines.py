"""The lines of a manifest, which anybody may have changed: the settings in its first one, and the entries."""

import json
import os
from pathlib import Path
from typing import Any

from cvae_cli.errors import CorruptError, UsageError, quoted

WEBDATASET = "webdataset"
"""The format with many pictures per file; the others, in `pictures.files.FORMATS`, have one."""
SHARD_SIZE = 1000  # pictures in a tar file, at most

Entry = dict[str, Any]
"""A finished file: `file`, its name; `prompt` and `sample` of its (last) picture; `bytes`, its size; for a shard also
the number of its `pictures`."""

_NUMBER = (int, float)
_SETTINGS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "weights": (str,),
    "seed": (int,),
    "temperature": _NUMBER,
    "guidance": (*_NUMBER, type(None)),
    "n": (int,),
    "format": (str,),
}
"""The settings that every manifest has, and their types."""
_DEFAULTS: dict[str, Any] = {"scale": 1, "resample": "nearest", "same_noise": True}
"""The values of settings that manifests of earlier versions do not have."""


def check_settings(line: bytes, settings: dict[str, Any], path: Path, *, hint: str) -> int:
    """Check that the first line of a manifest holds these settings; return its length in bytes.

    Raises:
        UsageError: it holds others.
        CorruptError: it holds no settings.
    """
    found = _parse(line)
    if found is None or not all(_has(found, key, *types) for key, types in _SETTINGS.items()):
        raise CorruptError(f"{path} is damaged, or not a manifest of cvae generate", hint=hint)
    for key in dict.fromkeys([*settings, *found]):
        theirs, ours = (each.get(key, _DEFAULTS.get(key)) for each in (found, settings))
        if theirs != ours:
            raise UsageError(
                f"{path.parent} holds pictures of {key} {_shorten(theirs)}, not {_shorten(ours)}", hint=hint
            )
    return len(line)


def has_same_noise(path: Path) -> bool:
    """Whether version 0.1 has begun a manifest: all prompts had the same noise, and nothing says so."""
    if not path.is_file():  # a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            found = _parse(file.readline())
    except OSError:
        return False
    return found is not None and "weights" in found and "same_noise" not in found


def parse_entry(line: bytes, settings: dict[str, Any], pictures: int) -> Entry | None:
    """Return the entry in a line of a manifest, or None if it is none.

    Args:
        pictures: the number of pictures in the entries before.
    """
    entry = _parse(line)
    if entry is None or not (_has(entry, "file", str) and _has(entry, "prompt", str) and _has(entry, "sample", int)):
        return None
    is_name = entry["file"] not in {"", ".", ".."} and os.path.basename(entry["file"]) == entry["file"]
    count, limit = entry.get("pictures", 1), SHARD_SIZE if settings["format"] == WEBDATASET else 1
    if not is_name or not _is(count, int) or not 1 <= count <= limit or not _is(entry.get("bytes", 0), int):
        return None
    is_next = entry["sample"] % settings["n"] == (pictures + count - 1) % settings["n"]  # equal prompts go on
    return entry if is_next else None


def _has(values: dict[str, Any], key: str, *types: type) -> bool:
    return key in values and _is(values[key], *types)


def _is(value: Any, *types: type) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _shorten(value: Any) -> str:
    return quoted(value[:40]) if isinstance(value, str) else json.dumps(value)[:40]


def _parse(line: bytes) -> dict[str, Any] | None:
    """The object in a complete line of a manifest, or None."""
    try:
        values = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
