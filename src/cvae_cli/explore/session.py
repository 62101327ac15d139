"""A session of the page: its models, runs and pictures."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvae_cli.config.model import MOST_GUIDANCE
from cvae_cli.errors import CvaeError, MissingError, UsageError
from cvae_cli.evaluation.history import METRICS_FILE
from cvae_cli.events import Callback, ignore
from cvae_cli.explore.examples import prompts_of
from cvae_cli.models.pretrained import bundled_models, check_known, find_model, read_config

if TYPE_CHECKING:
    from cvae_cli.explore.charts import Chart
    from cvae_cli.explore.desk import Desk
    from cvae_cli.explore.shelf import Shelf
    from cvae_cli.models.cvae import CVAE

_MAX_LOADED = 4
_RUN_MARKS = ("run.json", METRICS_FILE)
_RUNS = Path("runs")  # where a training puts its run unless it is told otherwise


@dataclass(frozen=True)
class Places:
    """What the page may use.

    Attributes:
        models: their names; the first is shown.
        runs: folders of trainings.
        tab: what the page begins with: `runs` for a training that has no model yet.
    """

    models: list[str]
    runs: list[Path]
    tab: str = "draw"


def find_places(given: Sequence[str]) -> Places:
    """Sort what a user has named into models and runs; bundled models and the runs in `runs/` come after them.

    Raises:
        CvaeError: something is neither. The Hub is not asked.
    """
    models, runs = [], []
    for name in given:
        if is_run(Path(name)):
            runs.append(Path(name))
            if not _has_model(name):  # a training that has not finished its first epoch
                continue
        check_known(name)
        models.append(name)
    tab = "runs" if runs and not models else "draw"
    beside = sorted(path for path in _RUNS.glob("*") if is_run(path))
    models += [*bundled_models(), *(str(path) for path in beside if _has_model(str(path)))]
    all_runs = {path.resolve(): path for path in [*runs, *beside]}
    return Places(list(dict.fromkeys(models)), list(all_runs.values()), tab)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training."""
    return any((folder / mark).is_file() for mark in _RUN_MARKS)


def _has_model(name: str) -> bool:
    try:
        check_known(name)
    except MissingError:
        return False
    return True


class Session:
    """What the page works with. Models are loaded when they are first used, and the ones used last are kept.

    Args:
        desk: where all work is done.
        shelf: the pictures on the page.
        device: see `pick_device`.
        data_dir: a folder with the published files of the data set of a model.
    """

    def __init__(
        self, places: Places, desk: "Desk", shelf: "Shelf", *, device: str = "auto", data_dir: Path | None = None
    ) -> None:
        self.places, self.desk, self.shelf = places, desk, shelf
        self.data_dir = data_dir
        self._device = device
        self._models: OrderedDict[str, CVAE] = OrderedDict()
        self._charts: dict[str, Chart] = {}
        self.encoded: OrderedDict[tuple[str, str, str | None], Any] = OrderedDict()

    def model(self, name: str, callback: Callback = ignore) -> "CVAE":
        """Return a model of the page, loaded.

        Raises:
            CvaeError: the page has no such model, or it cannot be loaded.
        """
        self._check(name)
        if name not in self._models:
            from cvae_cli.models.cvae import load_model

            model = load_model(name, device=self._device, callback=callback)
            self.desk.watch(model)
            self._models[name] = model
            while len(self._models) > _MAX_LOADED:
                old, _ = self._models.popitem(last=False)
                self._charts.pop(old, None)
        self._models.move_to_end(name)
        return self._models[name]

    def chart(self, name: str, callback: Callback = ignore) -> "Chart":
        """Return where the latents of a model lie; encoded once."""
        from cvae_cli.explore.charts import make_chart

        model = self.model(name, callback)
        if name not in self._charts:
            self._charts[name] = make_chart(model, data_dir=self.data_dir, callback=callback)
        return self._charts[name]

    def describe(self) -> list[dict[str, Any]]:
        """Return what the page must know of each model before it is loaded. One that cannot be read is left out."""
        found = []
        for name in self.places.models:
            try:
                folder = find_model(name) if os.path.exists(name) or name in bundled_models() else None
                found.append({"name": name} | ({} if folder is None else _facts(folder)))
            except CvaeError:
                continue
        return found

    def _check(self, name: str) -> None:
        if name not in self.places.models:
            raise UsageError(f"the page has no model {name!r}")


def _facts(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    prior = config.architecture.prior
    guided = prior if prior.kind == "score" and config.architecture.conditioning != "none" else None
    return {
        "size": config.image.size,
        "prompts": prompts_of(config, folder),
        "kind": "none" if config.architecture.conditioning == "none" else config.condition.kind,
        "guidance": guided.guidance if guided else None,
        "most_guidance": MOST_GUIDANCE if guided and guided.guidance_input else 10,
        "data": config.dataset,
    }
