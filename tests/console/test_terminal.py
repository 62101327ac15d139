"""Lines and tables for terminals of any width, and what is spelled out."""

import json
import re

import pytest
from rich.console import Console

from cvae_cli.console import tables, terminal
from cvae_cli.errors import byte_size, quoted, spelled_out

PROSE = "a sentence of words that are longer than a narrow line, with fashion-mnist and --data-dir in it"
COMMAND = 'cvae generate "two dogs on a beach" --model runs/fashion-concat -n 16 --seed 7 -o dogs.png'


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_lines_end_between_words(width: int) -> None:
    lines = terminal.wrap(f"      {PROSE}", width)
    assert all(len(line) <= width and line.startswith("      ") for line in lines)
    assert " ".join(" ".join(lines).split()) == PROSE
    assert terminal.wrap(PROSE, 200) == [PROSE]


def test_a_command_can_be_copied_from_several_lines() -> None:
    first, *others = terminal.wrap(f"go on with:  {COMMAND}", 40)
    assert first == "go on with:"
    assert all(len(line) <= 40 for line in others)
    assert all(line.endswith(" \\") for line in others[:-1])
    assert not others[-1].endswith("\\")
    assert re.sub(r" \\\n *", " ", "\n".join(others)).strip() == COMMAND
    assert any('"two dogs on a beach"' in line for line in others)  # what is quoted is not broken


def test_a_word_that_is_too_long_stays_whole() -> None:
    path = "/a/path/" + "x" * 60
    assert terminal.wrap(f"cannot write {path}: denied", 40) == ["cannot write", f"{path}:", "denied"]


def test_a_number_stands_beside_its_text() -> None:
    assert terminal.wrap("  130  interrupted by Ctrl-C or SIGTERM", 30) == [
        "  130  interrupted by Ctrl-C",
        "       or SIGTERM",
    ]


def test_what_is_endless_keeps_its_beginning_and_its_end() -> None:
    text = terminal.shorten("begin " + "x" * 1_000_000 + " end", 300)
    assert len(text) < 310
    assert (text[:6], text[-4:]) == ("begin ", " end")
    assert terminal.shorten("x" * 300, 300) == "x" * 300


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (49_000, "49 kB"),
        (999_600, "1.0 MB"),
        (4_123_456, "4.1 MB"),
        (95_628_359, "96 MB"),
        (1_179_900_000, "1.2 GB"),
        (5_000_000_000_000, "5,000 GB"),
    ],
)
def test_a_size_has_two_digits_or_more_and_is_0_only_for_what_is_empty(length: int, shown: str) -> None:
    assert byte_size(length) == shown


HEADER = ["recipe", "data", "epochs", "description"]
ROWS = [["fashion-concat", "fashion-mnist", "12 + 44", PROSE], ["emoji", "folder:", "20", "short"]]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_a_table_breaks_no_word_at_any_width(width: int) -> None:
    screen = Console(width=width, no_color=True)
    with screen.capture() as capture:
        screen.print(tables.draw(HEADER, ROWS, width), soft_wrap=True)
    lines = capture.get().splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    words = {word for row in ROWS for cell in row for word in cell.split()}
    assert words <= set(" ".join(lines).split())


def test_a_table_has_no_blank_line_around_it() -> None:
    screen = Console(width=80, no_color=True)
    with screen.capture() as capture:
        screen.print(tables.draw(["name", "size"], [["clip", "605 MB"], ["vgg16", "3 kB"]], 80), soft_wrap=True)
    assert capture.get().splitlines() == ["name      size", "─" * 14, "clip    605 MB", "vgg16     3 kB"]


def test_facts_stand_beside_their_names_and_a_long_word_below() -> None:
    rows = [["model", "runs/mine"], ["weights' sha256", "0123456789" * 3], ["elbo", "554.4  (20 pictures held out)"]]
    assert tables.draw(["", ""], rows, 40) == "\n".join(
        [
            "model            runs/mine",
            "weights' sha256",
            "    012345678901234567890123456789",
            "elbo             554.4  (20 pictures",
            "                 held out)",
        ]
    )


def test_rows_go_below_each_other_where_columns_do_not_fit() -> None:
    drawn = tables.draw(["metric", "value"], [["a-rather-long-name", "12,345"], ["b", "2"]], 20)
    assert drawn == "a-rather-long-name\n  value: 12,345\nb\n  value: 2"


HARMLESS = "Füße, 狗, सर्दी, \u200c, \U0001f468\u200d\U0001f469, C:\\new"  # with the joiners of words and of emoji


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),  # clears the screen, sets the title
        ("\x9b31m\x85", r"\x9b31m\x85"),  # C1
        ("a\tb\nc\rd\x7f\0", r"a\tb\nc\rd\x7f\x00"),
        ("gpj.\u202eexe\u2066", r"gpj.\u202eexe\u2066"),
        ("\u2028\u2029\u200b\ufeff\U000e0041", r"\u2028\u2029\u200b\ufeff\U000e0041"),
        ("caf\udce9", r"caf\udce9"),
        (HARMLESS, HARMLESS),
    ],
    ids=["escape sequences", "C1", "C0 and DEL", "direction", "invisible", "not text", "harmless"],
)
def test_only_what_disturbs_a_terminal_is_spelled_out(text: str, shown: str) -> None:
    assert spelled_out(text) == shown
    assert quoted(text) == f'"{shown}"'
    document = terminal.json_text({"text": text}, ascii_only=False)
    assert json.loads(document) == {"text": text}
    assert spelled_out(document.replace("\n", "")) == document.replace("\n", "")
    assert json.loads(terminal.json_text([text], ascii_only=True)) == [text]


def test_a_row_below_each_other_tells_names_from_what_goes_on() -> None:
    """In a narrow terminal: the rest of a cell is deeper than a name, and an empty cell has none."""
    rows = [["mine", "folder:pictures/of a long name", ""], ["other", "short", "5"]]
    assert tables.draw(["model", "what it learned from", "epochs"], rows, 24) == "\n".join(
        [
            "mine",
            "  what it learned from:",
            "      folder:pictures/of",
            "      a long name",
            "other",
            "  what it learned from:",
            "      short",
            "  epochs: 5",
        ]
    )
