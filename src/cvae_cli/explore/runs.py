"""Runs, as the page follows them: what `metrics.jsonl` says, and a grid of samples for each epoch."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cvae_cli.errors import CvaeError, MissingError
from cvae_cli.evaluation.history import METRICS_FILE, read_histories
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.models.pretrained import stage_folders

_SAMPLES = "samples"
_GRID = re.compile(r"epoch-(\d+)\.png")


class Runs:
    """The runs of a page."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = dict(zip(distinct_labels(folders), folders, strict=True)) if folders else {}

    @property
    def names(self) -> list[str]:
        """What the runs are called on the page."""
        return list(self._folders)

    def version(self, name: str) -> str:
        """Return a text that changes when a run has something new."""
        places = [place for stage in self._stages(name) for place in (stage / METRICS_FILE, stage / _SAMPLES)]
        return "-".join(str(place.stat().st_mtime_ns) if place.exists() else "" for place in places)

    def read(self, name: str) -> dict[str, Any]:
        """Return the epochs of a run, and which grids of samples it has.

        Raises:
            MissingError: the page has no such run.
        """
        folder = self._folder(name)
        answer: dict[str, Any] = {"name": name, "version": self.version(name), "stages": {}, "grids": [], "note": ""}
        try:
            history = read_histories([folder])[0]
        except CvaeError as error:  # no epoch is finished, or the run has just been removed
            return answer | {"note": error.message}
        stages = {"model": history.model, "prior": history.prior}
        answer["stages"] = {stage: [epoch.model_dump() for epoch in epochs] for stage, epochs in stages.items()}
        answer["grids"] = [
            {"stage": number, "of": stage.name if number else "", "epoch": int(found[1])}
            for number, stage in enumerate(self._stages(name))
            for path in sorted((stage / _SAMPLES).glob("*.png"))
            if (found := _GRID.fullmatch(path.name))
        ]
        return answer

    def grid(self, name: str, stage: int, epoch: int) -> bytes:
        """Return the samples of an epoch as a PNG file.

        Raises:
            MissingError: there are none.
        """
        try:
            return (self._stages(name)[stage] / _SAMPLES / f"epoch-{epoch:03d}.png").read_bytes()
        except (OSError, IndexError) as error:
            raise MissingError(f"{name} has no samples of epoch {epoch}") from error

    def _stages(self, name: str) -> list[Path]:
        return stage_folders(self._folder(name))

    def _folder(self, name: str) -> Path:
        if name not in self._folders:
            raise MissingError(f"the page has no run {name!r}")
        return self._folders[name]
