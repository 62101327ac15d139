"""Batches of training pictures."""

import numpy as np
import pytest
import torch
from helpers import fashion

from cvae_cli.data.batches import Batches

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
