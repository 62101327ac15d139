"""Features of the user's own, named `MODULE:CALLABLE`."""

import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from cvae_cli.errors import UsageError

_PROBE = (2, 3, 64, 64)


class OwnFeatures:
    """A callable from uint8 pictures `(n, 3, h, w)` to vectors `(n, d)`, whose results are checked.

    Attributes:
        num_features: the length of a vector: that of the callable, or of what it returns for pictures of 64x64.
    """

    def __init__(self, name: str, function: Callable[[Tensor], Any], device: torch.device) -> None:
        self._name, self._function = name, function
        declared = getattr(function, "num_features", None)
        self.num_features: int | None = declared if isinstance(declared, int) else None
        if self.num_features is None:
            self.num_features = self(torch.zeros(_PROBE, dtype=torch.uint8, device=device)).shape[1]

    def __call__(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        try:
            with torch.no_grad():
                features = self._function(images)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise UsageError(
                f"the features {self._name} failed for {_shape(images)} uint8 pictures: {message}"
            ) from error
        if not isinstance(features, Tensor):
            raise self._wrong(f"a {type(features).__name__}", images)
        if features.ndim != 2 or len(features) != len(images) or self.num_features not in {None, features.shape[1]}:
            raise self._wrong(f"a tensor {_shape(features)}", images)
        if features.is_complex() or not features.isfinite().all():
            raise self._wrong("numbers that are not finite", images)
        return features.float()

    def _wrong(self, what: str, images: Tensor) -> UsageError:
        width = "features" if self.num_features is None else self.num_features
        return UsageError(
            f"the features {self._name} returned {what} for {_shape(images)} pictures",
            hint=f"a vector of finite numbers for each picture is needed: a tensor ({len(images)}, {width})",
        )


def load_own(name: str, device: torch.device) -> tuple[OwnFeatures, dict[str, Any]]:
    """Import the user's features, and return them with their protocol.

    Args:
        name: `MODULE:CALLABLE`, see `import_callable`; a function of uint8 pictures `(n, 3, h, w)`, or a network.

    Raises:
        UsageError: the module cannot be imported, has no such callable, or it returns no vectors.
    """
    function, file = import_callable(name, device)
    protocol = {"features": name}
    if file.is_file():
        protocol["source_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return OwnFeatures(name, function, device), protocol


def import_callable(name: str, device: torch.device) -> tuple[Callable[[Tensor], Any], Path]:
    """Import what the user has named, and return it with the file of its module. A network is moved to the device.

    Args:
        name: `MODULE:CALLABLE`: a module on Python's path or in the working directory, and in it a function, a network,
            or a class whose instances (made without arguments) are one.

    Raises:
        UsageError: the module cannot be imported, or has no such callable.
    """
    module_name, _, path = name.partition(":")
    found: Any = _import(module_name, name)
    file = Path(getattr(found, "__file__", None) or "")
    try:
        for part in path.split("."):
            found = getattr(found, part)
        function = found() if inspect.isclass(found) else found
    except AttributeError as error:
        raise UsageError(f'the module {module_name} has no "{path}" (for the features {name})') from error
    except Exception as error:
        raise UsageError(f"{name} could not be made: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise UsageError(f"{name} cannot be called: it is a {type(function).__name__}")
    if isinstance(function, nn.Module):
        function = function.eval().to(device)
    return function, file


def _import(module: str, name: str) -> Any:
    with _working_directory():
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
                raise UsageError(
                    f'no module "{module}" (for the features {name})',
                    hint="it is searched for on Python's path and in this folder; for example:  mymodule:features",
                ) from error
            raise UsageError(f"the module {module} needs another one: {error}") from error
        except Exception as error:
            raise UsageError(f"the module {module} cannot be imported: {type(error).__name__}: {error}") from error


@contextmanager
def _working_directory() -> Iterator[None]:
    """Let modules of the working directory be found, after all others."""
    folder = os.getcwd()
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
