"""The cases: each damages one of the files that a user gives, or types something odd, and runs a command.

Seven of eight cases run the function of the library behind the command instead, which is five times as fast.
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import fuzz_mutate as mutate

Command = list[str]
CASES: dict[str, Callable[[Path, Path, random.Random], Command]] = {}
"""By kind: a function that prepares the empty folder of a case from the seeds, and returns the command."""

SMALL = ["--size", "8", "--batch-size", "4", "--epochs", "1", "--prior", "none", "--set", "data.epoch_size=1"]
SMALL += ["--set", "architecture.network.width=8", "--set", "architecture.latent_dim=2", "--precision", "fp32", "-q"]


def case(prepare: Callable[[Path, Path, random.Random], Command]) -> Callable[[Path, Path, random.Random], Command]:
    CASES[prepare.__name__] = prepare
    return prepare


def copy(seeds: Path, folder: Path, name: str) -> Path:
    """Copy a seed into the folder of a case."""
    source = seeds / name
    return Path(shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder / name))


def damage(path: Path, chance: random.Random, change: Callable[[bytes, random.Random], bytes]) -> None:
    path.write_bytes(change(path.read_bytes(), chance))


@case
def models(seeds: Path, folder: Path, chance: random.Random) -> Command:
    model = copy(seeds, folder, "model")
    if chance.random() < 0.7:  # without its digest, so that more is left to find out
        values = json.loads((model / "config.json").read_text())
        del values["weights_sha256"]
        (model / "config.json").write_text(json.dumps(values, indent=2))
    if chance.random() < 0.6:
        damage(model / "config.json", chance, mutate.changed_json)
    else:
        damage(model / "model.safetensors", chance, mutate.damaged)
    return quickly(chance, "load", "model") or ["generate", "dress", "--model", "model", "-o", "drawn.png"]


@case
def images(seeds: Path, folder: Path, chance: random.Random) -> Command:
    picture = copy(seeds, folder, chance.choice(sorted(path.name for path in seeds.glob("picture.*"))))
    damage(picture, chance, mutate.damaged)
    return quickly(chance, "open", picture.name) or [
        "reconstruct",
        picture.name,
        "--label",
        "dress",
        "--model",
        str(seeds / "model"),
        "-o",
        "drawn.png",
    ]


@case
def prompts(seeds: Path, folder: Path, chance: random.Random) -> Command:
    name = chance.choice(["prompts.txt", "prompts.jsonl"])
    change = mutate.changed_json if name.endswith("l") else mutate.damaged
    damage(copy(seeds, folder, name), chance, change)
    given = [mutate.text(chance)] if chance.random() < 0.3 else ["--from", name]
    return quickly(chance, "prompts", str(seeds / "model"), *given) or [
        "generate",
        *given,
        "--model",
        str(seeds / "model"),
        "-o",
        "drawn.png",
    ]


@case
def recipes(seeds: Path, folder: Path, chance: random.Random) -> Command:
    import tomllib

    import tomli_w

    content = (seeds / "recipe.toml").read_bytes()
    if chance.random() < 0.6:
        try:
            content = tomli_w.dumps(mutate.changed(tomllib.loads(content.decode()), chance)).encode(errors="replace")
        except (TypeError, ValueError, AttributeError):  # null, and others that TOML has not
            content = mutate.damaged(content, chance)
    else:
        content = mutate.damaged(content, chance)
    (folder / "recipe.toml").write_bytes(content)
    data = ["--data", f"folder:{seeds / 'labelled'}"]
    return quickly(chance, "plan", "recipe.toml", *data) or ["train", "recipe.toml", "--dry-run", *data]


@case
def settings(seeds: Path, folder: Path, chance: random.Random) -> Command:
    keys = ["training.epochs", "training.learning_rate", "architecture.latent_dim", "architecture.prior", "data.size"]
    keys += ["architecture.network", "architecture.network.kind", "data.condition", "name", "then", "data", "training"]
    changes = []
    for _ in range(chance.choice([1, 1, 2, 3])):
        key = chance.choice([*keys, mutate.text(chance)])
        given = mutate.text(chance) if chance.random() < 0.5 else json.dumps(mutate.value(chance))
        changes += ["--set", f"{key}={given}"]
    data = f"folder:{seeds / 'labelled'}"
    return quickly(chance, "plan", data, *changes) or ["train", data, "--dry-run", *changes]


@case
def metadata(seeds: Path, folder: Path, chance: random.Random) -> Command:
    name = chance.choice(["captioned-jsonl", "captioned-csv"])
    pictures = copy(seeds, folder, name)
    listing = next(pictures.glob("metadata.*"))
    damage(listing, chance, mutate.changed_json if listing.suffix == ".jsonl" else mutate.damaged)
    return reading(f"folder:{name}")


@case
def coco(seeds: Path, folder: Path, chance: random.Random) -> Command:
    copied = copy(seeds, folder, "coco")
    damage(copied / "annotations" / "captions_val2017.json", chance, mutate.changed_json)
    return [*reading("coco", "--split", "val"), "--data-dir", "coco"]


@case
def caches(seeds: Path, folder: Path, chance: random.Random) -> Command:
    home = copy(seeds, folder, "home")
    files = sorted(path for path in home.rglob("*") if path.is_file() and path.stat().st_size)
    damage(chance.choice(files), chance, mutate.damaged)
    os.environ["CVAE_HOME"] = str(home)
    return reading(f"folder:{seeds / 'captioned-jsonl'}")


@case
def states(seeds: Path, folder: Path, chance: random.Random) -> Command:
    run = copy(seeds, folder, "run")
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)
    damage(chance.choice([run / "state" / "training.safetensors", *files]), chance, mutate.damaged)
    return ["train", "--resume", "run", "-q"]


@case
def manifests(seeds: Path, folder: Path, chance: random.Random) -> Command:
    drawn = copy(seeds, folder, "drawn")
    damage(drawn / "manifest.jsonl", chance, mutate.changed_json)
    return ["generate", "dress", "bag", "--model", str(seeds / "model"), "--format", "png", "-o", "drawn"]


def reading(data: str, *more: str) -> Command:
    """Read a data set, as every command does that needs one."""
    return ["library:read", data, *more]


def quickly(chance: random.Random, function: str, *arguments: str) -> Command | None:
    """In seven of eight cases: call a function of `fuzz_library` instead of `cvae`."""
    return [f"library:{function}", *arguments] if chance.random() < 0.875 else None
