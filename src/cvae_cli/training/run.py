"""A run: the folder that holds one training and its results."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cvae_cli.config.recipe import Recipe
from cvae_cli.config.recipe_files import read_recipe, recipe_to_toml
from cvae_cli.data.catalog import full_name
from cvae_cli.errors import UsageError
from cvae_cli.models.pretrained import STAGES
from cvae_cli.paths import check_writable, write_error, write_text
from cvae_cli.training import contents
from cvae_cli.training.state_file import older_state


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with absolute paths, as a run records it, so that it can be resumed from any folder.

    Raises:
        UsageError: the path of a folder of pictures is not valid text.
    """
    data = recipe.data
    kind, _, clip = (data.condition or "").partition(":")
    changes = {
        "name": full_name(data.name),
        "dir": str(Path(data.dir).resolve()) if data.dir else None,
        "condition": f"{kind}:{Path(clip).expanduser().resolve()}" if clip and os.path.isdir(clip) else data.condition,
    }
    return recipe.model_copy(update={"data": data.model_copy(update=changes)})


@dataclass(frozen=True)
class Run:
    """The files of a run.

    - `run.json`: the mark of a run
    - `recipe.toml`: all settings
    - `data.json`: what it learns from
    - `metrics.jsonl`: a line for each epoch
    - `samples/`: a picture for each epoch
    - `tensorboard/`: the same for TensorBoard, if `log` asks for it
    - `state/`: the checkpoint, for resuming, and the one before it
    - `model/`: the model of the epoch that `training.keep` selects
    - `last/`: the model of the last epoch
    - `network/`, `decoder/`, `prior/` or `guidance/`: the run of the next stage, if there is one
    """

    folder: Path

    @property
    def recipe_file(self) -> Path:
        return self.folder / "recipe.toml"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def log_folder(self) -> Path:
        return self.folder / contents.LOG_FOLDER

    @property
    def state_file(self) -> Path:
        return self.folder / "state" / "training.safetensors"

    @property
    def data_file(self) -> Path:
        """What the run learns from; see `data_record`."""
        return self.folder / "data.json"

    @property
    def kept_model(self) -> Path:
        return self.folder / "model"

    @property
    def last_model(self) -> Path:
        return self.folder / "last"

    def next_stage(self, recipe: Recipe) -> "Run":
        """Return the run of the stage that follows in this one's recipe, inside this run."""
        return Run(self.folder / recipe.then[0].name)

    def has_started(self) -> bool:
        """Return whether the first step may have been taken: a checkpoint is the first file of a training."""
        return any(path.exists() for path in (self.state_file, older_state(self.state_file), self.last_model))

    def samples_file(self, epoch: int) -> Path:
        return self.folder / "samples" / f"epoch-{epoch:03d}.png"

    def check_new(self, *, force: bool) -> None:
        """Check that `create` may use the folder.

        Args:
            force: whether a run that is already there may be removed.

        Raises:
            UsageError: the folder cannot be written to, or holds a run (without `force`) or anything else.
        """
        check_writable(self.folder, folder=True)
        if not contents.is_used(self.folder):
            return
        if not self.exists():
            raise UsageError(f"{self.folder} exists and is not a run", hint="choose another folder with --out")
        if not force:
            raise UsageError(
                f"{self.folder} already holds a run",
                hint=f"resume it:  cvae train --resume {self.folder}\nor start over:  add --force",
            )
        contents.check_nothing_else(self.folder)

    def create(self, recipe: Recipe, *, force: bool) -> None:
        """Create the run. With `force`, an earlier run in the folder is removed. The caller must hold the lock."""
        self.check_new(force=force)
        contents.write_mark(self.folder)  # first, so that what a crash leaves is known as a run
        contents.remove_run(self.folder)
        self.write_recipe(recipe)

    def exists(self) -> bool:
        """Whether the folder is a run. The folder of a further stage is one if the folder around it is."""
        inside = self.folder.name in STAGES and Run(self.folder.parent).exists()
        return contents.is_run(self.folder) or inside

    def recipe(self, changes: dict[str, Any] | None = None) -> Recipe:
        """Read the recipe of the run.

        Args:
            changes: new values by dotted key (see `load_recipe`).

        Raises:
            UsageError: the folder is not a run, or a change does not fit the recipe.
        """
        if not self.recipe_file.is_file() or not self.exists():
            raise UsageError(f"{self.folder} is not a run", hint="a run is a folder that cvae train has made")
        return with_absolute_paths(read_recipe(self.recipe_file, changes))

    def write_recipe(self, recipe: Recipe) -> None:
        """Write all settings, and mark the folder of a run of an earlier version."""
        contents.write_mark(self.folder)
        write_text(self.recipe_file, recipe_to_toml(recipe))

    def write_metrics(self, history: list[dict[str, Any]]) -> None:
        """Write the metrics of all epochs, one line of JSON each."""
        write_text(self.metrics_file, "".join(json.dumps(metrics) + "\n" for metrics in history))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run for this process for the length of the block.

        Raises:
            UsageError: another process is training in the folder.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=0):
                contents.remove_drafts(self.folder)
                yield
        except Timeout as error:
            raise UsageError(
                f"another process is training in {self.folder}", hint="wait for it, or choose another folder with --out"
            ) from error
        except OSError as error:
            raise write_error(self.folder, error) from error
