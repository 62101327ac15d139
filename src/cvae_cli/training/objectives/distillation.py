"""What a prior learns from itself, as objectives: guidance in one call of the network, and large steps."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import ClassVar

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

    Attributes:
        input_name: the layers of the prior that read what it learns about.
        needs: what is taught to which prior, for the error.

    Raises:
        UsageError: there is nothing to learn for such a prior.
    """

    input_name: ClassVar[str]
    needs: ClassVar[str]

    def __init__(self, model: CVAE) -> None:
        super().__init__(model)
        if not isinstance(model.prior, FlowMatching) or getattr(model.prior, self.input_name) is None:
            raise UsageError(
                f"{self.needs} of the kind score, which this model does not have",
                hint="fit one first:  cvae train --prior score --model MODEL",
            )
        self.prior, self.teacher = model.prior, deepcopy(model.prior).requires_grad_(False).eval()

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
    input_name, needs = "guide", "guidance is taught to a conditional prior"

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        latents, _ = self._sample_latents(images)
        return self.prior.guidance_loss(self.teacher, latents, condition, self.random)[:, None]


class StepsObjective(DistillationObjective):
    """A prior that has the length of a step as an input learns to go in a few large ones where small ones lead."""

    names = ("steps",)
    input_name, needs = "step", "large steps are taught to a prior"

    def __init__(self, model: CVAE) -> None:
        super().__init__(model)
        if self.prior.code is not None and self.prior.guide is None:
            raise UsageError(
                "large steps are taught to a prior that is guided in one call of its network",
                hint="teach it that first:  cvae train --tune guidance --model MODEL",
            )

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        latents, _ = self._sample_latents(images)
        noise = self.random.normal(*latents.shape, device=latents.device)
        return self.prior.steps_loss(self.teacher, noise, condition, self.random)[:, None]
