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

from cvae_cli.config.condition import LabelClass
from cvae_cli.data.conditions import visible
from cvae_cli.errors import UsageError, did_you_mean, quoted

Tokens = tuple[str, ...]

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
class _Phrase:
    """A phrase in one form.

    Attributes:
        looseness: of the form; of two equally long phrases, the stricter one counts.
        classes: those that it means, by index.
    """

    tokens: Tokens
    looseness: int
    classes: list[int]


_Form = dict[Tokens, list[int]]  # the classes of each phrase
_Index = dict[str, list[_Phrase]]  # phrases by their first token


@dataclass(frozen=True)
class _Phrases:
    """What means each class.

    Attributes:
        names: the class of each name, as a reader sees it.
        written: names and words as they are written.
        folded: the same without regard to case.
        plain: the same without signs, in the singular and the plural.
    """

    names: dict[str, int]
    written: _Index
    folded: _Index
    plain: _Index

    def texts(self) -> list[str]:
        """Return every phrase as a text, to suggest one."""
        indexes = (self.plain, self.folded)
        return [" ".join(each.tokens) for index in indexes for phrases in index.values() for each in phrases]


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
        suggestion = did_you_mean(tokenize(prompt), phrases.texts())
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


@lru_cache(maxsize=4096)  # a long text repeats its tokens
def _folded(token: str) -> str:
    """Return a token without regard to case and to variants of a character, such as wide letters."""
    return unicodedata.normalize("NFKC", token).casefold()


@lru_cache(maxsize=4096)
def _words(token: str) -> Tokens:
    """Return the words in a token: none in a sign."""
    folded = _folded(token)
    return () if folded == _POSSESSIVE else tuple(_WORD.findall(folded))


def _matches(tokens: Tokens, phrases: _Phrases) -> Iterator[tuple[int, int, list[int]]]:
    """Yield the start, the end and the classes of each phrase in a prompt, in its order.

    Where several phrases start, the longest one counts; of equally long ones, the one in the strictest form.
    """
    folded = tuple(map(_folded, tokens))
    pairs = [(word, position) for position, token in enumerate(tokens) for word in _words(token)]
    words, places = tuple(word for word, _ in pairs), [position for _, position in pairs]
    start = first = 0  # the position among the tokens, and that of the next word among the words
    while start < len(tokens):
        while first < len(words) and places[first] < start:
            first += 1
        candidates = [
            (tokens, start, phrases.written.get(tokens[start], ())),
            (folded, start, phrases.folded.get(folded[start], ())),
        ]
        if first < len(words) and places[first] == start:
            candidates.append((words, first, phrases.plain.get(words[first], ())))
        best: tuple[int, int, list[int]] | None = None
        for sequence, begin, beginning in candidates:
            for phrase in beginning:
                end = begin + len(phrase.tokens)
                if sequence[begin:end] == phrase.tokens:
                    end = places[end - 1] + 1 if sequence is words else end
                    if best is None or (end, -phrase.looseness) > best[:2]:
                        best = end, -phrase.looseness, phrase.classes
        if best is not None:
            yield start, best[0], best[2]
        start = best[0] if best is not None else start + 1


@lru_cache(maxsize=8)
def _phrases(classes: tuple[LabelClass, ...]) -> _Phrases:
    """Return all phrases that mean the classes."""
    forms: list[_Form] = [{} for _ in range(6)]
    names, words, folded_names, folded_words, plain, plural = forms
    for index, each in enumerate(classes):
        _add(each.name, index, names, folded_names, plain, plural)
        for word in each.words:
            _add(word, index, words, folded_words, plain, plural)
    return _Phrases(
        names={visible(each.name): index for index, each in reversed(list(enumerate(classes)))},
        written=_by_first_token(forms[:2], 0),
        folded=_by_first_token(forms[2:4], 2),
        plain=_by_first_token(forms[4:], 4),
    )


def _add(text: str, index: int, written: _Form, folded: _Form, plain: _Form, plural: _Form) -> None:
    """Add a name or a word of a class in each form."""
    tokens, words = _tokens(text), tokenize(text)
    found = [(written, tokens), (folded, tuple(map(_folded, tokens))), (plain, words)]
    found += [(plural, (*words[:-1], last)) for last in _plurals(words[-1])] if words else []
    for form, phrase in found:
        if phrase and index not in form.setdefault(phrase, []):
            form[phrase].append(index)


def _by_first_token(forms: Sequence[_Form], looseness: int) -> _Index:
    """Index phrases by their first token.

    Args:
        looseness: of the first form.
    """
    index: _Index = {}
    for number, form in enumerate(forms, looseness):
        for tokens, classes in form.items():
            index.setdefault(tokens[0], []).append(_Phrase(tokens, number, classes))
    return index


def _plurals(word: str) -> list[str]:
    if re.search(r"(s|x|z|ch|sh)$", word):
        return [word + "es"]
    if re.search(r"[^aeiou]y$", word):
        return [word[:-1] + "ies"]
    return [word + "s"]
