"""Draw latent spaces: one panel a model, a dot for each picture, coloured by class."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from cvae_cli.evaluation.latents.probe import Probe
from cvae_cli.models.latents import DatasetLatents
from cvae_cli.pictures.figure import Theme, class_colours, figure, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PER_ROW = 4  # panels
_PANEL = 3.6  # inches a side
_ENTRY = 1.5  # inches of a name in the legend
MAX_NAMED = 40
"""Classes in a legend; more would be larger than the panels."""

_LETTERS = 12  # of the title in an inch
_MAX_NAME = 28  # characters of a class's name

Panel = tuple[str, Float64[np.ndarray, "n 2"], Probe | None]
"""The name of a model, where each picture lies, and how well its class is read."""


def draw_latents(panels: Sequence[Panel], shown: DatasetLatents, *, title: str, theme: Theme = "light") -> "Figure":
    """Draw one panel a model, with the accuracy of its linear probe below its name, and a legend of the classes.

    Args:
        shown: the pictures, with their classes.
        title: written above all panels.
    """
    columns = min(_PER_ROW, len(panels))
    rows = math.ceil(len(panels) / columns)
    names = [_shorten(shown.classes[index]) for index in _present(shown)]
    named = names if len(names) <= MAX_NAMED else []
    lines = math.ceil(len(named) * _ENTRY / (columns * _PANEL))  # of the legend
    height = rows * (_PANEL + 0.5) + 0.5 + 0.22 * lines
    colours = class_colours(max(1, len(names)))
    with figure(width=max(columns * _PANEL, 5.0), height=height, theme=theme) as sheet:
        for number, (label, points, probe) in enumerate(panels, 1):
            axes = sheet.add_subplot(rows, columns, number, xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set_visible(True)
            axes.scatter(
                points[:, 0], points[:, 1], s=_dot(len(points)), c=_of_each(shown, colours), linewidths=0, alpha=0.8
            )
            axes.set_title(_shorten(label))
            axes.set_xlabel(f"linear probe {probe.accuracy:.3f}  (chance {probe.chance:.3f})" if probe else "")
        if named:
            legend(sheet, named, colours, columns=math.ceil(len(named) / lines))
        sheet.suptitle(textwrap.fill(title, int(_LETTERS * sheet.get_figwidth())), fontsize=11)
    return sheet


def _present(shown: DatasetLatents) -> list[int]:
    """The classes that pictures have, in order."""
    return [] if shown.labels is None else np.unique(shown.labels).tolist()


def _of_each(shown: DatasetLatents, colours: Sequence[str]) -> list[str]:
    """The colour of each picture."""
    if shown.labels is None:
        return [colours[0]] * len(shown)
    by_class = dict(zip(_present(shown), colours, strict=True))
    return [by_class[label] for label in shown.labels.tolist()]


def _dot(pictures: int) -> float:
    """The area of a dot, in square points, so that many do not hide each other."""
    return min(30.0, max(2.0, 16_000 / pictures))


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
