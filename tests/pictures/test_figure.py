"""Figures: one style, any format, and names as they are."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvae_cli.errors import UsageError
from cvae_cli.pictures.figure import class_colours, encode_figure, figure, legend

NAMES = ["_hidden", "$5 or $x_1$", "猫 & <dog>"]


def draw(theme="light", names=NAMES):
    with figure(width=3, height=2, theme=theme) as sheet:
        axes = sheet.subplots()
        colours = class_colours(3)
        axes.plot([1, 2], [3, 4], color=colours[0])
        axes.set_title("100 $ _a_")
        legend(sheet, names, colours, columns=3)
    return sheet


@pytest.mark.parametrize("ending", [".png", ".jpg", ".svg", ".pdf"])
def test_a_figure_is_written_in_every_format_and_each_time_the_same(ending):
    names = NAMES if ending != ".pdf" else ["a", "b", "c"]  # a PDF takes a second to embed a font of Chinese
    contents = [encode_figure(draw(names=names), Path(f"x{ending}"), {"runs": ["a"]}) for _ in range(2)]
    assert contents[0] == contents[1]
    if ending in {".svg", ".pdf"}:
        assert contents[0].startswith(b"<?xml" if ending == ".svg" else b"%PDF")
        assert b"runs" in contents[0]
    else:
        assert Image.open(io.BytesIO(contents[0])).size == (450, 300)


def test_a_figure_has_an_opaque_background_of_its_theme():
    files = [encode_figure(draw(theme), Path("x.png")) for theme in ("light", "dark")]
    corners = [Image.open(io.BytesIO(content)).getpixel((0, 0)) for content in files]
    assert corners == [(255, 255, 255), (13, 17, 23)]


def test_names_are_written_as_they_are():
    with_names = draw()
    assert [text.get_text() for text in with_names.legends[0].get_texts()] == NAMES
    assert encode_figure(with_names, Path("x.pdf")).startswith(b"%PDF")
    with figure(width=3, height=2) as other:
        axes = other.subplots()
        axes.set_title("$\\not a formula")
    encode_figure(other, Path("x.png"))


def test_pyplot_stays_unimported_and_a_users_settings_have_no_influence(monkeypatch):
    import matplotlib

    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # another test may have needed it
    before = encode_figure(draw(), Path("x.png"))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.facecolor": "red"}):
        assert encode_figure(draw(), Path("x.png")) == before
    assert "matplotlib.pyplot" not in sys.modules


def test_another_ending_is_an_error_that_lists_the_endings():
    with pytest.raises(UsageError, match=r'no picture format ".svgz"\. Did you mean ".svg"') as caught:
        encode_figure(draw(), Path("x.svgz"))
    assert caught.value.hint is not None
    assert ".pdf" in caught.value.hint


@pytest.mark.parametrize("count", [1, 10, 11, 20, 21, 200])
def test_each_class_has_a_colour_of_its_own_that_is_neither_white_nor_black(count):
    colours = class_colours(count)
    assert len(set(colours)) == count
    values = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours])
    assert (values.mean(1) > 40).all()
    assert (values.mean(1) < 225).all()


def test_the_text_of_a_picture_of_a_figure_can_be_read():
    assert Image.open(io.BytesIO(encode_figure(draw(), Path("x.png"), {"n": 3}))).text["n"] == "3"
    facts = encode_figure(draw(), Path("x.svg"), {"n": 3}).decode()
    assert json.dumps({"n": 3}) in facts.replace("&quot;", '"')
