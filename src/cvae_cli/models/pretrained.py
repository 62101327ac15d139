"""A model as a folder: `config.json`, `model.safetensors`, `README.md`. Nothing is ever unpickled."""

import hashlib
import json
import os
import re
from pathlib import Path

from cvae_cli.config.base import SettingsError, build
from cvae_cli.config.model import ModelConfig
from cvae_cli.errors import CorruptError, CvaeError, MissingError, UsageError, did_you_mean, quoted
from cvae_cli.paths import bundled_dir, write_text
from cvae_cli.weights import hub

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
STAGE = "prior"
"""Where a run keeps the second training, which ends with its model."""
_PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".pyc"}
_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def bundled_models() -> list[str]:
    """The names of the models that came along."""
    return sorted(path.parent.name for path in bundled_dir().glob(f"*/{CONFIG}"))


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


def write_config(folder: Path, config: ModelConfig, *, card: str) -> None:
    """Write the configuration and the model card into a model folder; each file is replaced as a whole."""
    write_text(folder / CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")
    write_text(folder / CARD, card)


def digest(folder: Path) -> str:
    """The SHA-256 of the weights in a model folder."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
