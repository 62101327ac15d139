"""From captions and classes to what a model learns from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import captioned, fashion
from torch import Tensor

from cvae_cli.config import LabelCondition, StaticCondition
from cvae_cli.data.conditions import Captions, Labels, captions_of
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.text import vectors
from cvae_cli.text.condition import condition, conditioned, conditioned_like, settings_of
from cvae_cli.text.encoder import TextEncoder, find_encoder, same_encoder
from cvae_cli.text.vectors import with_vectors


class Counting(TextEncoder):
    """The embedded encoder, which counts what it encodes and can fail."""

    def __init__(self, fail_after: int = 10**9) -> None:
        self.inner = find_encoder("static")
        self.settings = self.inner.settings
        self.encoded = 0
        self.fail_after = fail_after

    def encode(self, texts: Sequence[str], *, notice: object = None) -> Tensor:
        if self.encoded >= self.fail_after:
            raise RuntimeError("pulled the plug")
        self.encoded += len(texts)
        return self.inner.encode(texts)


def test_labels_stay_labels_unless_there_is_an_encoder() -> None:
    data = fashion(n=20)
    assert conditioned(data, None) is data
    assert settings_of(data) == LabelCondition(classes=data.conditions.classes)
    captions = conditioned(data, find_encoder("static")).conditions
    assert isinstance(captions, Captions)
    assert captions.text(0) == "ankle boot"
    assert captions.draw(np.arange(20)).shape == (20, captions.encoder.width)
    alike = (torch.from_numpy(captions.draw(np.array([0]))) - condition(captions.encoder, ["ankle boot"])).abs()
    assert alike.max() < 0.01  # half precision


def test_captions_need_an_encoder() -> None:
    data = captioned(6)
    bare = replace(data, conditions=replace(data.conditions, vectors=None, encoder=None))
    assert isinstance(settings_of(conditioned(bare, find_encoder("static"))), StaticCondition)
    with pytest.raises(UsageError, match="captioned has captions, no classes"):
        conditioned(bare, None)
    with pytest.raises(UsageError, match=r'no text encoder "statik"\. Did you mean "static"'):
        find_encoder("statik")
    with pytest.raises(ValueError, match="not encoded"):
        settings_of(bare)
    with pytest.raises(ValueError, match="must be encoded"):
        bare.conditions.draw(np.arange(2))


def test_a_caption_is_drawn_for_each_picture() -> None:
    captions = captioned(6).conditions
    rows = np.arange(6)
    first, last = captions.draw(rows), captions.draw(rows, np.full(6, 0.999))
    assert [np.array_equal(a, b) for a, b in zip(first, last, strict=True)] == [False, True, False] * 2
    part = captions.take(np.array([4, 0]))
    assert (len(part), part.text(0), part.text(1)) == (2, "snow on a mountain", "two dogs on a beach")


def test_a_model_gets_the_conditions_that_it_knows() -> None:
    data = fashion(n=10)
    assert conditioned_like(data, settings_of(data)) is data
    assert isinstance(data.conditions, Labels)
    other = LabelCondition(classes=data.conditions.classes[::-1])
    with pytest.raises(UsageError, match="other classes than fashion-mnist"):
        conditioned_like(data, other)
    with pytest.raises(UsageError, match="knows classes, and captioned has captions"):
        conditioned_like(captioned(4), settings_of(data))
    static = settings_of(captioned(4))
    assert settings_of(conditioned_like(data, static)) == static


def test_another_encoder_is_refused() -> None:
    settings = find_encoder("static").settings
    assert same_encoder(settings).settings == settings
    other = settings.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CorruptError, match="learned with another static text encoder"):
        same_encoder(other)
    with pytest.raises(CorruptError, match="learned with another static text encoder"):
        conditioned_like(captioned(4), other)


def test_vectors_are_kept_beside_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_BLOCK", 2)
    data = replace(captioned(9), cache=tmp_path)
    data = replace(data, conditions=captions_of([[f"picture number {n}"] for n in range(9)]))
    with pytest.raises(RuntimeError):
        with_vectors(data, Counting(fail_after=4))
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix != ".lock"] == [".part"]
    encoder = Counting()
    seen: list[int] = []
    told = with_vectors(data, encoder, steps=lambda what, here, total: seen.append(here))
    assert encoder.encoded == 9 - 4  # it goes on where it was
    assert seen == [6, 8, 9]
    again = with_vectors(data, Counting(fail_after=0))
    expected = encoder.inner.encode(data.conditions.sentences).numpy().astype(np.float16)
    for each in (told, again):
        assert isinstance(each.conditions.vectors, np.memmap)
        assert np.array_equal(each.conditions.vectors, expected)
    other = replace(data, conditions=captions_of([["something else"]] * 9))
    with pytest.raises(RuntimeError):
        with_vectors(other, Counting(fail_after=0))


def test_captions_that_say_nothing_are_said() -> None:
    data = captioned(200)
    said: list[str] = []
    texts = [["a dog"]] * 199 + [["\u6d77\u8fb9"]]
    told = with_vectors(replace(data, conditions=captions_of(texts)), find_encoder("static"), notice=said.append)
    assert not told.conditions.draw(np.array([199])).any()
    assert told.conditions.draw(np.array([198])).any()
    assert len(said) == 1
    assert said[0].startswith("a caption says nothing to the text encoder: ")
    with pytest.raises(UsageError, match='too many captions say nothing to the text encoder "static"'):
        with_vectors(replace(data, conditions=captions_of([["\u6d77\u8fb9"]] * 200)), find_encoder("static"))
