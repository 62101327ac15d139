"""The recipes that ship with the package: `recipes/*.toml`. Needs nothing but the standard library."""

import re
import tomllib
from pathlib import Path


def shipped_recipes() -> dict[str, Path]:
    """Return the file of each shipped recipe by its name, with numbers sorted by size: coco-64 before coco-128."""
    paths = (Path(__file__).parent / "recipes").glob("*.toml")
    return {path.stem: path for path in sorted(paths, key=_natural_key)}


def recipe_descriptions() -> dict[str, str]:
    """Return the description of each shipped recipe by its name."""
    return {name: tomllib.loads(path.read_text("utf-8"))["description"] for name, path in shipped_recipes().items()}


def _natural_key(path: Path) -> str:
    return re.sub(r"\d+", lambda number: number[0].zfill(6), path.stem)
