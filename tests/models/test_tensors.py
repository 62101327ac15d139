"""Tensors as safetensors files."""

import pytest
import safetensors.torch
import torch
from torch import Tensor

from cvae_cli.models.tensors import tensors_bytes

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "transposed": torch.arange(6.0).reshape(2, 3).t(),
    "half": torch.tensor([0.5, -2.0]).half(),
    "double": torch.tensor(0.1, dtype=torch.float64),
    "steps": torch.tensor(7),
    "bytes": torch.arange(4, dtype=torch.uint8),
    "mask": torch.tensor([True, False]),
    "empty": torch.empty(0, 3),
    "parameter": torch.nn.Parameter(torch.ones(2)),
}


@pytest.mark.parametrize("more", [{}, {"bfloat16": torch.tensor([1.5, -3.0]).bfloat16()}], ids=["numpy", "torch"])
def test_a_file_has_the_bytes_that_safetensors_writes(more: dict[str, Tensor]) -> None:
    tensors = TENSORS | more
    dense = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    content = tensors_bytes(tensors, {"written": "by a test"})
    assert content == safetensors.torch.save(dense, {"written": "by a test"})
    loaded = safetensors.torch.load(content)
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
