"""Devices: what is copied to one, and in which precision it computes."""

import pytest
import torch

from cvae_cli.runtime.device import full_precision, send

GPU = torch.device("cuda")  # the switches of its precision exist without one


def _tf32() -> bool:
    """Whether a GPU would round what it convolves."""
    return bool(torch.backends.cudnn.conv.fp32_precision == "tf32")


def test_convolutions_are_in_full_precision_within_the_block() -> None:
    assert _tf32()
    with full_precision(torch.device("cpu")):
        assert _tf32()
    with full_precision(GPU):
        with full_precision(GPU):
            assert not _tf32()
        assert not _tf32()
    assert _tf32()
    with pytest.raises(ValueError, match="within"):
        _fail_within()
    assert _tf32()


def _fail_within() -> None:
    with full_precision(GPU):
        raise ValueError("within")


def test_sending_to_the_cpu_keeps_the_tensor() -> None:
    tensor = torch.arange(6).view(2, 3)
    assert send(tensor, torch.device("cpu")) is tensor
