"""Figures: plots in one style, drawn by matplotlib, which is imported when the first one is drawn.

    with figure(width=8, height=4.5) as sheet:
        axes = sheet.subplots()
        axes.plot(epochs, losses)
    content = encode_figure(sheet, Path("losses.svg"))

pyplot is never used: nothing global is left behind, and no window is opened.
"""

import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cvae_cli.pictures.files import ENDINGS, check_ending, encode_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

Theme = Literal["light", "dark"]

VECTOR_ENDINGS = (".svg", ".pdf")
"""The endings of figures made of lines and letters, beside those of pictures."""
FIGURE_ENDINGS = (*ENDINGS, *VECTOR_ENDINGS)

_NO_TEXT: Mapping[str, Any] = {}
_DPI = 150  # of a figure that is a picture
_COLOURS: dict[Theme, dict[str, str]] = {
    "light": {"paper": "#ffffff", "ink": "#1f2328", "lines": "#d0d7de"},
    "dark": {"paper": "#0d1117", "ink": "#e6edf3", "lines": "#3d444d"},
}
_FONTS = (  # for letters that DejaVu Sans, which matplotlib brings, does not have
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Arial Unicode MS",
)


@contextmanager
def figure(*, width: float, height: float, theme: Theme = "light") -> "Iterator[Figure]":
    """Yield an empty figure; what the block draws on it has the style of all figures.

    Args:
        width, height: in inches; a picture has 150 pixels an inch.
        theme: `light` is dark ink on white, `dark` the reverse. Both have an opaque background.
    """
    with _style(theme):
        from matplotlib.figure import Figure

        yield Figure(figsize=(width, height), layout="constrained")


def encode_figure(sheet: "Figure", path: Path, text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Return the content of a file with the figure, in the format that the ending of its name says.

    The same figure gives the same bytes.

    Args:
        text: texts and numbers to store in the file.

    Raises:
        UsageError: no such format, or the figure is too large for it.
    """
    check_figure_ending(path)
    ending = path.suffix.lower()
    if ending not in VECTOR_ENDINGS:
        return encode_picture(figure_picture(sheet), path, text)
    facts = json.dumps(dict(text), default=str)
    metadata = {"Description": facts, "Date": None} if ending == ".svg" else {"Subject": facts, "CreationDate": None}
    buffer = io.BytesIO()
    with _style("light"):  # the settings of the formats; the figure has its colours already
        sheet.savefig(buffer, format=ending[1:], facecolor=sheet.get_facecolor(), metadata=metadata)
    return buffer.getvalue()


def figure_picture(sheet: "Figure") -> "Image.Image":
    """Return the figure as a picture in colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    with _style("light"):
        canvas = FigureCanvasAgg(sheet)
        canvas.draw()
    width, height = canvas.get_width_height()
    return Image.frombytes("RGBA", (width, height), bytes(canvas.buffer_rgba())).convert("RGB")


def check_figure_ending(path: Path) -> None:
    """Raise a UsageError unless the ending of a file's name says a format in which a figure can be written."""
    check_ending(path, others=VECTOR_ENDINGS)


def class_colours(count: int) -> list[str]:
    """Return a colour for each of `count` classes, all readable on white and on black: ten, twenty, or a rainbow."""
    _silence()
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if count <= 20:
        name, size = ("tab10", 10) if count <= 10 else ("tab20", 20)
        return [to_hex(colormaps[name](index / size + 0.5 / size)) for index in range(count)]
    return [to_hex(colormaps["turbo"](0.05 + 0.9 * index / (count - 1))) for index in range(count)]


def legend(sheet: "Figure", names: Sequence[str], colours: Sequence[str], *, columns: int, title: str = "") -> None:
    """Put a legend below all panels: a dot of each colour, and a name as it is, whatever signs it has."""
    from matplotlib.lines import Line2D

    dots = [Line2D([], [], marker="o", linestyle="", color=colour) for colour in colours]
    drawn = sheet.legend(dots, ["-"] * len(dots), loc="outside lower center", ncols=columns, title=title or None)
    for label, name in zip(drawn.get_texts(), names, strict=True):  # a label given above must not begin with "_"
        label.set_text(name)


@contextmanager
def _style(theme: Theme) -> Iterator[None]:
    """The style of all figures, whatever a user's matplotlibrc says."""
    _silence()
    import matplotlib.style

    with warnings.catch_warnings(), matplotlib.style.context(["default", _settings(theme)]):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _silence() -> None:
    """Keep matplotlib from talking: it draws all the same where its cache cannot be written or a font is missing."""
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _settings(theme: Theme) -> dict[str, Any]:
    paper, ink, lines = _COLOURS[theme].values()
    return {
        "figure.facecolor": paper,
        "figure.dpi": _DPI,
        "savefig.dpi": _DPI,
        "axes.facecolor": paper,
        "axes.edgecolor": lines,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": lines,
        "grid.linewidth": 0.6,
        "text.color": ink,
        "text.parse_math": False,  # "$" in a name is a dollar
        "xtick.color": ink,
        "ytick.color": ink,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "font.family": list(_fonts()),
        "font.size": 10,
        "svg.fonttype": "path",
        "svg.hashsalt": "cvae",
        "pdf.fonttype": 42,
    }


@cache
def _fonts() -> tuple[str, ...]:
    """The fonts of a figure, in which a letter is looked for in turn."""
    from matplotlib import font_manager

    here = set(font_manager.get_font_names())
    return ("DejaVu Sans", *(name for name in _FONTS if name in here))
