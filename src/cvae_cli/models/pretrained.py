"""Find and read model folders: `config.json`, `model.safetensors` and more. Nothing is ever unpickled."""

import json
import os
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

from cvae_cli.config.base import SettingsError, build
from cvae_cli.config.model import ModelConfig
from cvae_cli.config.recipe import Part
from cvae_cli.errors import CorruptError, CvaeError, MissingError, UsageError, did_you_mean, quoted
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.models.checksums import SUMS
from cvae_cli.models.names import HUB_NAME, means_repository, similar_folder
from cvae_cli.paths import bundled_dir
from cvae_cli.weights import hub
from cvae_cli.weights.download import file_sha256

M = TypeVar("M", bound=Any)  # a module of torch, which a name and a configuration do not need

CONFIG, WEIGHTS, CARD, SAMPLES = "config.json", "model.safetensors", "README.md", "samples.png"
PROMPTS = "prompts"  # of the samples: what the file's text of this name says they show, as JSON
FILES = (CONFIG, WEIGHTS, CARD, SAMPLES, SUMS)
"""What a model folder consists of; a model of an earlier version has neither samples nor digests."""
STAGES: tuple[str, ...] = get_args(Part)
"""The folders inside a run in which the next training keeps its files, each named by what it trains."""
DIGEST = "weights_sha256"  # the key in config.json
_PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".pyc"}


def bundled_models() -> list[str]:
    """Return the names of the models that ship with the package."""
    return sorted(path.parent.name for path in bundled_dir().glob(f"*/{CONFIG}"))


def check_known(model: str | Path) -> None:
    """Raise what `find_model` raises, unless the Hub would have to be asked for the model."""
    if os.path.exists(model) or not means_repository(model, file=CONFIG):
        find_model(model)


def find_model(model: str | Path, *, callback: Callback = ignore, anew: bool = False) -> Path:
    """Return the folder of a model, given its name, path or Hub repository. For errors see `CVAE.from_pretrained`.

    Args:
        callback: is told what is waited for.
        anew: download a model of the Hub again, because its files in the Hub's cache cannot be used.
    """
    path = Path(model)
    if str(model) in bundled_models():
        return bundled_dir() / str(model)
    if os.path.isfile(path):
        if path.suffix.lower() in _PICKLES:
            raise CorruptError(
                f"{path} was not opened: a pickle can run any code",
                hint="give a folder with config.json and model.safetensors",
            )
        raise UsageError(f"{path} is a file; a model is a folder with {CONFIG} and {WEIGHTS}")
    if os.path.isdir(path):
        return _check_complete(next((folder for folder in model_folders(path) if (folder / CONFIG).exists()), path))
    match = HUB_NAME.fullmatch(str(model))
    if match and means_repository(model, file=CONFIG):
        try:
            return _check_complete(
                hub.download_files(match["repo"], match["revision"], FILES, callback=callback, anew=anew)
            )
        except CvaeError as error:
            raise type(error)(f'no folder "{model}" here, and {error.message}', hint=error.hint) from error
    hint = f"a model is a bundled name ({', '.join(bundled_models())}), a folder, or org/name on the Hub"
    if match:
        hint += f"\nif you mean a repository on the Hub, say its revision:  {model}@main"
    if "/" in str(model) or os.sep in str(model):
        raise UsageError(f"no folder {quoted(str(model))}.{similar_folder(path)}", hint=hint)
    raise UsageError(f"no model {quoted(str(model))}.{did_you_mean(str(model), bundled_models())}", hint=hint)


def find_known(model: str | Path) -> Path:
    """Return the folder of a model that is on this machine; the Hub is not asked.

    Raises:
        UsageError, MissingError, CorruptError: see `CVAE.from_pretrained`; for `org/name`, it is not in the cache.
    """
    match = HUB_NAME.fullmatch(str(model))
    if match is None or os.path.exists(model) or not means_repository(model, file=CONFIG):
        return find_model(model)
    cached = hub.cached_file(match["repo"], CONFIG, match["revision"] or "main")
    if cached is None:
        raise MissingError(f"{model} is not on this machine", hint=f"cvae generate ... --model {model}  downloads it")
    return cached.parent


def model_folders(path: Path) -> list[Path]:
    """Return where the model of a path may be: there, or in a run, whose last stage comes before its first."""
    return [path, *(stage / "model" for stage in reversed(stage_folders(path)))]


def stage_folders(run: Path) -> list[Path]:
    """Return the folder of a run and those of its further trainings, each inside the one before it."""
    inner = next((run / name for name in STAGES if (run / name).is_dir()), None)
    return [run] if inner is None else [run, *stage_folders(inner)]


