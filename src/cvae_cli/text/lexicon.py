"""Which words a tokenizer of word pieces knows, and which it only puts together from pieces.

Word pieces go down to single letters, so every string of letters has some. They are knowledge where they are parts that
mean something: "teapots" is "teapot" in the plural, and "snowstorm" is snow and a storm. Other pieces say little.
"""

from collections.abc import Sequence

from tokenizers import Encoding, Tokenizer

_PREFIX = "##"  # of a piece that is not the first one of its word
_ENDINGS = frozenset(
    "s es d ed r er ers st est n en ing ings y ly ty ness less ful ish able like ism ist ists".split()  # noqa: SIM905
)
_STEM = 3  # letters of a first piece that means something
_PART = 4  # letters of a later one
_LETTERS = 1.5  # a piece, on average: strings that fall apart into fewer are no words
_SHORT = 4  # letters of a word that may be an abbreviation


def has_pieces(encoding: Encoding) -> bool:
    """Whether a text has words that are put together from pieces."""
    return any(token.startswith(_PREFIX) for token in encoding.tokens)


def new_words(text: str, encoding: Encoding, tokenizer: Tokenizer) -> dict[str, list[str]]:
    """Return the words of a text that are put together from pieces which say little, with their pieces."""
    words: list[tuple[int, int, list[str]]] = []  # start, end, pieces
    for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
        if token.startswith(_PREFIX) and words:
            first, _, pieces = words[-1]
            words[-1] = first, end, [*pieces, token.removeprefix(_PREFIX)]
        else:
            words.append((start, end, [token]))
    return {
        text[start:end]: pieces
        for start, end, pieces in words
        if len(pieces) > 1 and not _means_something(pieces, tokenizer)
    }


def is_nonsense(word: str, pieces: Sequence[str]) -> bool:
    """Whether a word falls apart into so small pieces that they cannot mean anything."""
    return len(word) > _SHORT and sum(map(len, pieces)) < _LETTERS * len(pieces)


def _means_something(pieces: Sequence[str], tokenizer: Tokenizer) -> bool:
    stem, *others = pieces
    if any(character.isdigit() for piece in pieces for character in piece):
        return True  # a number, or a name with one
    return len(stem) >= _STEM and all(
        other in _ENDINGS or (len(other) >= _PART and tokenizer.token_to_id(other) is not None) for other in others
    )
