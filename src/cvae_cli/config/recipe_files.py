"""Read recipes from TOML, change settings by their key, write recipes as TOML."""

import os
import tomllib
from pathlib import Path
from typing import Any, get_args

import tomli_w

from cvae_cli.config.base import SettingsError, build, kinds
from cvae_cli.config.catalog import shipped_recipes
from cvae_cli.config.model import LearnedPrior, ModelConfig, ScorePrior
from cvae_cli.config.recipe import Part, Recipe
from cvae_cli.errors import CorruptError, UsageError, did_you_mean

_PRIOR_TRAINING = {
    "epochs": 30,
    "batch_size": 256,
    "learning_rate": 1e-3,
    "schedule": "one-cycle",
    "ema_decay": 0.999,
    "gradient_clip": 1.0,
}
"""Default settings of a training that fits a prior."""

_TUNING = {
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 3e-4,
    "schedule": "one-cycle",
    "ema_decay": 0.999,
    "gradient_clip": 1000,
    "keep": "last",
}
"""Default settings of a training that tunes the network of a model, or its decoder."""

_PRIOR_TUNING = _TUNING | {"epochs": 8, "batch_size": 64, "gradient_clip": 1}
"""Default settings of a training that tunes the prior of a model, or its guidance."""

PARTS: tuple[str, ...] = get_args(Part)
"""The parts of a model that can be tuned."""


def load_recipe(name: str, changes: dict[str, Any] | None = None, *, prior: str | None = None) -> Recipe:
    """Load a shipped recipe by its name, or a TOML file by its path.

    Args:
        name: `fashion-concat`, or a path that ends in `.toml`.
        changes: dotted keys and their new values, as `{"training.epochs": 5}`.
        prior: the kind of prior to fit after the training, `flow` or `score`; `none` drops the second training.

    Raises:
        UsageError: no such recipe, an unknown key, or a value that does not fit.
        CorruptError: the file is not TOML.
    """
    path = Path(name) if name.endswith(".toml") else shipped_recipes().get(name)
    if path is None:
        suggestion = did_you_mean(name, list(shipped_recipes()))
        if os.path.isdir(name):
            is_run = os.path.isfile(os.path.join(name, "recipe.toml"))
            suggestion = f' Did you mean "{"--resume " if is_run else "folder:"}{name}"?'
        raise UsageError(f'no recipe "{name}".{suggestion}', hint=f"recipes: {', '.join(shipped_recipes())}")
    return read_recipe(path, changes, prior=prior)