def load_model(model: str | Path, make: Callable[[ModelConfig], M], *, callback: Callback = ignore) -> M:
    """Find a model and load it into the module that `make` builds. For errors see `CVAE.from_pretrained`.

    If a model of the Hub is damaged in the Hub's cache, it is downloaded again, once.
    """
    folder = find_model(model, callback=callback)
    try:
        return _load(folder, make)
    except CorruptError as error:
        if not hub.is_snapshot(folder):
            raise
        callback(Notice(f"{error.message}: downloading {model} again", is_warning=True))
        return _load(find_model(model, callback=callback, anew=True), make)


def _load(folder: Path, make: Callable[[ModelConfig], M]) -> M:
    """Load a model folder. Nothing is allocated before the header of the weights agrees with the configuration."""
    from cvae_cli.models.tensors import load_weights, without_memory

    config = read_config(folder)
    try:
        with without_memory(folder / WEIGHTS):
            module = make(config)
    except UsageError as error:  # each setting is valid, but they do not fit each other
        raise CorruptError(f"{folder / CONFIG}: {error.message}") from error
    load_weights(module, folder / WEIGHTS)
    check_weights(folder)
    return module


def _check_complete(folder: Path) -> Path:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise MissingError(f"{folder} has no {name}", hint="a model folder holds both; train or copy it again")
    return folder


def read_config(folder: Path) -> ModelConfig:
    """Read the configuration in a model folder.

    A model names a folder of pictures, or of a CLIP model, without its path. If the model lies in a run, the recipe of
    the run knows the path.

    Raises:
        CorruptError: the file is not JSON, or not a configuration of this program.
    """
    path = folder / CONFIG
    values = _read_json(folder)
    if "architecture" not in values or "format" not in values:
        raise CorruptError(f"{path} is not the configuration of a cvae model")
    if values["format"] != 1:
        raise CorruptError(
            f"{path} has format {reprlib.repr(values['format'])}, this version reads format 1",
            hint="a newer cvae-cli may read it:  pip install -U cvae-cli",
        )
    values.pop(DIGEST, None)
    try:
        config = build(ModelConfig, values).published()
    except SettingsError as error:
        raise CorruptError(f"{path}: {error}") from error
    return _with_paths_of_run(config, folder)


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is not JSON") from error
    if not isinstance(values, dict):
        raise CorruptError(f"{path} is not the configuration of a cvae model")
    return values


def _with_paths_of_run(config: ModelConfig, folder: Path) -> ModelConfig:
    """Put the paths of folders back, if the model is one that a run has saved."""
    recipe_file = folder.parent / "recipe.toml"
    if folder.name not in {"model", "last"} or not recipe_file.is_file():
        return config
    from cvae_cli.config.recipe_files import read_recipe

    try:
        data = read_recipe(recipe_file).data
    except CvaeError:
        return config
    kind, _, clip = (data.condition or "").partition(":")
    condition = config.condition.model_copy(update={"model": clip} if kind == "clip" and clip else {})
    full = config.model_copy(update={"dataset": data.name, "condition": condition})
    return full if full.published() == config else config


def training_data(config: ModelConfig, *, option: str, called: str | None = None) -> str:
    """Return the name of the data set that a model was trained on.

    Args:
        option: what can name another one.
        called: the name of the model, if that is not the one in its configuration.

    Raises:
        UsageError: it is a folder, and only its name is known. What lies under that name here may be anything, so
            `option` must name it.
    """
    kind, colon, place = config.dataset.partition(":")
    if colon and not Path(place).is_absolute() and "://" not in place:
        what = "a folder" if kind == "folder" else "a set of shards"
        raise UsageError(
            f"{called or config.name} was trained on {what}, {quoted(place)}: say where it is",
            hint=f"{option} {kind}:PATH, or {option} with another data set",
        )
    return config.dataset


def read_digests(folder: Path) -> list[str]:
    """Return the SHA-256 that the weights in a model folder may have; none if its configuration does not say.

    There are two for the moment between the writing of the configuration and that of the weights.

    Raises:
        CorruptError: the configuration is damaged.
    """
    given = _read_json(folder).get(DIGEST, [])
    digests = [given] if isinstance(given, str) else given
    if not isinstance(digests, list) or not all(isinstance(each, str) for each in digests):
        raise CorruptError(f'{folder / CONFIG}: "{DIGEST}" is not a digest')
    return digests


def check_weights(folder: Path) -> None:
    """Raise a CorruptError if the weights in a model folder are not those that its configuration was saved with."""
    digests = read_digests(folder)
    if digests and weights_sha256(folder) not in digests:
        raise CorruptError(
            f"{folder / WEIGHTS} is damaged: it does not have the digest in {CONFIG}",
            hint=f'copy or download the model again; if you changed the weights yourself, delete "{DIGEST}" there',
        )


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights in a model folder, in hexadecimal."""
    return file_sha256(folder / WEIGHTS)
