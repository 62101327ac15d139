"""Devices: what is copied to one, and in which precision it computes."""

import pytest
import torch

from cvae_cli.runtime.device import count_flops, full_precision, send

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


@pytest.mark.parametrize("variant", ["article-add", "residual-modulate", "map-attentive"])
def test_operations_are_those_that_torch_counts(variant: str) -> None:
    from helpers import data_for, small_model
    from torch.utils.flop_counter import FlopCounterMode

    from cvae_cli.data.batches import Batches

    model = small_model(variant)
    pictures, condition = next(Batches(data_for(variant), batch_size=2, device=model.device).in_order())
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        model.elbo(pictures, condition)
    assert count_flops(model.elbo, pictures, condition) == counted.get_total_flops() > 0
