"""The file of a training's state: one safetensors file with a digest of itself. The state before is kept beside it."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from cvae_cli.errors import CorruptError
from cvae_cli.paths import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

_POSITION, _DIGEST = "position", "sha256"  # the keys of the header
_BLANK = "0" * 64  # stands in the place of the digest while it is computed


def older_state(path: Path) -> Path:
    """Return where the state before the one in `path` is kept."""
    return path.with_name(f"previous-{path.name}")


def write_state(path: Path, tensors: dict[str, "Tensor"], position: str) -> None:
    """Write a state, and keep the one that it replaces.

    Args:
        position: everything that is not a tensor, as text.
    """
    from cvae_cli.models.tensors import tensors_bytes  # it imports torch, and a plan of a training needs none

    content = tensors_bytes(tensors, {_POSITION: position, _DIGEST: _BLANK})
    before, after = _around(content, _BLANK)
    digest = hashlib.sha256(content).hexdigest()
    if path.exists():
        older_state(path).unlink(missing_ok=True)
        try:
            os.link(path, older_state(path))
        except OSError:  # a file system without links
            os.replace(path, older_state(path))
    write_bytes(path, before, _field(digest), after)


def read_state(path: Path) -> tuple[str, dict[str, "Tensor"]]:
    """Read what `write_state` wrote: the position and the tensors. Version 0.1.0 wrote no digest.

    Raises:
        CorruptError: the file is damaged, even by a single bit.
    """
    import safetensors.torch

    content = path.read_bytes()
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        position, digest = header.pop(_POSITION), header.pop(_DIGEST, None)
        tensors = safetensors.torch.load(content)
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError, AttributeError) as error:
        reason = str(error) if isinstance(error, SafetensorError) else "it is not the state of a training"
        raise CorruptError(f"{path} is damaged ({reason})") from error
    if header or digest not in {None, _digest_of(content, digest)}:
        raise CorruptError(f"{path} is damaged (its content is not what was written)")
    return position, tensors


def _digest_of(content: bytes, recorded: object) -> str:
    """Return the digest of the content of a file in which another is recorded."""
    before, after = _around(content, recorded)
    digest = hashlib.sha256(before)
    digest.update(_field(_BLANK))
    digest.update(after)
    return digest.hexdigest()


def _around(content: bytes, digest: object) -> tuple[memoryview, memoryview]:
    """Return what is before and behind the field of the digest, as views: a state can be large."""
    start = content.find(_field(digest))
    start = len(content) if start < 0 else start  # a header that is written in another way
    view = memoryview(content)
    return view[:start], view[start + len(_field(digest)) :]


def _field(digest: object) -> bytes:
    """Return the digest as it stands in the header."""
    return f'"{_DIGEST}":"{digest}"'.encode()
