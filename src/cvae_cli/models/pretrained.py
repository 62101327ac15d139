"""Model folders: `config.json`, `model.safetensors` and `README.md`. Nothing is ever unpickled."""

import json
import os
import re
from pathlib import Path

from cvae_cli.config.base import SettingsError, build
from cvae_cli.config.model import ModelConfig
from cvae_cli.errors import CorruptError, CvaeError, MissingError, UsageError, did_you_mean, quoted
from cvae_cli.paths import bundled_dir, write_text
from cvae_cli.weights import hub
from cvae_cli.weights.download import file_sha256

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
PRIOR_STAGE = "prior"
"""The folder inside a run in which a second training, of the prior, keeps its files."""
_PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".pyc"}
_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def bundled_models() -> list[str]:
    """Return the names of the models that ship with the package."""
    return sorted(path.parent.name for path in bundled_dir().glob(f"*/{CONFIG}"))


def find_model(model: str | Path) -> Path:
    """Return the folder of a model, given its name, path or Hub repository. For errors see `CVAE.from_pretrained`."""
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
        # a model folder, or a run: the model of its second training, if any, and else of its first
        folders = [path, path / PRIOR_STAGE / "model", path / "model"]
        return _check_complete(next((folder for folder in folders if (folder / CONFIG).exists()), path))
    if match := _HUB_NAME.fullmatch(str(model)):
        try:
            return _check_complete(hub.download_snapshot(match["repo"], match["revision"], [CONFIG, WEIGHTS, CARD]))
        except CvaeError as error:
            raise type(error)(f'no folder "{model}" here, and {error.message}', hint=error.hint) from error
    raise UsageError(
        f"no model {quoted(str(model))}.{did_you_mean(str(model), bundled_models())}",
        hint=f"a model is a bundled name ({', '.join(bundled_models())}), a folder, or org/name on the Hub",
    )


def _check_complete(folder: Path) -> Path:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise MissingError(f"{folder} has no {name}", hint="a model folder holds both; train or copy it again")
    return folder


def read_config(folder: Path) -> ModelConfig:
    """Read the configuration in a model folder.

    Raises:
        CorruptError: the file is not JSON, or not a configuration of this program.
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
    """Write the configuration and the model card into a model folder, each file atomically."""
    write_text(folder / CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")
    write_text(folder / CARD, card)


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights in a model folder, in hexadecimal."""
    return file_sha256(folder / WEIGHTS)
