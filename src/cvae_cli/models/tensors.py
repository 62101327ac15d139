"""Read and write named tensors as safetensors files."""

import hashlib
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from cvae_cli.errors import CorruptError
from cvae_cli.paths import atomic_path


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers that a weights file holds, by name; a shared one is listed once."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Return the digest of a weights file with these tensors."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    return hashlib.sha256(content).hexdigest()


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file atomically."""
    try:
        with atomic_path(path) as draft:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, draft, metadata)
    except SafetensorError as error:
        if code := re.search(r"os error (\d+)", str(error)):  # such as a full disk
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
        raise


def read_tensors(path: Path, *, into: dict[str, Tensor]) -> None:
    """Copy the tensors of a safetensors file into those of the same names.

    Raises:
        CorruptError: the file is damaged, or its names and shapes are not exactly those of `into`.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise CorruptError(f"{path} is damaged or not a safetensors file ({error})") from error
    copy_tensors(tensors, into, source=path)


@torch.no_grad()
def copy_tensors(tensors: dict[str, Tensor], into: dict[str, Tensor], *, source: Path) -> None:
    """Copy tensors into those of the same names.

    Raises:
        CorruptError: the names and shapes are not exactly the same, or values have the wrong type or are not finite.
    """
    if missing := sorted(into.keys() ^ tensors.keys()):
        verb = "lacks" if missing[0] in into else "has the unknown"
        raise CorruptError(f'{source} does not fit its settings: it {verb} tensor "{missing[0]}"')
    for name, tensor in into.items():
        given = tensors[name]
        if tensor.shape != given.shape:
            raise CorruptError(
                f'{source} does not fit its settings: "{name}" is {tuple(given.shape)}, not {tuple(tensor.shape)}'
            )
        if tensor.is_floating_point() != given.is_floating_point() or not given.isfinite().all():
            raise CorruptError(f'{source} does not fit its settings: "{name}" has numbers that no weights have')
        tensor.copy_(given)
