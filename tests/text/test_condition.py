"""Conditions of a data set from its captions and classes."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Listener, captioned, fashion
from torch import Tensor

from cvae_cli.config.condition import LabelCondition, StaticCondition
from cvae_cli.data.conditions import Captions, Labels, make_captions, name_classes
from cvae_cli.data.dataset import dataset_from_pixels
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.text import vectors
from cvae_cli.text.catalog import load_encoder, load_matching_encoder
from cvae_cli.text.condition import condition_config, encode_prompts, with_conditions, with_model_conditions
from cvae_cli.text.encoder import TextEncoder
from cvae_cli.text.vectors import with_vectors


class Counting(TextEncoder):
    """The embedded encoder, with a count of the texts that it has encoded and an optional failure."""

    def __init__(self, fail_after: int = 10**9) -> None:
        self.inner = load_encoder("static")
        self.settings = self.inner.settings
        self.encoded = 0
        self.fail_after = fail_after

    def encode(self, texts: Sequence[str], *, callback: object = None) -> Tensor:
        if self.encoded >= self.fail_after:
            raise RuntimeError("pulled the plug")
        self.encoded += len(texts)
        return self.inner.encode(texts)


def test_labels_stay_labels_unless_there_is_an_encoder() -> None:
    data = fashion(n=20)
    assert with_conditions(data, None) is data
    assert condition_config(data) == LabelCondition(classes=data.conditions.classes)
    captions = with_conditions(data, load_encoder("static")).conditions
    assert isinstance(captions, Captions)
    assert captions.text(0) == "ankle boot"
    assert captions.values(np.arange(20)).shape == (20, captions.encoder.width)
    alike = (torch.from_numpy(captions.values(np.array([0]))) - encode_prompts(captions.encoder, ["ankle boot"])).abs()
    assert alike.max() < 0.01  # half precision


def test_captions_need_an_encoder() -> None:
    data = captioned(6)
    bare = replace(data, conditions=replace(data.conditions, vectors=None, encoder=None))
    assert isinstance(condition_config(with_conditions(bare, load_encoder("static"))), StaticCondition)
    with pytest.raises(UsageError, match="captioned has captions, no classes"):
        with_conditions(bare, None)
    with pytest.raises(UsageError, match=r'no text encoder "statik"\. Did you mean "static"'):
        load_encoder("statik")
    with pytest.raises(ValueError, match="not encoded"):
        condition_config(bare)
    with pytest.raises(ValueError, match="must be encoded"):
        bare.conditions.values(np.arange(2))


def test_a_caption_is_drawn_for_each_picture() -> None:
    captions = captioned(6).conditions
    rows = np.arange(6)
    first, last = captions.values(rows), captions.values(rows, np.full(6, 0.999))
    assert [np.array_equal(a, b) for a, b in zip(first, last, strict=True)] == [False, True, False] * 2
    part = captions.take(np.array([4, 0]))
    assert (len(part), part.text(0), part.text(1)) == (2, "snow on a mountain", "two dogs on a beach")


def test_a_model_gets_the_conditions_that_it_knows() -> None:
    data = fashion(n=10)
    assert with_model_conditions(data, condition_config(data)) is data
    assert isinstance(data.conditions, Labels)
    other = LabelCondition(classes=data.conditions.classes[::-1])
    with pytest.raises(UsageError, match=r"other classes than fashion-mnist has \(in another order\)"):
        with_model_conditions(data, other)
    with pytest.raises(UsageError, match="knows classes, and captioned has captions"):
        with_model_conditions(captioned(4), condition_config(data))
    static = condition_config(captioned(4))
    assert condition_config(with_model_conditions(data, static)) == static


def test_another_encoder_is_refused() -> None:
    settings = load_encoder("static").settings
    assert load_matching_encoder(settings).settings == settings
    other = settings.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CorruptError, match="learned with another static text encoder"):
        load_matching_encoder(other)
    with pytest.raises(CorruptError, match="learned with another static text encoder"):
        with_model_conditions(captioned(4), other)


def test_vectors_are_kept_beside_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_BLOCK", 2)
    data = replace(captioned(9), cache=tmp_path)
    data = replace(data, conditions=make_captions([[f"picture number {n}"] for n in range(9)]))
    with pytest.raises(RuntimeError):
        with_vectors(data, Counting(fail_after=4))
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix != ".lock"] == [".part"]
    encoder = Counting()
    seen: list[int] = []
    told = with_vectors(data, encoder, callback=lambda event: seen.append(event.done))
    assert encoder.encoded == 9 - 4  # it continues after the encoded texts
    assert seen == [4, 6, 8, 9]
    again = with_vectors(data, Counting(fail_after=0))
    expected = encoder.inner.encode(data.conditions.sentences).numpy().astype(np.float16)
    for each in (told, again):
        assert isinstance(each.conditions.vectors, np.memmap)
        assert np.array_equal(each.conditions.vectors, expected)
    (kept,) = tmp_path.glob("captions-*.f16")
    content = bytearray(kept.read_bytes())
    content[1000] ^= 1
    kept.write_bytes(content)
    os.utime(kept, ns=(1, 1))
    listener = Listener()
    mended = with_vectors(data, Counting(), callback=listener)
    assert listener.notices == [f"the vectors of captions in {kept} are damaged, and are encoded again"]
    assert np.array_equal(mended.conditions.vectors, expected)
    other = replace(data, conditions=make_captions([["something else"]] * 9))
    with pytest.raises(RuntimeError):
        with_vectors(other, Counting(fail_after=0))


def test_captions_that_say_nothing_are_said() -> None:
    data = captioned(200)
    listener = Listener()
    texts = [["a dog"]] * 199 + [["\u6d77\u8fb9"]]
    told = with_vectors(
        replace(data, conditions=make_captions(texts)),
        load_encoder("static"),
        callback=listener,
    )
    assert not told.conditions.values(np.array([199])).any()
    assert told.conditions.values(np.array([198])).any()
    assert len(listener.notices) == 1
    assert listener.notices[0].startswith("the text encoder knows no word of a caption: ")
    with pytest.raises(UsageError, match='too many captions have no word that the text encoder "static" knows'):
        with_vectors(replace(data, conditions=make_captions([["\u6d77\u8fb9"]] * 200)), load_encoder("static"))


def test_classes_that_the_encoder_reads_as_the_same_are_an_error() -> None:
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    labels = Labels(np.array([0, 1, 2, 1]), name_classes(["C", "dog", "C++"], "here"))
    data = dataset_from_pixels("languages", "train", pixels, labels, "none")
    with pytest.raises(UsageError, match=r'static reads the classes "C" and "C\+\+" as the same') as caught:
        with_conditions(data, load_encoder("static"))
    assert "--condition labels" in str(caught.value.hint)
    part = data.take(np.array([0, 1]))
    assert isinstance(with_conditions(part, load_encoder("static")).conditions, Captions)
