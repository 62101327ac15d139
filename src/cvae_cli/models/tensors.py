"""Read and write named tensors as safetensors files."""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cvae_cli.errors import CorruptError, quoted
from cvae_cli.paths import write_bytes

_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}  # for smaller ones torch has no arithmetic


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers that a weights file holds, by name; a shared one is listed once."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def tensors_bytes(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Return the content of a safetensors file with these tensors."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        # The same bytes as by way of torch, in less time if there are hundreds of small tensors.
        arrays = {name: tensor.numpy() for name, tensor in dense.items()}
    except TypeError:  # a type that numpy lacks, such as bfloat16
        return safetensors.torch.save(dense, metadata)
    return safetensors.numpy.save(arrays, metadata)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file atomically."""
    write_bytes(path, tensors_bytes(tensors, metadata))


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Return the digest of a weights file with these tensors."""
    return hashlib.sha256(tensors_bytes(tensors)).hexdigest()


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a safetensors file into a module, whose tensors are on "meta" (see `without_memory`) or on the CPU.

    The header of the file is compared with the module first, so that a wrong file costs no memory.

    Raises:
        CorruptError: the file is damaged, or its names and shapes are not exactly those of the module.
    """
    expected = named_tensors(module)
    with _open(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        _check_shapes(shapes, expected, source=path)
        given = {name: file.get_tensor(name) for name in shapes}
    for name, tensor in expected.items():
        _check_values(name, given[name], tensor, source=path)
        loaded = given[name].to(tensor.dtype, copy=True)  # the file may stay mapped, and change later
        if isinstance(tensor, nn.Parameter):
            loaded = nn.Parameter(loaded, requires_grad=tensor.requires_grad)
        torch.utils.swap_tensors(tensor, loaded)  # in every module that shares it


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a safetensors file; errors of reading it become a CorruptError."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, ValueError) as error:
        raise CorruptError(f"{path} is damaged or not a safetensors file ({error})") from error


@torch.no_grad()
def copy_tensors(tensors: dict[str, Tensor], into: dict[str, Tensor], *, source: Path) -> None:
    """Copy tensors into those of the same names.

    Raises:
        CorruptError: the names and shapes are not exactly the same, or values have the wrong type or are not finite.
    """
    _check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, into, source=source)
    for name, tensor in into.items():
        _check_values(name, tensors[name], tensor, source=source)
        tensor.copy_(tensors[name])


def _check_shapes(shapes: dict[str, tuple[int, ...]], expected: dict[str, Tensor], *, source: Path) -> None:
    if missing := sorted(expected.keys() ^ shapes.keys()):
        verb = "lacks" if missing[0] in expected else "has the unknown"
        raise CorruptError(f"{source} does not fit its settings: it {verb} tensor {quoted(missing[0])}")
    for name, tensor in expected.items():
        if tuple(tensor.shape) != shapes[name]:
            raise CorruptError(
                f'{source} does not fit its settings: "{name}" is {shapes[name]}, not {tuple(tensor.shape)}'
            )


def _check_values(name: str, given: Tensor, expected: Tensor, *, source: Path) -> None:
    """Raise a CorruptError for numbers that no weights have: a whole number counts, several are an order."""
    if expected.is_floating_point():
        # a sum is computed faster, and if it is finite, so are its terms
        fits = given.dtype in _FLOATS and (math.isfinite(given.sum()) or bool(given.isfinite().all()))
    elif given.dtype != expected.dtype or not given.ndim:
        fits = given.dtype == expected.dtype and bool(given >= 0)
    else:
        fits = bool(given.sort(-1).values.eq(torch.arange(given.shape[-1])).all())
    if not fits:
        raise CorruptError(f'{source} does not fit its settings: "{name}" has numbers that weights cannot have')


class without_memory(TorchFunctionMode):
    """A block in which modules are built on the "meta" device: with names and shapes, but without memory or numbers.

    They are not initialized: on this device, torch would import its compiler for that, which takes seconds.

    Args:
        file: the safetensors file with the weights. Building ends early if it has far fewer tensors.

    Raises:
        CorruptError: the file is damaged, or far too small.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        with _open(file) as opened:
            self._left = 2 * len(opened.keys()) + 10  # a tensor that is shared later is made more than once

    def __enter__(self) -> "without_memory":
        self._meta = torch.device("meta")
        self._meta.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._meta.__exit__(*error)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.empty:
            self._left -= 1
            if self._left < 0:
                raise CorruptError(f"{self._file} does not fit its settings: it has far fewer tensors")
        if getattr(function, "__module__", "") == nn.init.__name__ or function.__name__ in {"normal_", "uniform_"}:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)
