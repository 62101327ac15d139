"""Matching prompts to classes."""

import pytest

from cvae_cli.data.mnist import FAMILY
from cvae_cli.errors import UsageError
from cvae_cli.text.labels import match_class, tokenize

CLASSES = FAMILY["fashion-mnist"].classes


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("T-shirt", "t-shirt/top"),
        ("t shirts", "t-shirt/top"),
        ("a plain white TSHIRT", "t-shirt/top"),
        ("two tops", "t-shirt/top"),
        ("shirt", "shirt"),
        ("Shirts!", "shirt"),
        ("a dress shirt", "shirt"),
        ("a red summer dress", "dress"),
        ("DRESSES", "dress"),
        ("pants", "trouser"),
        ("blue jeans", "trouser"),
        ("my trousers", "trouser"),
        ("hoodie", "pullover"),
        ("sweaters", "pullover"),
        ("winter-jacket", "coat"),
        ("a woollen coat", "coat"),
        ("cardigan", "coat"),
        ("sandals", "sandal"),
        ("flip-flops", "sandal"),
        ("running shoes", "sneaker"),
        ("trainers", "sneaker"),
        ("a lady's handbag", "bag"),
        ("bags", "bag"),
        ("Ankle-Boots", "ankle boot"),
        ("ankle   boot", "ankle boot"),
        ("leather boots", "ankle boot"),
        ("booties", "ankle boot"),
        ("ＤＲＥＳＳ", "dress"),
    ],
)
def test_words_name_their_class(prompt: str, name: str) -> None:
    found = match_class(prompt, CLASSES)
    assert found.name == name == CLASSES[found.index].name
    assert found.others == ()


def test_first_of_several_classes_is_drawn_and_the_others_are_named() -> None:
    found = match_class("jeans, a shirt, another shirt and boots", CLASSES)
    assert found.name == "trouser"
    assert found.others == ("shirt", "ankle boot")


@pytest.mark.parametrize(
    "prompt",
    ["", "   ", "!?", "laptop", "shirtless", "undress", "topography", "一条红裙子", "🥾", "x" * 100_000],
)
def test_prompt_without_a_class_is_refused_with_all_classes(prompt: str) -> None:
    with pytest.raises(UsageError) as caught:
        match_class(prompt, CLASSES)
    assert caught.value.hint is not None
    for each in CLASSES:
        assert each.name in caught.value.hint
        assert all(word in caught.value.hint for word in each.words)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("prompt", "nearest"),
    [("snekers", "sneakers"), ("a pulover please", "pullover"), ("sandels", "sandals"), ("the snekers", "sneakers")],
)
def test_misspelt_word_gets_a_suggestion(prompt: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f'Did you mean "{nearest}"'):
        match_class(prompt, CLASSES)


def test_words_are_the_articles_and_no_word_means_two_classes() -> None:
    words = [tokenize(word) for each in CLASSES for word in each.words]
    assert len(words) == len(set(words))
    assert len(CLASSES) == 10


def test_control_characters_do_not_reach_the_terminal() -> None:
    with pytest.raises(UsageError) as caught:
        match_class("\x1b[31mlaptop\n", CLASSES)
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message
