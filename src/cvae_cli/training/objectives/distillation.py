"""What a prior learns from itself, as objectives: guidance in one call of the network, and large steps."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from copy import deepcopy

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.data.batches import Batches
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.flow_matching import FlowMatching
from cvae_cli.training.objectives.prior import PriorObjective


class DistillationObjective(PriorObjective):
    """The error of a prior against itself as it was before, its teacher.

    Raises:
        UsageError: there is nothing to learn for such a prior.
    """

    def __init__(self, model: CVAE) -> None:
        super().__init__(model)
        self.prior = self.check(model.prior)
        self.teacher = deepcopy(self.prior).requires_grad_(False).eval()

    @staticmethod
    @abstractmethod
    def check(prior: nn.Module) -> FlowMatching:
        """Return the prior if it can learn this, or raise a UsageError."""

    def parameters(self) -> Iterable[nn.Parameter]:
        super().parameters()
        for unused in (self.prior.nothing, *(self.prior.window.parameters() if self.prior.window else ())):
            if unused is not None:  # what a guided call for a whole picture has no use for would have no gradient
                unused.requires_grad_(False)
        return [each for each in self.prior.parameters() if each.requires_grad]

    def calibrate(self, batches: Batches) -> None:
        """Let the teacher be the prior as it is now."""
        self.teacher.load_state_dict(self.prior.state_dict())

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.teacher.state_dict())

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        self.teacher.load_state_dict(tensors)


class GuidanceObjective(DistillationObjective):
    """A prior that has the guidance scale as an input learns in one call what its teacher makes of two."""

    names = ("guidance",)

    @staticmethod
    def check(prior: nn.Module) -> FlowMatching:
        if not isinstance(prior, FlowMatching) or prior.guide is None:
            raise UsageError(
                "guidance is taught to a conditional prior of the kind score, which this model does not have",
                hint="fit one first:  cvae train --prior score --model MODEL",
            )
        return prior

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        latents, _ = self._sample_latents(images)
        return self.prior.guidance_loss(self.teacher, latents, condition, self.random)[:, None]


class StepsObjective(DistillationObjective):
    """A prior that has the length of a step as an input learns to go in a few large ones where small ones lead."""

    names = ("steps",)

    @staticmethod
    def check(prior: nn.Module) -> FlowMatching:
        if not isinstance(prior, FlowMatching) or prior.step is None:
            raise UsageError(
                "large steps are taught to a prior of the kind score, which this model does not have",
                hint="fit one first:  cvae train --prior score --model MODEL",
            )
        if prior.code is not None and prior.guide is None:
            raise UsageError(
                "large steps are taught to a prior that is guided in one call of its network",
                hint="teach it that first:  cvae train --tune guidance --model MODEL",
            )
        return prior

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        latents, _ = self._sample_latents(images)
        noise = self.random.normal(*latents.shape, device=latents.device)
        return self.prior.steps_loss(self.teacher, noise, condition, self.random)[:, None]
