"""Batches of training pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import CAPTIONS, fashion

from cvae_cli.data.batches import Batches
from cvae_cli.data.conditions import make_captions
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.runtime.distributed import World
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import with_conditions

CPU = torch.device("cpu")


def seen(batches: Batches, epoch: int = 0, start: int = 0) -> list[bytes]:
    """Return the pictures of an epoch in order."""
    return [image.numpy().tobytes() for images, _ in batches.epoch(epoch, start) for image in images]


def test_an_epoch_has_every_picture_once_in_an_order_of_its_own() -> None:
    batches = Batches(fashion(n=48), batch_size=16, device=CPU)
    first, second = seen(batches), seen(batches, epoch=1)
    assert len(first) == 48
    assert sorted(first) == sorted(second)
    assert first != second
    assert first == seen(batches)
    assert first[16:] == seen(batches, start=1)


@pytest.mark.parametrize("batch_size", [16, 100])
def test_a_small_data_set_is_gone_through_several_times(batch_size: int) -> None:
    data = fashion(n=40)
    batches = Batches(data, batch_size=batch_size, device=CPU, passes=3)
    images = seen(batches)
    assert len(images) == len(batches) * batch_size == 120 // batch_size * batch_size
    _, often = np.unique(np.array(images), return_counts=True)
    assert often.max() == 3
    assert len(often) == 40
    assert len(set(images[:40])) == 40  # the passes do not mix


def test_some_pictures_are_mirrored_and_each_pass_chooses_anew() -> None:
    data = fashion(n=40)
    plain = set(seen(Batches(data, batch_size=40, device=CPU)))
    images = seen(Batches(data, batch_size=40, device=CPU, flip=True, passes=2))
    assert 10 < sum(image in plain for image in images[:40]) < 30
    assert set(images[:40]) != set(images[40:])


def ramps(n: int = 40) -> Dataset:
    """Pictures of 16 pixels whose channels are row, column and number, and the same in 32 pixels."""

    def drawn(size: int) -> Dataset:
        place = ((np.arange(size) + 0.5) * 255 / size).round().astype(np.uint8)
        pixels = np.zeros((n, size, size, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = place[:, None], place
        pixels[..., 2] = np.arange(n)[:, None, None]
        return dataset_from_pixels("ramps", "train", pixels, make_captions([CAPTIONS[0]] * n), "none")

    return replace(with_conditions(drawn(16), load_encoder("static")), larger=drawn(32))


def test_half_of_the_pictures_are_windows_of_the_larger_ones() -> None:
    data = ramps()
    images = torch.cat([images for images, _ in Batches(data, batch_size=20, device=CPU, passes=3).epoch(0)])
    whole = {picture.tobytes() for picture in data.images}
    is_whole = [(255 * each).round().byte().permute(1, 2, 0).numpy().tobytes() in whole for each in images]
    assert 40 < sum(is_whole) < 80
    numbers = (255 * images[:, 2]).round().long().flatten(1)
    assert (numbers == numbers[:, :1]).all()  # of one picture each
    assert numbers[:, 0].bincount().tolist() == [3] * 40
    spans = [
        sorted((each[channel].max() - each[channel].min()).item() * 16 / 15 for channel in (0, 1)) for each in images
    ]
    assert {round(8 * span) for pair, one in zip(spans, is_whole, strict=True) if not one for span in pair} == {5, 6, 7}
    tops = {round(32 * each[0].min().item()) for each, one in zip(images, is_whole, strict=True) if not one}
    assert len(tops) > 5
    assert torch.equal(
        next(Batches(data, batch_size=40, device=CPU).in_order())[0],
        next(Batches(replace(data, larger=None), batch_size=40, device=CPU).in_order())[0],
    )


def test_windows_are_the_same_for_a_resumed_epoch_and_for_several_processes() -> None:
    data = ramps()
    images = seen(Batches(data, batch_size=8, device=CPU, flip=True))
    assert images == seen(Batches(data, batch_size=8, device=CPU, flip=True))
    assert images[24:] == seen(Batches(data.take(np.arange(40)), batch_size=8, device=CPU, flip=True), start=3)
    assert images != seen(Batches(data, batch_size=8, device=CPU, flip=True), epoch=1)
    shares = [seen(Batches(data, batch_size=8, device=CPU, flip=True, world=World(rank, 2))) for rank in range(2)]
    assert sorted(images) == sorted(shares[0] + shares[1])
