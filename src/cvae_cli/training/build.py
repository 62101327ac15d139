"""From a recipe to what is trained: its model, and what is minimised."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cvae_cli.config.model import Condition, ImageShape, ModelConfig
from cvae_cli.config.recipe import Recipe
from cvae_cli.errors import UsageError
from cvae_cli.models.cvae import CVAE
from cvae_cli.training.hybrid import Hybrid
from cvae_cli.training.objective import Objective, PriorAlone, WholeModel


def build_model(recipe: Recipe, dataset: str, image: ImageShape, condition: Condition) -> CVAE:
    """The untrained model of a recipe for pictures of a data set, its random weights decided by the recipe's seed.

    Raises:
        UsageError: the parts of the recipe do not fit each other, or the pictures.
    """
    torch.manual_seed(recipe.training.seed)
    return CVAE(
        ModelConfig(
            name=recipe.name,
            dataset=dataset,
            image=image,
            condition=condition,
            architecture=recipe.architecture,
            hybrid=recipe.is_hybrid,
        )
    )


def build_objective(recipe: Recipe, model: CVAE) -> Objective:
    """What a recipe minimises.

    Raises:
        UsageError: it is nothing that the model has.
    """
    if recipe.start is not None:
        if recipe.training.is_hybrid:
            raise UsageError("a prior alone draws no pictures that a discriminator could judge")
        return PriorAlone(model)
    return Hybrid(model, recipe.training) if recipe.training.is_hybrid else WholeModel(model, recipe.training.free_bits)


def start_from(model: CVAE, start: str) -> None:
    """Give a model the network and the likelihood of a finished one.

    Raises:
        UsageError: the finished one is built otherwise.
    """
    finished = CVAE.from_pretrained(start)
    ours, theirs = model.config, finished.config
    architecture = theirs.architecture.model_copy(update={"prior": ours.architecture.prior})
    if (theirs.image, theirs.condition, architecture) != (ours.image, ours.condition, ours.architecture):
        raise UsageError(
            f"{start} is built otherwise than the recipe says",
            hint="its pictures, classes or text encoder are others, or its network is",
        )
    model.network.load_state_dict(finished.network.state_dict())
    model.likelihood.load_state_dict(finished.likelihood.state_dict())


class _Forward(nn.Module):
    """An objective as a module, for what only knows modules."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.model = objective.model
        self.forward = objective.losses


def shared(objective: Objective, device: torch.device) -> nn.Module:
    """The losses of an objective, whose gradients are averaged over all processes on the way back."""
    devices = [device] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(_Forward(objective), device_ids=devices)


def compiled(losses_of: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """The same losses, translated by `torch.compile` when they are first asked for, with the same random numbers.

    Raises:
        UsageError: from the losses, where this machine cannot translate them.
    """
    from torch._dynamo.exc import TorchDynamoException  # imported where it is used: it takes a second

    options: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": device.type == "cuda"}
    translated = torch.compile(losses_of, dynamic=False, options=options)

    def losses(images: Tensor, condition: Tensor) -> Tensor:
        try:
            return translated(images, condition)
        except TorchDynamoException as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UsageError(
                f"torch.compile failed: {reason[:200]}", hint="train without it:  --set training.compile=false"
            ) from error

    return losses


def statistics(model: CVAE) -> list[Tensor]:
    """What a model notes of the pictures it sees, as the variance of a likelihood: each process sees others."""
    return [buffer for buffer in model.buffers() if buffer.is_floating_point()]
