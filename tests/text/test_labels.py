"""Matching prompts to classes."""

import contextlib
import time

import pytest

from cvae_cli.data.conditions import name_classes
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


@pytest.mark.parametrize(
    ("names", "prompts"),
    [
        (["dog", "dogs"], {"dog": "dog", "dogs": "dogs", "two dogs": "dogs", "DOGS": "dogs", "a dog": "dog"}),
        (["glass", "glasses", "sunglass", "sunglasses"], {"sunglasses": "sunglasses", "a glass": "glass"}),
        (["fly", "flies", "box", "boxes"], {"flies": "flies", "boxes": "boxes", "a box": "box"}),
        (["C", "C#", "C++", ".NET"], {"C": "C", "C++": "C++", "c#": "C#", "a c++ logo": "C++", ".net": ".NET"}),
        (["+1", "-1", "1", "+", "-"], {"-1": "-1", "1": "1", "+1": "+1", "+": "+", "the sign -": "-"}),
        (["A", "a"], {"A": "A", "a": "a", "the letter A": "A"}),
        (["hot dog", "hot-dog", "hot_dog"], {"hot_dog": "hot_dog", "hot-dog": "hot-dog", "a hot dog": "hot dog"}),
        (["men", "men's"], {"men's": "men's", "men": "men", "men\u2019s shoes": "men's"}),
        (["cats", "cats and dogs", "dogs"], {"cats and dogs": "cats and dogs", "cats": "cats"}),
        (
            ["\u2048", "\u221a", "\u2764\ufe0f", "dog"],
            {"\u221a": "\u221a", "\u2048": "\u2048", "\u2764": "\u2764\ufe0f"},
        ),
        (["caf\u00e9", "cafe"], {"cafe\u0301": "caf\u00e9", "cafe": "cafe"}),
    ],
)
def test_an_exact_name_means_its_class_whatever_stands_beside(names: list[str], prompts: dict[str, str]) -> None:
    for order in (names, names[::-1]):
        classes = name_classes(order, "here")
        for name in names:
            assert (match_class(name, classes).name, match_class(f"  {name} ", classes).others) == (name, ())
        for prompt, name in prompts.items():
            assert match_class(prompt, classes).name == name


def test_a_prompt_between_two_classes_names_both() -> None:
    found = match_class("DOG", name_classes(["Dog", "dog"], "here"))
    assert (found.name, found.others) == ("Dog", ("dog",))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["dog", "dog "], ["'dog'", "'dog '", "apart"]),
        (["caf\u00e9", "tea", "cafe\u0301"], [r"'caf\xe9'", r"'cafe\u0301'", "apart"]),
        (["dog", "d\u200bog"], [r"'d\u200bog'", "apart"]),
        (["dog", "\u200b"], [r"'\u200b'", "no visible character"]),
        (["dog", "b\udcffd"], [r"'b\udcffd'", "not valid text"]),
        (["dog", "b\x1bd"], [r"'b\x1bd'", "control character"]),
    ],
)
def test_names_that_no_prompt_could_mean_are_said(names: list[str], said: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        name_classes(names, "here")
    assert all(part in caught.value.message for part in ["here: ", *said])


@pytest.mark.parametrize("unit", ["dog ", "+", "dog-"])
def test_long_prompts_and_long_names_are_matched_in_time(unit: str) -> None:
    classes = name_classes(["dog", "-" * 200, "+" * 120 + "!", "x " * 100 + "z", "dog-" * 60 + "z"], "here")
    started = time.process_time()
    with contextlib.suppress(UsageError):
        match_class(unit * (50_000 // len(unit)), classes)
    assert time.process_time() - started < 5
