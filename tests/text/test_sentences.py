"""Splitting texts into sentences, and sentences into parts that fit an encoder."""

import time

import pytest

from cvae_cli.text.sentences import split_sentences, split_to_fit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A cat on a mat.", ["A cat on a mat."]),
        ("A cat.  A dog!\nA bird", ["A cat.", "A dog!", "A bird"]),
        ("Dr. Smith is 3.5 m tall. He waves.", ["Dr. Smith is 3.5 m tall.", "He waves."]),
        ("A shop in the U.S. at 5 p.m. on a Monday.", ["A shop in the U.S. at 5 p.m. on a Monday."]),
        ("A long road... Then a house.", ["A long road...", "Then a house."]),
        ("Really?! Yes!? Good.", ["Really?!", "Yes!?", "Good."]),
        ("一只猫。一只狗。", ["一只猫。", "一只狗。"]),
        ("A cat 😀. A dog 🐶!", ["A cat 😀.", "A dog 🐶!"]),
        ("a\0cat\0", ["a cat"]),
        ("\ud800 \ud83d\ude00", ["\ufffd 😀"]),
        ("", []),
        (" \n\t\0 \n\n", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


LONG = {
    "prose": "The cat sat on the mat. It was 3.5 m away! ",
    "one sentence": "word ",
    "one word": "a",
    "quotes": "'",
    "guillemets": "« ",
    "open quotes": "“a. ",
    "chinese": "你好。",
    "emoji": "😀",
    "lines": "a\n\n",
}


@pytest.mark.parametrize("name", LONG)
def test_long_texts_are_cut_in_time_that_grows_with_their_length(name: str) -> None:
    text = (LONG[name] * 100_000)[:100_000]
    begin = time.process_time()
    found = split_sentences(text)
    asked: list[int] = []

    def count(piece: str) -> int:
        asked.append(len(piece))
        return len(piece)

    pieces = [piece for sentence in found for piece in split_to_fit(sentence, 75, count)]
    assert time.process_time() - begin < 3
    assert max(asked, default=0) <= 1_000  # the time of a tokenizer may grow with its square
    assert sum(asked) <= 10 * len(text)
    assert letters("".join(found)) == letters("".join(pieces)) == letters(text)


def letters(text: str) -> str:
    return "".join(text.split())


def test_a_sentence_is_not_cut_where_the_text_is_read_in_blocks() -> None:
    sentence = "A cat and a dog, which live in the house of Mr. Jones, see 3.5 birds."
    assert split_sentences(" ".join([sentence] * 1000)) == [sentence] * 1000


def test_an_endless_sentence_is_cut_between_words() -> None:
    found = split_sentences("wonderful " * 10_000)
    assert " ".join(found).split() == ["wonderful"] * 10_000


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("length", [1, 5, 6, 10, 11, 99])
def test_what_is_too_long_is_cut_evenly_between_words(length: int) -> None:
    said = [f"word{i}" for i in range(length)]
    pieces = split_to_fit(" ".join(said), 5, words)
    assert " ".join(pieces).split() == said
    sizes = [words(piece) for piece in pieces]
    assert max(sizes) <= 5
    assert max(sizes) <= 2 * min(sizes) + 1
    assert len(pieces) <= 2 * -(-length // 5)


def test_what_fits_stays_as_it_is() -> None:
    assert split_to_fit("a cat on a mat", 5, words) == ["a cat on a mat"]


def test_a_word_is_cut_only_where_it_does_not_fit_by_itself() -> None:
    pieces = split_to_fit("a cat " + 25 * "x" + " on a mat", 10, len)
    assert [piece for piece in pieces if "x" not in piece] == ["a cat", "on a mat"]
    assert "".join(pieces) == "a cat" + 25 * "x" + "on a mat"
    assert max(map(len, pieces)) <= 10


def test_a_character_that_does_not_fit_is_left_whole() -> None:
    assert split_to_fit("你 好", 2, lambda text: 3 * len(text)) == ["你", "好"]
