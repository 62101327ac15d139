"""A recipe trained with several seeds: a folder with a run for each, `seed-0`, `seed-1` and so on."""

import os
import re
from pathlib import Path

from cvae_cli.models.pretrained import CONFIG, model_folders

_NAME = re.compile(r"seed-(\d+)")


def seed_folder(folder: Path, seed: int) -> Path:
    """Return the folder of the run with a seed."""
    return folder / f"seed-{seed}"


def seed_runs(source: object) -> list[Path]:
    """Return the runs in a folder that `cvae train --seeds` has made, in the order of the seeds.

    Args:
        source: anything that names a model. It has none, unless it is the path of such a folder, and no model itself.
    """
    if not isinstance(source, str | Path) or not os.path.isdir(
        source
    ):  # Path.is_dir raises for names that are too long
        return []
    if any((each / CONFIG).is_file() for each in model_folders(Path(source))):
        return []
    seeds = {int(match[1]): each for each in Path(source).iterdir() if (match := _NAME.fullmatch(each.name))}
    return [seeds[seed] for seed in sorted(seeds)]
