"""Write text on pictures, in the font that Pillow brings: wrapped, and in letters that the font has."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_SIZE = 14  # pixels; smaller letters are hard to read
_LINE = 18  # pixels from line to line
_MAX_LINES = 12
_MAX_TEXT = 20_000  # characters; more never fit
_LATIN = re.compile(r"LATIN (?P<case>SMALL|CAPITAL) (LETTER|LIGATURE) (?P<letters>[A-Z]{1,2})( WITH .*)?")
_OTHERS = {"×": "x", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "ß": "ss"}


@dataclass(frozen=True)
class Lettering:
    """A text in lines, ready to be written.

    Attributes:
        width, height: its size in pixels.
    """

    lines: tuple[str, ...]
    width: int
    height: int

    def draw(self, sheet: "Image.Image", x: int, y: int) -> None:
        """Write the text on a white sheet, in black, with its upper left corner at `(x, y)`."""
        if not self.lines:
            return
        from PIL import ImageDraw  # sheets without labels need not wait for it

        draw = ImageDraw.Draw(sheet)
        for number, line in enumerate(self.lines):
            draw.text((x, y + number * _LINE), line, fill="black", font=_font())


@lru_cache(1000)
def letter(text: str, width: int) -> Lettering:
    """Break a text into lines of at most `width` pixels; what is more than 12 lines ends in three dots."""
    lines: list[str] = []
    for word in _readable(text[:_MAX_TEXT]).split():
        if lines and _length(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines += _break_word(word, width)
    if len(lines) > _MAX_LINES:
        lines = lines[:_MAX_LINES]
        while lines[-1] and _length(lines[-1] + "...") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "..."
    return Lettering(tuple(lines), max(map(_length, lines), default=0), _LINE * len(lines))


def stack(*letterings: Lettering) -> Lettering:
    """Put texts below each other."""
    lines = tuple(line for each in letterings for line in each.lines)
    return Lettering(lines, max((each.width for each in letterings), default=0), _LINE * len(lines))


def _break_word(word: str, width: int) -> list[str]:
    """Break a word that is wider than a line."""
    parts = [""]
    for character in word:
        if parts[-1] and _length(parts[-1] + character) > width:
            parts.append("")
        parts[-1] += character
    return parts


def _readable(text: str) -> str:
    """Replace what the font cannot show: letters by those without accents, and signs such as emoji by their names."""
    return "".join(_replace(character) for character in unicodedata.normalize("NFC", text))


@cache
def _replace(character: str) -> str:
    if character.isspace() or not character.isprintable():
        return " "
    if _has(character):
        return character
    if character in _OTHERS:
        return _OTHERS[character]
    name = unicodedata.name(character, "")
    if match := _LATIN.fullmatch(name):
        letters = match["letters"]
        return letters.lower() if match["case"] == "SMALL" else letters
    plain = unicodedata.normalize("NFKD", character)
    if plain != character and all(map(_has, plain)):
        return plain
    if unicodedata.category(character) in {"Mn", "Me"}:  # such as the sign that makes a heart an emoji
        return ""
    return f" {name.lower()} " if unicodedata.category(character) == "So" else "?"


@cache
def _has(character: str) -> bool:
    return _mask(character) != _mask("\uffff")  # which no font has: what is drawn in its place


def _mask(character: str) -> bytes:
    return bytes(_font().getmask(character))


def _length(text: str) -> int:
    return round(_font().getlength(text) + 0.5)


@cache
def _font() -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    from PIL import ImageFont

    return ImageFont.load_default(_SIZE)
