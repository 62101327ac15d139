"""Statistics of real pictures in a file, so that the pictures are measured once.

The file is in safetensors: for each feature extractor what the metrics need of the real side (`inception/mean`,
`inception/covariance`, `inception/features`). Its header says of which pictures they are (a digest of their contents),
on which features they were computed, and has a digest of the numbers.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.evaluation.features import Extractor
from cvae_cli.models.tensors import write_tensors
from cvae_cli.paths import check_regular
from cvae_cli.version import __version__

_FORMAT = "cvae-cli reference 1"
_PYTORCH_FID = ".npz"

State = dict[str, Tensor]
"""What metrics need of the real pictures on some features, by name."""


@dataclass(frozen=True)
class Reference:
    """What is known of the real pictures.

    Attributes:
        real: `source`, `pictures`, `sizes` and `sha256`, see `SetScores`; of a file of pytorch-fid only `source`.
        states: for each feature extractor.
        protocols: of these feature extractors; a file of pytorch-fid has none.
    """

    real: dict[str, Any]
    states: dict[str, State]
    protocols: dict[str, dict[str, Any]]

    def state(self, features: str, extractor: Extractor, path: Path) -> State:
        """Return what is known on some features; nothing if that is nothing.

        Raises:
            UsageError: it was computed by another extractor than this one.
        """
        state = self.states.get(features, {})
        if not state:
            return {}
        theirs = self.protocols.get(features)
        width = next(iter(state.values())).shape[-1]
        if width != extractor.num_features or (theirs is not None and theirs != _plain(extractor.protocol)):
            raise UsageError(
                f"{path} was made with other {features} features than those of now ({_summary(theirs, width)})",
                hint="name another file, or remove it and make it anew with --real",
            )
        return state

    def write(self, path: Path) -> None:
        """Write the statistics as a whole."""
        tensors = {
            f"{features}/{name}": tensor.contiguous()
            for features, state in self.states.items()
            for name, tensor in state.items()
        }
        header = {
            "format": _FORMAT,
            "cvae-cli": __version__,
            "real": json.dumps(self.real),
            "protocols": json.dumps(self.protocols),
            "sha256": _digest(tensors),
        }
        write_tensors(path, tensors, header)


def read_reference(path: Path) -> Reference:
    """Read a file of statistics, and verify it.

    Raises:
        MissingError: there is no such file.
        UsageError: it cannot be read, or holds something else.
        CorruptError: it is damaged.
    """
    if not path.exists():
        raise MissingError(f"no file {path}", hint="--real PICTURES makes it")
    check_regular(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file of statistics")
    if not os.access(path, os.R_OK):
        raise UsageError(f"cannot read {path}: permission denied")
    return _read_npz(path) if path.suffix.lower() == _PYTORCH_FID else _read_safetensors(path)


def is_of_pytorch_fid(path: Path) -> bool:
    """Whether a file is one of pytorch-fid, which is read and not written."""
    return path.suffix.lower() == _PYTORCH_FID


def _read_safetensors(path: Path) -> Reference:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptError(f"{path} is not a file of statistics, or a damaged one") from error
    if header.get("format") != _FORMAT:
        raise UsageError(f"{path} holds no statistics of real pictures", hint="name a new file: it is written")
    try:
        real, protocols = json.loads(header["real"]), json.loads(header["protocols"])
        if header["sha256"] != _digest(tensors):
            raise ValueError
        return Reference(real, _states(tensors), protocols)
    except (KeyError, TypeError, ValueError, RecursionError) as error:  # a TypeError from a dtype that numpy lacks
        raise CorruptError(f"{path} is damaged", hint="remove it, and make it anew with --real") from error


def _read_npz(path: Path) -> Reference:
    """Read the mean and covariance of Inception's features, as pytorch-fid stores them."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            mean, covariance = (torch.from_numpy(np.asarray(file[name], np.float64)) for name in ("mu", "sigma"))
    except Exception as error:  # zipfile and numpy raise anything
        raise CorruptError(f"{path} has no mu and sigma of pytorch-fid, or is damaged") from error
    state = {"mean": mean, "covariance": covariance}
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not _are_finite(state):
        raise CorruptError(f"mu and sigma of {path} are not a mean and a covariance")
    return Reference({"source": path.name}, {"inception": state}, {})


def _states(tensors: Mapping[str, Tensor]) -> dict[str, State]:
    states: dict[str, State] = {}
    for key, tensor in tensors.items():
        features, _, name = key.rpartition("/")
        states.setdefault(features, {})[name] = tensor
    if not all(map(_are_finite, states.values())):
        raise ValueError
    return states


def _are_finite(state: State) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in state.values())


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _plain(protocol: dict[str, Any]) -> Any:
    """A protocol as it is after a journey through JSON."""
    return json.loads(json.dumps(protocol))


def _summary(protocol: dict[str, Any] | None, width: int) -> str:
    return f"{width} numbers" if protocol is None else ", ".join(map(str, protocol.values()))
