"""Write src/cvae_cli/completion/commands.json, what shells complete, from the commands and the catalogs.

    python docs/make_completion.py

A completion is asked for at every Tab, so it reads this file instead of importing the commands. A test checks that the
file is up to date.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from cvae_cli.app import app
from cvae_cli.completion.install import SHELLS
from cvae_cli.config.base import Settings, known_keys
from cvae_cli.config.catalog import recipe_descriptions
from cvae_cli.config.recipe import Part, Precision, Recipe
from cvae_cli.data.cache_contents import KINDS
from cvae_cli.data.catalog import all_sources
from cvae_cli.evaluation.features import EXTRACTORS
from cvae_cli.evaluation.metrics import catalog as metrics
from cvae_cli.text.catalog import ENCODERS
from cvae_cli.weights.registry import REGISTRY

FILE = Path(__file__).parent.parent / "src/cvae_cli/completion/commands.json"


def content() -> str:
    """Return the file: a line for each command, option and kind of value."""
    table = {"values": values(), "cvae": describe(typer.main.get_command(app))}
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"


def values() -> dict[str, dict[str, str]]:
    """The names of each kind of value, by the metavar of its options, with what they mean."""
    places = {
        source.name.partition(":")[0] + ":" * (":" in source.name): source.description for source in all_sources()
    }
    sets = {name: metrics.find_metric(name).__doc__.split("\n", 1)[0].rstrip(".") for name in metrics.METRICS}
    sets |= dict.fromkeys(metrics.GROUPS, "several metrics")
    sets |= {f"{name}:{features}": "" for name in metrics.ON_FEATURES for features in EXTRACTORS}
    return {
        "METRIC": sets,
        "RULE": {name: meaning for name, meaning in sets.items() if ":" not in name and name not in metrics.GROUPS},
        "DATASET": places,
        "PICTURES": places,
        "RECIPE": recipe_descriptions() | {name: places[name] for name in places if name.endswith(":")},
        "CONDITION": {"labels": "the classes"} | {name: each.description for name, each in ENCODERS.items()},
        "WEIGHTS": {name: each.use for name, each in REGISTRY.items()},
        "KIND": KINDS,
        "KEY=VALUE": dict.fromkeys(settings(), ""),
        "PART": dict.fromkeys(get_args(Part), ""),
        "PRIOR": {"flow": "", "score": "", "none": ""},
        "PRECISION": dict.fromkeys(get_args(Precision), ""),
        "SPLIT": {"train": "", "val": "", "test": ""},
        "DEVICE": {"auto": "", "cpu": "", "cuda": "", "mps": ""},
        "LOG": {"tensorboard": ""},
        "SHELL": dict.fromkeys(SHELLS, ""),
    }


def settings() -> list[str]:
    """`key=` for each setting of a recipe, and `key=value` for each value of one that has a few."""
    choices: dict[str, list[str]] = {}
    _collect(Recipe, "", choices)
    keys = [key for key in known_keys(Recipe) if not any(other.startswith(f"{key}.") for other in known_keys(Recipe))]
    keys = [key for key in keys if not key.startswith("then")]  # a list of trainings, which --set does not reach
    return [word for key in keys for word in (f"{key}=", *(f"{key}={value}" for value in choices.get(key, [])))]


def _collect(part: Any, key: str, choices: dict[str, list[str]]) -> None:
    """Add the values that a setting of this annotation can have, if it has a few."""
    if isinstance(part, type) and issubclass(part, Settings):
        for name, field in part.model_fields.items():
            _collect(field.annotation, f"{key}.{name}".lstrip("."), choices)
    elif part is bool:
        choices[key] = ["true", "false"]
    elif get_origin(part) is Literal:
        choices.setdefault(key, []).extend(str(each) for each in get_args(part) if str(each) not in choices[key])
    else:
        for each in get_args(part):
            _collect(each, key, choices)


def describe(command: Any) -> dict[str, Any]:
    """A command, or a group of them, with all that can be written after it."""
    parameters = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [_option(each) for each in parameters if each.param_type_name == "option"]
    return {
        "help": _first_sentence(command.help),
        "arguments": [each.metavar for each in arguments],
        "repeats": any(each.nargs == -1 for each in arguments),
        "options": [*options, {"names": ["-h", "--help"], "values": 0, "kind": "", "repeats": False, "help": "Help"}],
        "commands": {name: describe(each) for name, each in getattr(command, "commands", {}).items()},
    }


def _option(option: Any) -> dict[str, Any]:
    kind = "" if option.is_flag else option.metavar
    return {
        "names": option.opts,
        "values": 0 if option.is_flag else option.nargs,
        "kind": kind,
        "repeats": bool(option.multiple),
        "help": _first_sentence(option.help),
    }


def _first_sentence(text: str) -> str:
    """The first sentence of a help text, without its full stop."""
    return " ".join(text.split()).replace("  [", ". ").split(". ", 1)[0].rstrip(".")


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
