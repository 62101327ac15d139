"""The device and the precision of computations."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from cvae_cli.errors import UsageError


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of this name; `auto` picks CUDA if there is a GPU, else Apple's MPS, else the CPU.

    Raises:
        UsageError: there is no such device, or not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f'no device "{name}"', hint="devices: auto, cpu, cuda, cuda:1, mps") from error
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if not 0 <= (device.index or 0) < counts.get(device.type, 0):
        raise UsageError(f'this machine has no device "{name}"', hint="--device auto takes what there is")
    return device


def computes_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions for bf16, which make it faster than fp32 there.

    On a CPU these are AVX512-BF16 and AMX. Other processors convert to fp32 and back.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from memory to a device. The CPU does not wait for a GPU, which may still compute a step before."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute convolutions of fp32 numbers in fp32 within the block, as a CPU does.

    By default torch rounds their inputs to TF32 on a GPU, which has 10 bits: pictures and scores would differ visibly
    from the CPU's.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    owner, name, exact = (
        (cudnn.conv, "fp32_precision", "ieee") if hasattr(cudnn, "conv") else (cudnn, "allow_tf32", False)
    )
    before = getattr(owner, name)
    setattr(owner, name, exact)
    try:
        yield
    finally:
        setattr(owner, name, before)


DTYPES = {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16}
"""The dtype of the arithmetic inside the networks. A training replaces `auto` before it starts."""


def count_flops(forward: "torch.nn.Module | object", *inputs: torch.Tensor) -> int:
    """Count the floating-point operations of one call; a multiply-add counts as two."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        forward(*inputs)  # type: ignore[operator]
    return int(counter.get_total_flops())