def read_recipe(path: Path, changes: dict[str, Any] | None = None, *, prior: str | None = None) -> Recipe:
    """Read a recipe from a TOML file; see `load_recipe`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"no recipe file {path}") from error
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is not TOML: {error}") from error
    if "start" in values:
        values.setdefault("architecture", {})  # that of the model to start from, which is not read here
    if prior is not None:
        _exchange_prior(values, prior)
    return _build(values, changes, source=path.name)


def _exchange_prior(values: dict[str, Any], kind: str) -> None:
    """Let a recipe fit a prior of another kind, or none, in place of its own, which goes with all that trains it."""
    stages = values.get("then", [])
    stages = [stages] if isinstance(stages, dict) else stages
    if any(stage.get("prior", {}).get("kind") == kind for stage in stages):
        return
    values["then"] = [stage for stage in stages if stage.get("tune") in {"network", "decoder"}]
    if kind != "none":
        values["then"].append({"prior": {"kind": kind}, "training": dict(_PRIOR_TRAINING)})


def recipe_for_prior(start: str, config: ModelConfig, prior: str, changes: dict[str, Any] | None = None) -> Recipe:
    """Make a recipe that fits another prior to a trained model.

    Args:
        start: the model, by name or folder.
        config: the model's configuration.
        prior: the kind of prior, `flow` or `score`.
        changes: see `load_recipe`.

    Raises:
        UsageError: no such prior, an unknown key, or a value that does not fit.
    """
    known = kinds(LearnedPrior)
    if prior not in known:
        raise UsageError(
            f'no prior "{prior}" that can be fitted afterwards.{did_you_mean(prior, known)}',
            hint=f"priors: {', '.join(known)}",
        )
    values = _continued(start, config, name=f"{config.name}-{prior}", training=_PRIOR_TRAINING)
    values["description"] = f"{config.name} with a prior fitted afterwards"
    values["architecture"]["prior"] = {"kind": prior}
    return _build(values, changes, source=f"--prior {prior}")


def recipe_for_tuning(start: str, config: ModelConfig, part: str, changes: dict[str, Any] | None = None) -> Recipe:
    """Make a recipe that trains a part of a finished model on.

    Args:
        part: one of `PARTS`.
        start, config, changes: see `recipe_for_prior`.

    Raises:
        UsageError: no such part, an unknown key, or a value that does not fit.
    """
    if part not in PARTS:
        raise UsageError(f'no part "{part}" to tune.{did_you_mean(part, PARTS)}', hint=f"parts: {', '.join(PARTS)}")
    training = _TUNING if part in {"network", "decoder"} else _PRIOR_TUNING
    values = _continued(start, config, name=f"{config.name}-tuned", training=training)
    values |= {"description": f"{config.name} with its {part} tuned", "tune": part}
    prior = config.architecture.prior
    if isinstance(prior, ScorePrior):
        values["architecture"]["prior"] = prior.taught(part).model_dump(mode="json")
    return _build(values, changes, source=f"--tune {part}")


def _continued(start: str, config: ModelConfig, *, name: str, training: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe that starts from a finished model, and learns from what that has learned from."""
    return {
        "name": name,
        "start": start,
        "start_hybrid": config.hybrid,
        "data": {
            "name": config.dataset,
            "size": config.image.size,
            "condition": config.condition.option,
        },
        "architecture": config.architecture.model_dump(mode="json"),
        "training": dict(training),
    }


def _build(values: dict[str, Any], changes: dict[str, Any] | None, *, source: str) -> Recipe:
    """Build the recipe from values with changes; `source` names it in errors."""
    if isinstance(values.get("then"), dict):
        values["then"] = [values["then"]]
    for key, value in (changes or {}).items():
        _set(values, key, value)
    try:
        return build(Recipe, values)
    except SettingsError as error:
        is_given = error.key in (changes or {})  # by an option, so the file is not to blame
        raise UsageError(str(error) if is_given else f"{source}: {error}") from error


def recipe_to_toml(recipe: Recipe) -> str:
    """Return a recipe as TOML with every default written out, so that later versions read the same settings."""
    values = recipe.model_dump(mode="json", exclude_none=True)
    return tomli_w.dumps({key: value for key, value in values.items() if value != []})


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `key=value`, the argument of `--set`. A value that is not TOML is taken as plain text.

    Raises:
        UsageError: there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f'--set takes key=value, not "{text}"', hint="for example:  --set training.epochs=5")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return key.strip(), value.strip()


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of nested dictionaries. In a list a number says which: `then.1.training.epochs`.

    Without a number it is the first: `then.training.epochs`.
    """
    *sections, last = key.split(".")
    inner: Any = values
    for section in sections:
        inner = _inside(inner, section, key)
    inner = _inside(inner, "0", key) if isinstance(inner, list) else inner
    if not isinstance(inner, dict):
        raise UsageError(f'"{key}": "{".".join(sections)}" is a list, not a section')
    inner[last] = value


def _inside(values: Any, section: str, key: str) -> Any:
    """Return what lies in a section of nested dictionaries and lists."""
    if isinstance(values, list):
        number = int(section) if section.isdecimal() else 0
        if number >= len(values):
            raise UsageError(f'"{key}": there is no number {number}, only {len(values)} from 0 on')
        values = values[number]
        if section.isdecimal():
            return values
    inner = values.setdefault(section, {}) if isinstance(values, dict) else None
    if not isinstance(inner, (dict, list)):
        raise UsageError(f'"{key}": "{section}" is a value, not a section')
    return inner
