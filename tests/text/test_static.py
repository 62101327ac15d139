"""The embedded text encoder: the meaning of its vectors, and texts of any kind."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from cvae_cli.errors import UsageError
from cvae_cli.text.static import TOKENIZER, VECTORS, StaticEncoder, spell_out

TRIPLES = [line.split("\t") for line in Path(__file__).with_name("triples.tsv").read_text().splitlines()[1:]]
RIGHT = 34  # minimum, of the 40 triples
UNSEEN = [  # a word that no training caption contains, a related word, and an unrelated one
    ("feline", "cat", "carpet"),
    ("canine", "dog", "candle"),
    ("stallion", "horse", "stadium"),
    ("surgeon", "doctor", "fisherman"),
    ("attorney", "judge", "painter"),
    ("emperor", "king", "empty bottle"),
    ("thief", "robber", "chief"),
    ("sedan", "car", "chair"),
    ("warship", "navy boat", "castle"),
    ("swamp", "marsh", "swimming"),
    ("tavern", "pub", "cave"),
    ("melancholy", "sadness", "happiness"),
]
DOGS = "two dogs on a beach"
TEXTS = [
    DOGS,
    "a man riding a bike",
    "Pizza!",
    "a " * 700 + "red car",
    "cafés at night",
    "🐶 with a ball",
    "strawberries",
]


@pytest.fixture(scope="module")
def encoder() -> StaticEncoder:
    return StaticEncoder()


def similarity(encoder: StaticEncoder, one: str, other: str) -> float:
    return cosine_similarity(*encoder.encode([one, other]), dim=0).item()


def test_a_paraphrase_is_nearer_than_another_scene(encoder: StaticEncoder) -> None:
    assert len(TRIPLES) == 40
    wrong = [
        anchor
        for anchor, paraphrase, other in TRIPLES
        if similarity(encoder, anchor, paraphrase) <= similarity(encoder, anchor, other)
    ]
    assert len(TRIPLES) - len(wrong) >= RIGHT, wrong


def test_a_word_that_no_caption_has_is_near_its_synonym(encoder: StaticEncoder) -> None:
    wrong = [
        word
        for word, synonym, other in UNSEEN
        if similarity(encoder, word, synonym) <= similarity(encoder, word, other)
    ]
    assert len(wrong) <= 1, wrong  # melancholy is closer to happiness for the teacher too


def test_a_vector_is_of_unit_size_a_coordinate(encoder: StaticEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == torch.float32
    assert vectors.shape == (len(TEXTS), encoder.settings.width)
    assert vectors.square().mean(1).sqrt() == pytest.approx(1, abs=1e-5)


def test_a_vector_depends_on_its_text_alone(encoder: StaticEncoder) -> None:
    together = encoder.encode(TEXTS)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        backwards = StaticEncoder().encode(TEXTS[::-1] * 50)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(together, torch.cat([encoder.encode([text]) for text in TEXTS]))
    assert torch.equal(together, backwards[: len(TEXTS)].flip(0))
    assert torch.equal(backwards, backwards[: len(TEXTS)].repeat(50, 1))


def test_neighbours_count(encoder: StaticEncoder) -> None:
    one, other = encoder.encode(["a red car and a blue house", "a blue car and a red house"])
    assert not torch.allclose(one, other, atol=1e-3)


def test_no_text_is_no_vector(encoder: StaticEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.settings.width)


def test_case_accents_and_punctuation_make_no_difference(encoder: StaticEncoder) -> None:
    plain, *others = encoder.encode(
        ["a cafe at night", "A Café, at night!", "  a cafe\tat\nnight...", "a cafe\0 at night"]
    )
    assert all(torch.equal(plain, other) for other in others)


def test_a_pictograph_means_its_name(encoder: StaticEncoder) -> None:
    assert spell_out("a 🐶!") == "a  dog face !"
    said, drawn, skin, plain = encoder.encode(["dog face", "🐶", "👋🏽", "👋"])
    assert torch.equal(said, drawn)
    assert torch.equal(skin, plain)
    assert similarity(encoder, "🍕", "a slice of pizza") > similarity(encoder, "🍕", "a slice of bread")
    assert similarity(encoder, "1️⃣", "keycap: 1") > similarity(encoder, "1️⃣", "a dog")


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\0", " \0 \0"])
def test_an_empty_text_is_refused(encoder: StaticEncoder, text: str) -> None:
    with pytest.raises(UsageError, match=r"^the prompt is empty$"):
        encoder.encode([DOGS, text])


@pytest.mark.parametrize(
    "text",
    ["我喜欢狗", "собака", "!!! ... ???", "\udce9\udcff", "\ufffd", "\x07", "x" * 100_000, "狗" * 100_000, "\u0378"],
)
def test_a_text_without_a_known_word_is_refused_in_one_line(encoder: StaticEncoder, text: str) -> None:
    with pytest.raises(UsageError, match=r"^the text encoder knows no word of .*; it reads English$") as refused:
        encoder.encode([DOGS, text])
    assert len(refused.value.message) < 300
    refused.value.message.encode()


@pytest.mark.parametrize(
    "text",
    [
        "a dog\0 on a beach",
        "a dog \udce9 on a beach",
        "dog\u200d\ufe0f",
        "a dog " * 16_667,
        "👨‍👩‍👧‍👦🏳️‍🌈",
        "🐶" * 10_000,
        "½ ﷺ dog",
        "ｄｏｇ",
    ],
)
def test_odd_text_has_a_vector(encoder: StaticEncoder, text: str) -> None:
    assert encoder.encode([text]).isfinite().all()


def test_words_without_effect_are_named(encoder: StaticEncoder) -> None:
    notices: list[str] = []
    encoder.encode([DOGS, "a dog, a ball: one two!"], callback=lambda event: notices.append(str(event)))
    assert not notices
    vectors = encoder.encode(
        [DOGS, "two собаки dogs 我喜欢 on a beach", "a כלב dog", "a κύων dog"],
        callback=lambda event: notices.append(str(event)),
    )
    assert notices == ['the text encoder reads English, and ignores "собаки", "我喜欢", "כלב" and 1 more']
    assert torch.equal(vectors[0], vectors[1])


@pytest.mark.parametrize("text", ["xyzzyqq", "zxcvbnm QQQQQQQ", "xyzzyqq собака", "qwxzkj!"])
def test_strings_of_letters_are_no_words(encoder: StaticEncoder, text: str) -> None:
    with pytest.raises(UsageError, match=r"the text encoder knows no word of .*; it reads English"):
        encoder.encode([DOGS, text])


@pytest.mark.parametrize(
    ("text", "guessed"),
    [
        ("a narwhal and two wombats", ["narwhal", "wombats"]),
        ("asdfgh", ["asdfgh"]),
        ("two dogs xyzzyqq", ["xyzzyqq"]),
        ("Narwhals, xkcd", ["Narwhals", "xkcd"]),
        ("dogs, zebras, teapots, snowstorms and kayakers", []),
        ("a Café at 17:30, 3d, R2D2, n01440764", []),
        ("🐶 👋🏽 1️⃣ naïve", []),
    ],
)
def test_words_in_pieces_are_said(encoder: StaticEncoder, text: str, guessed: list[str]) -> None:
    notices: list[str] = []
    encoder.encode([text], callback=lambda event: notices.append(str(event)))
    named = ", ".join(f'"{word}"' for word in guessed)
    assert notices == ([f"the text encoder does not know {named}, and guesses from parts of words"] if guessed else [])


def test_the_identity_covers_both_files(encoder: StaticEncoder) -> None:
    expected = hashlib.sha256(VECTORS.read_bytes() + TOKENIZER.read_bytes()).hexdigest()
    assert encoder.settings.sha256 == expected


def test_the_files_are_small() -> None:
    assert VECTORS.stat().st_size + TOKENIZER.stat().st_size <= 7_900_000
