"""Texts cut into what an encoder reads at once: sentences, and where one is too long, pieces of it."""

from collections.abc import Callable

_BLOCK = 4_000  # characters; the segmenter's time grows with their square in some scripts
_CHARACTERS = 10  # a token; more than a tokenizer with a vocabulary of words' parts fits into one, on average


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, stripped, none empty.

    By the rules for English of sentencex: abbreviations, decimals and ellipses end no sentence. One of more than 4,000
    characters comes in parts, cut between words. NUL separates words; what is no character (a lone surrogate) becomes
    U+FFFD.
    """
    from sentencex import segment  # type: ignore[import-untyped]

    text = text.replace("\0", " ").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    found: list[str] = []
    start = 0
    while start < len(text):
        block = text[start : start + _BLOCK]
        parts = segment("en", block)
        if start + _BLOCK < len(text):
            # The last sentence goes on behind the block, so the next one begins with it.
            parts = parts[:-1] or [_up_to_a_word(block)]
        found += parts
        start += sum(map(len, parts))
    return [part.strip() for part in found if part.strip()]


def fitting(sentence: str, limit: int, count: Callable[[str], int]) -> list[str]:
    """A sentence in pieces of at most `limit` tokens: itself when it fits, else halves, or halves of these.

    Cut between words, and through a word only where it does not fit by itself. Nothing is lost; runs of white space
    become single spaces.

    Args:
        count: the number of tokens of a text. It is asked about texts of moderate length only, because tokenizers
            take the square of a word's length in time.
    """
    return _fitting(" ".join(sentence.split()), limit, count)


def _fitting(sentence: str, limit: int, count: Callable[[str], int]) -> list[str]:
    if len(sentence) <= 1 or (len(sentence) <= _CHARACTERS * limit and count(sentence) <= limit):
        return [sentence]
    middle = len(sentence) // 2
    spaces = sentence.rfind(" ", 0, middle), sentence.find(" ", middle)
    cuts = [space for space in spaces if space >= 0]
    cut = min(cuts, key=lambda space: abs(space - middle), default=middle)
    left, right = sentence[:cut], sentence[cut:].lstrip()
    return _fitting(left, limit, count) + _fitting(right, limit, count)


def _up_to_a_word(block: str) -> str:
    """The block without the word that its end cuts through."""
    words = block.rsplit(None, 1)
    return block[: -len(words[1])] if len(words) == 2 and not block[-1].isspace() else block
