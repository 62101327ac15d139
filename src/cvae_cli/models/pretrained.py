"""A model as a folder: `config.json`, `model.safetensors`, `README.md`. Nothing is ever unpickled."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cvae_cli import hub
from cvae_cli.config import ModelConfig
from cvae_cli.errors import CorruptError, CvaeError, MissingError, UsageError, did_you_mean, quoted
from cvae_cli.paths import bundled_dir, replacing, write_text
from cvae_cli.settings import SettingsError, build

if TYPE_CHECKING:
    from cvae_cli.models.cvae import CVAE

    M = TypeVar("M", bound=CVAE)

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
STAGE = "prior"
"""Where a run keeps the second training, which ends with its model."""
_PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".pyc"}
_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def bundled_models() -> list[str]:
    """The names of the models that came along."""
    return sorted(path.parent.name for path in bundled_dir().glob(f"*/{CONFIG}"))


def load(cls: "type[M]", model: str | Path) -> "M":
    """See `CVAE.from_pretrained`."""
    folder = find(model)
    config = read_config(folder)
    try:
        network = cls(config)
    except CvaeError as error:  # settings that pass one by one and do not fit each other
        raise CorruptError(f"{folder / CONFIG}: {error.message}") from error
    read_tensors(folder / WEIGHTS, into=named_tensors(network))
    return network.eval()


def save(model: "CVAE", folder: Path, *, tensors: dict[str, Tensor] | None = None, card: str = "") -> None:
    """Write a model folder, file by file; each is replaced whole.

    Args:
        tensors: weights to save in place of the model's own, as when they are rounded.
    """
    write_text(folder / CONFIG, json.dumps(model.config.to_dict(), indent=2) + "\n")
    write_text(folder / CARD, card)
    write_tensors(folder / WEIGHTS, named_tensors(model) if tensors is None else tensors)


def find(model: str | Path) -> Path:
    """The folder that a model's name, path or Hub repository stands for; see `CVAE.from_pretrained` for errors."""
    path = Path(model)
    if str(model) in bundled_models():
        return bundled_dir() / str(model)
    if os.path.isfile(path):
        if path.suffix.lower() in _PICKLES:
            raise CorruptError(
                f"{path} is refused unopened: a pickle can run any code",
                hint="give a folder with config.json and model.safetensors",
            )
        raise UsageError(f"{path} is a file; a model is a folder with {CONFIG} and {WEIGHTS}")
    if os.path.isdir(path):
        places = [path, path / STAGE / "model", path / "model"]  # a model folder, or a run: its last training first
        return _complete(next((place for place in places if (place / CONFIG).exists()), path))
    if match := _HUB_NAME.fullmatch(str(model)):
        try:
            return _complete(hub.fetch_folder(match["repo"], match["revision"], [CONFIG, WEIGHTS, CARD]))
        except CvaeError as error:
            raise type(error)(f'no folder "{model}" here, and {error.message}', hint=error.hint) from error
    raise UsageError(
        f"no model {quoted(str(model))}.{did_you_mean(str(model), bundled_models())}",
        hint=f"a model is a bundled name ({', '.join(bundled_models())}), a folder, or org/name on the Hub",
    )


def _complete(folder: Path) -> Path:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise MissingError(f"{folder} has no {name}", hint="a model folder holds both; train or copy it again")
    return folder


def read_config(folder: Path) -> ModelConfig:
    """The configuration in a model folder.

    Raises:
        CorruptError: not JSON, or not a configuration of this program.
    """
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is not JSON") from error
    if not isinstance(values, dict) or "architecture" not in values or "format" not in values:
        raise CorruptError(f"{path} is not the configuration of a cvae model")
    if values["format"] != 1:
        raise CorruptError(
            f"{path} has format {values['format']!r}, this version reads format 1",
            hint="is there a newer cvae-cli?",
        )
    try:
        return build(ModelConfig, values)
    except SettingsError as error:
        raise CorruptError(f"{path}: {error}") from error


def digest(folder: Path) -> str:
    """The SHA-256 of the weights in a model folder."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by name, one that is shared only once: what a weights file holds."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all."""
    try:
        with replacing(path) as draft:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, draft, metadata)
    except SafetensorError as error:
        if code := re.search(r"os error (\d+)", str(error)):  # a full disk and its like, wrapped by the library
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
        raise


def read_tensors(path: Path, *, into: dict[str, Tensor]) -> None:
    """Copy the tensors of a safetensors file into those of the same names.

    Raises:
        CorruptError: damaged, or not exactly the names and shapes asked for.
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
        CorruptError: not exactly the same names and shapes, or values that no weights have.
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
