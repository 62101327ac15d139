"""Loss curves: the histories of runs in one figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cvae_cli.evaluation.history import Epoch, History
from cvae_cli.pictures.figure import Theme, class_colours, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

Over = Literal["epochs", "steps", "minutes"]

_Value = Callable[[Epoch], float | None]

_OVER: dict[Over, Callable[[Epoch], float]] = {
    "epochs": lambda epoch: float(epoch.epoch),
    "steps": lambda epoch: float(epoch.step),
    "minutes": lambda epoch: epoch.seconds / 60,
}
_BOUND = "-ELBO"
_PANEL = (4.2, 2.9)  # inches: the width and height of one panel
_FEW = 15  # points in a line: fewer are drawn as dots too, and none of them is cut off
_START = 0.1  # the part of a training whose high values may be cut off
_FAR = 2.0  # they are cut off where they would take more than this part of all other values' height


@dataclass(frozen=True)
class _Panel:
    """One quantity of one stage: a training line, a validation line, or both."""

    title: str
    train: _Value | None = None
    valid: _Value | None = None


def draw_curves(histories: Sequence[History], *, over: Over = "epochs", theme: Theme = "light") -> "Figure":
    """Draw the curves of runs: -ELBO, rate and distortion of training and validation, in a row for each stage.

    Each run has a colour. Validation is solid, with a dot at the lowest -ELBO, and training is dashed. A high start is
    cut off where it would flatten the rest.

    Args:
        histories: see `history.read_histories`.
        over: what runs to the right: `epochs`, `steps` or `minutes` of training.
        theme: see `pictures.figure.figure`.
    """
    stages = {
        "model": [history.model for history in histories],
        "prior": [history.prior for history in histories],
    }
    rows = {name: (_panels(name, lines), lines) for name, lines in stages.items() if any(lines)}
    columns = max(len(panels) for panels, _ in rows.values())
    width, height = columns * _PANEL[0], len(rows) * _PANEL[1] + 0.3 * (2 + len(histories) // columns)
    with figure(width=width, height=height, theme=theme) as sheet:
        grid = sheet.subplots(len(rows), columns, squeeze=False)
        for axes_of_row, (name, (panels, lines)) in zip(grid, rows.items(), strict=True):
            for axes in axes_of_row[len(panels) :]:
                axes.remove()
            axes_of_row[0].set_ylabel("nats a picture")
            for axes, panel in zip(axes_of_row, panels, strict=False):
                _draw_panel(axes, panel, lines, over)
                axes.set(title=panel.title if len(rows) == 1 else f"{panel.title} · {name}", xlabel=over)
        _legend(sheet, [history.label for history in histories], columns)
    return sheet


def _panels(stage: str, lines: Sequence[Sequence[Epoch]]) -> list[_Panel]:
    """The panels of a stage; losses besides the bound have panels of their own."""
    names = {name: None for epochs in lines for epoch in epochs for name in epoch.train}
    others = [_Panel(name, train=_train(name)) for name in names if name not in {"rate", "distortion"}]
    rate = _Panel("rate", train=_train("rate"), valid=lambda epoch: epoch.valid.rate)
    distortion = _Panel("distortion", train=_train("distortion"), valid=lambda epoch: epoch.valid.distortion)
    bound = _Panel(_BOUND, train=_train_bound, valid=lambda epoch: epoch.valid.negative_elbo)
    # a prior changes no distortion
    return [bound, rate, *([distortion] if stage == "model" else []), *others]


def _train(name: str) -> _Value:
    return lambda epoch: epoch.train.get(name)


def _train_bound(epoch: Epoch) -> float | None:
    return epoch.train["rate"] + epoch.train["distortion"] if {"rate", "distortion"} <= epoch.train.keys() else None


def _draw_panel(axes: "Axes", panel: _Panel, lines: Sequence[Sequence[Epoch]], over: Over) -> None:
    drawn: list[Sequence[float]] = []
    for epochs, colour in zip(lines, class_colours(len(lines)), strict=True):
        for value, draw in ((panel.train, _draw_training), (panel.valid, _draw_validation)):
            points = [(_OVER[over](epoch), value(epoch)) for epoch in epochs] if value else []
            known = [(x, y) for x, y in points if y is not None]
            if known:
                xs, ys = zip(*known, strict=True)
                draw(axes, xs, ys, colour)
                drawn.append(ys)
        if panel.valid and panel.title == _BOUND and epochs:
            best = min(epochs, key=lambda epoch: epoch.valid.negative_elbo)
            axes.plot(_OVER[over](best), best.valid.negative_elbo, "o", color=colour, markersize=6)
    if over != "minutes":
        axes.xaxis.set_major_locator(_whole_numbers())
    if max(map(len, lines)) == 1:  # a single dot is no reason for fractions of an epoch
        axes.margins(x=1)
    axes.set_ylim(top=_cut(drawn))


def _draw_training(axes: "Axes", xs: Sequence[float], ys: Sequence[float], colour: str) -> None:
    dots, hollow = "o" if len(ys) < _FEW else "", axes.get_facecolor()
    axes.plot(xs, ys, "--", color=colour, linewidth=1.1, marker=dots, markersize=3.5, markerfacecolor=hollow)


def _draw_validation(axes: "Axes", xs: Sequence[float], ys: Sequence[float], colour: str) -> None:
    axes.plot(xs, ys, "-", color=colour, linewidth=1.6, marker="o" if len(ys) < _FEW else "", markersize=3.5)


def _whole_numbers() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, min_n_ticks=1)


def _cut(lines: Sequence[Sequence[float]]) -> float | None:
    """Return where to cut off the high values at the start of lines, or None if they flatten nothing."""
    if max(map(len, lines)) < _FEW:
        return None
    rest = [value for line in lines for value in line[max(1, round(_START * len(line))) :]]
    low, high = min(rest), max(rest)
    everything = max(value for line in lines for value in line)
    return high + 0.1 * (high - low) if everything - high > _FAR * (high - low) > 0 else None


def _legend(sheet: "Figure", names: Sequence[str], columns: int) -> None:
    """Put the names of the runs below all panels, and what the two kinds of lines are."""
    from matplotlib.lines import Line2D

    colours = class_colours(len(names))
    handles = [Line2D([], [], color=colour, linewidth=3) for colour in colours]
    drawn: Any = sheet.legend(
        handles,
        ["-"] * len(names),
        loc="outside lower center",
        ncols=min(len(names), 2 * columns),
        title="solid: validation, with a dot at the lowest -ELBO · dashed: training",
        title_fontsize=9,
    )
    for label, name in zip(drawn.get_texts(), names, strict=True):  # a label given above must not begin with "_"
        label.set_text(name)
