"""Split texts into sentences, and long sentences into pieces that an encoder can read."""

from collections.abc import Callable

_BLOCK = 4_000  # characters; for some scripts, the segmenter's time grows with their square
_CHARACTERS = 10  # per token; tokens of parts of words are shorter than that on average


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences, stripped and not empty.

    The rules are those of sentencex for English: abbreviations, decimals and ellipses do not end a sentence. A sentence
    of more than 4,000 characters is cut between words. NUL becomes a space, and a lone surrogate U+FFFD.
    """
    from sentencex import segment  # type: ignore[import-untyped]

    text = text.replace("\0", " ").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    found: list[str] = []
    start = 0
    while start < len(text):
        block = text[start : start + _BLOCK]
        parts = segment("en", block)
        if start + _BLOCK < len(text):
            # The last sentence may continue after the block, so the next block starts with it.
            parts = parts[:-1] or [_without_cut_word(block)]
        found += parts
        start += sum(map(len, parts))
    return [part.strip() for part in found if part.strip()]


def split_to_fit(sentence: str, limit: int, count: Callable[[str], int]) -> list[str]:
    """Split a sentence into pieces of at most `limit` tokens, by halving it until the pieces fit.

    Cuts are between words; only a word that does not fit by itself is cut. Nothing is lost, except that runs of white
    space become single spaces.

    Args:
        count: counts the tokens of a text. It is called only with texts of moderate length, because the time of
            tokenizers grows with the square of a word's length.
    """
    return _halve_to_fit(" ".join(sentence.split()), limit, count)


def _halve_to_fit(sentence: str, limit: int, count: Callable[[str], int]) -> list[str]:
    if len(sentence) <= 1 or (len(sentence) <= _CHARACTERS * limit and count(sentence) <= limit):
        return [sentence]
    middle = len(sentence) // 2
    spaces = sentence.rfind(" ", 0, middle), sentence.find(" ", middle)
    cuts = [space for space in spaces if space >= 0]
    cut = min(cuts, key=lambda space: abs(space - middle), default=middle)
    left, right = sentence[:cut], sentence[cut:].lstrip()
    return _halve_to_fit(left, limit, count) + _halve_to_fit(right, limit, count)


def _without_cut_word(block: str) -> str:
    """Return the block without the word that its end cuts."""
    words = block.rsplit(None, 1)
    return block[: -len(words[1])] if len(words) == 2 and not block[-1].isspace() else block
