"""The operations of a sampler as an ONNX graph.

Tracing takes torch much longer than the operations themselves, so the network that a prior calls in each step is traced
once. The graph of the sampler calls it as a function of ONNX, and is written with that function's operations in place.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cvae_cli.models.velocity import VelocityNetwork

if TYPE_CHECKING:
    from onnx import ModelProto

    from cvae_cli.models.autoencoder import Autoencoder

OPSET = 18
"""The version of ONNX's operators in the file, which runtimes have read since 2023."""

_DOMAIN, _VELOCITY = "cvae", "Velocity"
Sizes = dict[int, torch.export.Dim]


class Sampler(nn.Module):
    """What the file computes: from noise, and from what the pictures show, to pictures.

    Args:
        guidance: the guidance scale.
        encoder: from the input that says what the pictures show to conditions; None if it has conditions already.
    """

    def __init__(self, model: "Autoencoder", *, guidance: float | None, encoder: nn.Module | None) -> None:
        super().__init__()
        self.network, self.prior, self.likelihood = model.network, model.prior, model.likelihood
        self.guidance, self.encoder = guidance, encoder

    def forward(self, noise: Tensor, shown: Tensor | None = None) -> Tensor:
        """Return pictures `(b, c, h, w)`; a model without a condition needs noise alone."""
        condition = noise.new_zeros(noise.shape[0]) if shown is None else shown
        if self.encoder is not None:
            condition = self.encoder(condition)
        z = self.prior.from_noise(noise, condition, guidance=self.guidance)
        return self.likelihood.mean(self.network.decode(z, condition).float())


class _Velocity(nn.Module):
    """The network that a prior calls in each step."""

    def __init__(self, prior: VelocityNetwork) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, y: Tensor, t: Tensor, code: Tensor, guidance: Tensor, length: Tensor) -> Tensor:
        return self.prior.velocity(y, t, code, guidance, length)


def make_graph(sampler: Sampler, inputs: dict[str, Tensor]) -> "ModelProto":
    """Return a sampler as a graph of ONNX. The batch, and the number of tokens, may have any size.

    Args:
        inputs: an example of each, by name.
    """
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    sizes = {name: {0: batch, 1: length} if name == "tokens" else {0: batch} for name in inputs}
    prior = sampler.prior
    if not isinstance(prior, VelocityNetwork):
        return _anonymous(_trace(sampler, inputs, sizes, output="images"))
    with _called(prior):
        whole = _trace(sampler, inputs, sizes, output="images")
    rows = len(inputs["noise"])
    example = {"y": torch.zeros(rows, *prior.map_shape), "t": torch.zeros(rows)}
    example |= {"code": torch.zeros(rows, prior.code_width if prior.code is not None else 1)}
    example |= {"guidance": torch.zeros(rows), "length": torch.zeros(rows)}
    step = _trace(_Velocity(prior), example, {name: {0: batch} for name in example}, output="velocity")
    return _anonymous(_inlined(whole, step))


@contextmanager
def _called(prior: VelocityNetwork) -> Iterator[None]:
    """Trace the network of a prior as one operation."""

    def call(y: Tensor, t: Tensor, code: Tensor, guidance: float = 1.0, length: float = 0.0) -> Tensor:
        inputs = (y, t, code, torch.full_like(t, guidance), torch.full_like(t, length))
        return torch.onnx.ops.symbolic(f"{_DOMAIN}::{_VELOCITY}", inputs, dtype=y.dtype, shape=y.shape, version=1)

    vars(prior)["velocity"] = call  # hides the method
    try:
        yield
    finally:
        del vars(prior)["velocity"]


def _trace(module: nn.Module, inputs: dict[str, Tensor], sizes: dict[str, Sizes], *, output: str) -> "ModelProto":
    """Return the operations of a module. `sizes` has the dimensions that may have any size."""
    # `torch.onnx.export` alone would fix sizes that it cannot keep open; `torch.export.export` raises an error
    shapes = tuple(sizes.values())
    graph = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=shapes, strict=False)
    with _quiet():
        program = torch.onnx.export(
            graph,
            dynamo=True,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=shapes,  # for their names
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _inlined(whole: "ModelProto", step: "ModelProto") -> "ModelProto":
    """Put the operations of a step where it is called. All calls share one copy of the weights."""
    from onnx import helper, inliner

    graph, weights = step.graph, [each.name for each in step.graph.initializer]
    inputs, outputs = [each.name for each in graph.input], [each.name for each in graph.output]
    whole.functions.append(
        helper.make_function(
            _DOMAIN, _VELOCITY, [*inputs, *weights], outputs, list(graph.node), list(step.opset_import)
        )
    )
    shared = [f"step.{name}" for name in weights]  # names that no operation of the whole graph has
    for weight, name in zip(graph.initializer, shared, strict=True):
        weight.name = name
        whole.graph.initializer.append(weight)
    for node in whole.graph.node:
        if node.domain == _DOMAIN:
            node.input.extend(shared)
    whole = inliner.inline_local_functions(whole)
    operators = [each for each in whole.opset_import if each.domain != _DOMAIN]
    del whole.opset_import[:]
    whole.opset_import.extend(operators)
    return whole


def _anonymous(model: "ModelProto") -> "ModelProto":
    """Drop what torch notes about each operation: its stack traces name the folders of this machine."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch's exporter says about its own work to itself; its errors are raised all the same."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
