"""Figures inside a page: SVG whose ink and paper are those of the page, light or dark."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from cvae_cli.pictures.figure import class_colours, encode_figure, figure, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LIGHT = {"#ffffff": "var(--paper)", "#1f2328": "var(--ink)", "#d0d7de": "var(--line)"}
"""The colours of a light figure, and what they are in a page."""
_numbers = count(1)


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        svg: its element, to be put into HTML as it is.
        alt: what it shows, for those who cannot see it.
        width: inches.
    """

    svg: str
    alt: str
    width: float


def draw(sheet: "Figure", alt: str) -> Drawing:
    """Return a figure of the light theme as an element of a page that may be dark. Clouds of dots become pixels."""
    for axes in sheet.axes:
        for dots in axes.collections:
            dots.set_rasterized(True)
    text = encode_figure(sheet, Path("figure.svg")).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in _LIGHT.items():
        text = text.replace(colour, variable)
    # names are those of the page, which has several figures
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>f{next(_numbers)}-", text)
    return Drawing(text, alt, sheet.get_figwidth())


@dataclass(frozen=True)
class Trade:
    """What a model pays for its latents and what it gets.

    Attributes:
        label: the name of the model.
        likelihood: the kind of its likelihood: only distortions of one kind can be compared.
        rate, distortion: means, in nats a picture.
        parts: the same for each class.
    """

    label: str
    likelihood: str
    rate: float
    distortion: float
    parts: Sequence[tuple[float, float]] = ()


def draw_trades(trades: Sequence[Trade]) -> "Figure":
    """Draw rate against distortion: a dot for each model and a small one for each class.

    There is a panel for each kind of likelihood. Along a grey line -ELBO is the same.
    """
    kinds = list(dict.fromkeys(trade.likelihood for trade in trades))
    colours = class_colours(len(trades))
    with figure(width=max(4.8, 4.2 * len(kinds)), height=3.9, theme="light") as sheet:
        panels = sheet.subplots(1, len(kinds), squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            for trade, colour in zip(trades, colours, strict=True):
                if trade.likelihood == kind:
                    _draw_trade(axes, trade, colour)
            axes.margins(0.1)
            _draw_levels(axes)
            axes.set(title=f"{kind} likelihood", xlabel="rate, nats a picture", ylabel="distortion, nats a picture")
        legend(sheet, [trade.label for trade in trades], colours, columns=min(4, len(trades)))
    return sheet


def _draw_trade(axes: "Axes", trade: Trade, colour: str) -> None:
    for rate, distortion in trade.parts:
        axes.plot(rate, distortion, "o", color=colour, alpha=0.5, markersize=3.5, markeredgewidth=0)
    axes.plot(trade.rate, trade.distortion, "o", color=colour, markersize=9)


def _draw_levels(axes: "Axes") -> None:
    """Draw lines along which rate + distortion is the same, without changing what the panel shows."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    low, high = left + bottom, right + top
    for part in range(1, 6):
        level = low + (high - low) * part / 6
        axes.plot([left, right], [level - left, level - right], color="#8b949e", linewidth=0.7, linestyle=":")
    axes.set(xlim=(left, right), ylim=(bottom, top))
