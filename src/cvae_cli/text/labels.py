"""Match prompts to classes by keyword."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cvae_cli.config.model import LabelClass
from cvae_cli.errors import UsageError, did_you_mean, quoted

Tokens = tuple[str, ...]

_FILLER_WORDS = frozenset(("a", "an", "the", "of", "and", "or", "some", "two", "pair"))


@dataclass(frozen=True)
class Match:
    """The class that a prompt names first.

    Attributes:
        others: the names of the other classes in the prompt.
    """

    index: int
    name: str
    others: tuple[str, ...]


def match_class(prompt: str, classes: Sequence[LabelClass]) -> Match:
    """Find the class that a prompt names.

    Case, hyphens, spaces and plurals make no difference. Where two phrases overlap, the longer one counts: "T-shirt"
    is not a shirt.

    Raises:
        UsageError: the prompt names no class. The message has the most similar word, the hint all classes.
    """
    phrases = _phrases(classes)
    tokens = tokenize(prompt)
    named = list(dict.fromkeys(_named(tokens, phrases)))
    if not named:
        words = [" ".join(phrase) for phrase in phrases]
        suggestion = did_you_mean(tokens, words)
        raise UsageError(
            f"no class of this model in {quoted(prompt)}.{suggestion}", hint="classes:\n" + describe_classes(classes)
        )
    first, *others = named
    return Match(first, classes[first].name, tuple(classes[index].name for index in others))


def names_only_classes(prompt: str, classes: Sequence[LabelClass]) -> bool:
    """Whether a prompt names classes and nothing else: "a dress" or "shoes and bags", but not "a red dress"."""
    phrases = _phrases(classes)
    words = " ".join(word for word in tokenize(prompt) if word not in _FILLER_WORDS)
    named = [" ".join(tokens) for tokens in phrases]
    return bool(words) and re.fullmatch(rf"(?:(?:{'|'.join(map(re.escape, named))})(?: |$))+", words) is not None


def describe_classes(classes: Sequence[LabelClass]) -> str:
    """Return a line for each class, with the words that mean it."""
    return "\n".join(f"  {each.name}: {', '.join(each.words)}" for each in classes)


def tokenize(text: str) -> Tokens:
    """Split a text into lower-case words of letters and digits; a possessive 's is dropped."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return tuple(re.findall(r"[^\W_]+", re.sub(r"'s\b", "", text)))


def _named(tokens: Tokens, phrases: dict[Tokens, int]) -> Iterator[int]:
    """Yield the classes named, in the order of the prompt; where several phrases start, the longest one counts."""
    longest = max(map(len, phrases), default=0)
    position = 0
    while position < len(tokens):
        for length in range(longest, 0, -1):
            candidate = tokens[position : position + length]
            if candidate in phrases:
                yield phrases[candidate]
                position += len(candidate) - 1
                break
        position += 1


def _phrases(classes: Sequence[LabelClass]) -> dict[Tokens, int]:
    """Map every phrase, in singular and plural, to its class; a phrase of two classes means the first of them."""
    phrases: dict[Tokens, int] = {}
    for index, each in enumerate(classes):
        for word in each.words:
            if not (tokens := tokenize(word)):
                continue
            *before, last = tokens
            for form in (last, *_plurals(last)):
                phrases.setdefault((*before, form), index)
    return phrases


def _plurals(word: str) -> list[str]:
    if re.search(r"(s|x|z|ch|sh)$", word):
        return [word + "es"]
    if re.search(r"[^aeiou]y$", word):
        return [word[:-1] + "ies"]
    return [word + "s"]
