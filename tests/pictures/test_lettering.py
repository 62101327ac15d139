"""Sheets of pictures with labels: what is written where, in letters that are there, and not cut."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from cvae_cli.errors import UsageError
from cvae_cli.pictures.grid import Labels, check_sheet, enlarge, grid, readable_scale
from cvae_cli.pictures.lettering import letter

PROMPT = "a man in a very long coat, who looks at the sea, while two dogs run along the beach behind him"


def squares(count: int, side: int) -> list[Image.Image]:
    """Red squares: no label is red."""
    return [Image.new("RGB", (side, side), "red") for _ in range(count)]


def find_squares(sheet: Image.Image) -> np.ndarray:
    """Where the pictures are."""
    return np.asarray((np.asarray(sheet) == (255, 0, 0)).all(-1))


def ink(sheet: Image.Image) -> np.ndarray:
    """Where something is written."""
    return (np.asarray(sheet.convert("L")) < 128) & ~find_squares(sheet)


@pytest.mark.parametrize(
    "labels",
    [
        Labels(title=PROMPT),
        Labels(rows=["dress", PROMPT, "x" * 80]),
        Labels(pictures=[f"original\n{PROMPT}", "reconstruction"] * 6),
        Labels(title="dress", rows=["original", "reconstruction", "samples"], pictures=["ankle boot"] * 12),
    ],
)
@pytest.mark.parametrize("side", [12, 112])
def test_labels_cover_no_picture_and_are_not_cut(labels: Labels, side: int) -> None:
    sheet = grid(squares(12, side), columns=4, labels=labels)
    assert find_squares(sheet).sum() == 12 * side * side  # every picture is there, as a whole
    written = ink(sheet)
    assert written.sum() > 100
    border = np.concatenate([written[:8], written[-8:], written[:, :8].T, written[:, -8:].T], axis=None)
    assert not border.any()


def test_a_row_is_beside_its_label() -> None:
    labels = Labels(rows=["dress", "", "bag"])
    written = ink(grid(squares(6, 40), columns=2, labels=labels))
    found = find_squares(grid(squares(6, 40), columns=2, labels=labels))
    tops = 8 + 42 * np.arange(3)
    assert [written[top : top + 40].any() for top in tops] == [True, False, True]
    assert written[:, found.any(axis=0).argmax() :].sum() == 0  # all of it is to the left of the pictures


def test_a_sheet_without_labels_is_as_before() -> None:
    assert grid(squares(6, 28), columns=3).size == (3 * 30 - 2, 2 * 30 - 2)


def lines_of(text: str, width: int = 100) -> Sequence[str]:
    return letter(text, width).lines


def test_text_is_broken_between_words_and_no_line_is_too_wide() -> None:
    lines = lines_of(PROMPT)
    assert " ".join(lines) == PROMPT
    assert all(letter(line, 10_000).width <= 100 for line in lines)
    assert "".join(lines_of("x" * 70)) == "x" * 70
    assert lines_of("") == ()


def test_a_text_of_many_lines_ends_in_dots() -> None:
    lines = lines_of("never ends " * 1000)
    assert len(lines) == 12
    assert lines[-1].endswith("...")
    assert letter(lines[-1], 10_000).width <= 100


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe Łódź, café", "Grosse Lodz, cafe"),
        ("ankle–boot × “2”", "ankle-boot x"),
        ("\U0001f457 ❤\ufe0f", "dress heavy black heart"),
        ("a\tb\nc\0d\x1b[1m", "a b c d [1m"),
        ("猫", "?"),
    ],
)
def test_what_the_font_lacks_is_spelled_otherwise(text: str, shown: str) -> None:
    assert " ".join(lines_of(text, 1000)).startswith(shown)


@pytest.mark.parametrize("resample", ["nearest", "lanczos"])
def test_pictures_are_enlarged(resample: str) -> None:
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)
    large = enlarge(picture, 5, resample)
    assert large.size == (20, 15)
    if resample == "nearest":
        assert large.tobytes() == np.kron(np.asarray(picture), np.ones((5, 5), np.uint8)).tobytes()
    else:
        assert large.tobytes() == picture.resize((20, 15), Image.Resampling.LANCZOS).tobytes()
    assert enlarge(picture, 1, resample).tobytes() == picture.tobytes()


@pytest.mark.parametrize("size", [8, 28, 64, 108, 256])
def test_a_readable_picture_has_room_for_its_label(size: int) -> None:
    width = size * readable_scale(size)
    assert letter("reconstruction", width - 8).lines == ("reconstruction",)
    assert readable_scale(size) == max(1, math.ceil(108 / size))


def test_a_sheet_that_nobody_could_open_is_refused() -> None:
    check_sheet(10_000, None, 64)
    with pytest.raises(UsageError, match="a sheet of 25,800 x 25,800 pixels is too large"):
        check_sheet(10_000, None, 256)
