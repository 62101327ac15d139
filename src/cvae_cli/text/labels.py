"""Match prompts to classes by keyword.

A prompt is compared with the names and the words of the classes in several forms, from the strict to the loose: as they
are written, without regard to case, without signs, and in the plural. A looser form counts only where no stricter one
fits, so that the exact name of a class always means that class: "dogs" is not a plural of "dog" where both are classes,
and neither is "C++" a "C".
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cvae_cli.config.model import LabelClass
from cvae_cli.data.conditions import visible
from cvae_cli.errors import UsageError, did_you_mean, quoted

Tokens = tuple[str, ...]
Form = dict[Tokens, list[int]]
"""The classes of each phrase in one form, by index."""

_FILLER_WORDS = frozenset(("a", "an", "the", "of", "and", "or", "some", "two", "pair"))
_POSSESSIVE = "'s"
_TOKEN = re.compile(rf"(?<=\w){_POSSESSIVE}\b|[^\W_]+|\S", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Match:
    """The class that a prompt names first.

    Attributes:
        others: the names of the other classes in the prompt.
    """

    index: int
    name: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class _Phrases:
    """What means each class.

    Attributes:
        names: the class of each name, as it is seen.
        strict: forms of names and words with all signs, strictest first.
        loose: forms without signs.
        longest: the number of tokens of the longest phrase.
    """

    names: dict[str, int]
    strict: tuple[Form, ...]
    loose: tuple[Form, ...]
    longest: int

    def words(self) -> list[str]:
        """Return every phrase as a text, to suggest one."""
        return list(dict.fromkeys(" ".join(phrase) for form in (*self.loose, *self.strict) for phrase in form))


def match_class(prompt: str, classes: Sequence[LabelClass]) -> Match:
    """Find the class that a prompt names.

    The exact name of a class means that class. Otherwise case, signs, spaces and plurals make no difference as far as
    the classes differ in more than that. Where two phrases overlap, the longer one counts: "T-shirt" is not a shirt.

    Raises:
        UsageError: the prompt names no class. The message has the most similar word, the hint all classes.
    """
    phrases = _phrases(tuple(classes))
    exact = phrases.names.get(visible(prompt))
    if exact is not None:
        return Match(exact, classes[exact].name, ())
    named = list(dict.fromkeys(index for _, _, found in _matches(_tokens(prompt), phrases) for index in found))
    if not named:
        suggestion = did_you_mean(tokenize(prompt), phrases.words())
        raise UsageError(
            f"no class of this model in {quoted(prompt)}.{suggestion}", hint="classes:\n" + describe_classes(classes)
        )
    first, *others = named
    return Match(first, classes[first].name, tuple(classes[index].name for index in others))


def names_only_classes(prompt: str, classes: Sequence[LabelClass]) -> bool:
    """Whether a prompt names classes and nothing else: "a dress" or "shoes and bags", but not "a red dress"."""
    tokens = _tokens(prompt)
    rest = set(range(len(tokens)))
    matches = list(_matches(tokens, _phrases(tuple(classes))))
    for start, end, _ in matches:
        rest.difference_update(range(start, end))
    return bool(matches) and all(word in _FILLER_WORDS for position in rest for word in _words(tokens[position]))


def describe_classes(classes: Sequence[LabelClass]) -> str:
    """Return a line for each class, with the words that mean it."""
    return "\n".join(f"  {each.name}: {', '.join(each.words)}" for each in classes)


def tokenize(text: str) -> Tokens:
    """Split a text into lower-case words of letters and digits; a possessive 's is dropped."""
    return tuple(word for token in _tokens(text) for word in _words(token))


def _tokens(text: str) -> Tokens:
    """Split a text into words and single signs, as they are written."""
    return tuple(_TOKEN.findall(visible(text).replace("\u2019", "'")))


def _folded(token: str) -> str:
    """Return a token without regard to case and to variants of a character, such as wide letters."""
    return unicodedata.normalize("NFKC", token).casefold()


def _words(token: str) -> list[str]:
    """Return the words in a token: none in a sign."""
    folded = _folded(token)
    return [] if folded == _POSSESSIVE else _WORD.findall(folded)


def _matches(tokens: Tokens, phrases: _Phrases) -> Iterator[tuple[int, int, list[int]]]:
    """Yield the start, the end and the classes of each phrase in a prompt, in its order.

    Where several phrases start, the longest one counts; of equally long ones, the one in the strictest form.
    """
    folded = tuple(map(_folded, tokens))
    words = [(word, position) for position, token in enumerate(tokens) for word in _words(token)]
    position = first = 0  # in `tokens`, and of the next word
    while position < len(tokens):
        while first < len(words) and words[first][1] < position:
            first += 1
        best: tuple[int, list[int]] | None = None
        for end, found in _candidates(tokens, folded, words, position, first, phrases):
            if best is None or end > best[0]:
                best = end, found
        if best is not None:
            yield position, *best
        position = best[0] if best is not None else position + 1


def _candidates(
    tokens: Tokens, folded: Tokens, words: list[tuple[str, int]], position: int, first: int, phrases: _Phrases
) -> Iterator[tuple[int, list[int]]]:
    """Yield the end and the classes of each phrase that starts at `position`, those in stricter forms first.

    Args:
        words: the words of the prompt, each with its position among the tokens.
        first: the first word that is not before `position`.
    """
    for form, written in zip(phrases.strict, (tokens, tokens, folded, folded), strict=True):
        for end in range(position + 1, min(position + phrases.longest, len(tokens)) + 1):
            if found := form.get(written[position:end]):
                yield end, found
    if first == len(words) or words[first][1] != position:
        return
    block = words[first : first + phrases.longest]
    for form in phrases.loose:
        for length in range(1, len(block) + 1):
            if found := form.get(tuple(word for word, _ in block[:length])):
                yield block[length - 1][1] + 1, found


@lru_cache(maxsize=8)
def _phrases(classes: tuple[LabelClass, ...]) -> _Phrases:
    """Return all phrases that mean the classes."""
    names: Form = {}
    words: Form = {}
    folded_names: Form = {}
    folded_words: Form = {}
    loose: Form = {}
    plural: Form = {}
    for index, each in enumerate(classes):
        for text, exact, folded in [(each.name, names, folded_names), *((w, words, folded_words) for w in each.words)]:
            tokens, plain = _tokens(text), tokenize(text)
            _add(exact, tokens, index)
            _add(folded, tuple(map(_folded, tokens)), index)
            _add(loose, plain, index)
            if plain:
                for form in _plurals(plain[-1]):
                    _add(plural, (*plain[:-1], form), index)
    strict = (names, words, folded_names, folded_words)
    longest = max((len(phrase) for form in (*strict, loose, plural) for phrase in form), default=0)
    seen = {visible(each.name): index for index, each in reversed(list(enumerate(classes)))}
    return _Phrases(seen, strict, (loose, plural), longest)


def _add(form: Form, phrase: Tokens, index: int) -> None:
    if phrase and index not in form.setdefault(phrase, []):
        form[phrase].append(index)


def _plurals(word: str) -> list[str]:
    if re.search(r"(s|x|z|ch|sh)$", word):
        return [word + "es"]
    if re.search(r"[^aeiou]y$", word):
        return [word[:-1] + "ies"]
    return [word + "s"]
