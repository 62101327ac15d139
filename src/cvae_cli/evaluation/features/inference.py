"""Networks as they are faster once their training is over."""

from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

N = TypeVar("N", bound=nn.Module)


def for_inference(network: N) -> N:
    """Freeze a network in place, fold its batch normalisations into the convolutions before them, and return it.

    A normalisation must be registered right after the convolution whose output it takes.
    """
    network.eval().requires_grad_(False)
    for module in list(network.modules()):
        for (name, convolution), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module.add_module(name, fuse_conv_bn_eval(convolution, norm))
                module.add_module(norm_name, nn.Identity())
    return network.requires_grad_(False).to(memory_format=torch.channels_last)
