"""The guidance of a prior as an objective: one call of the network learns what guidance makes of two."""

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


class GuidanceObjective(PriorObjective):
    """The error of a prior that has the guidance scale as an input, against itself as it was before, called twice.

    Raises:
        UsageError: the prior has no guidance.
    """

    names = ("guidance",)

    def __init__(self, model: CVAE) -> None:
        super().__init__(model)
        if not isinstance(model.prior, FlowMatching) or model.prior.guide is None:
            raise UsageError(
                "guidance is taught to a conditional prior of the kind score, which this model does not have",
                hint="fit one first:  cvae train --prior score --model MODEL",
            )
        self.prior, self.teacher = model.prior, deepcopy(model.prior).requires_grad_(False).eval()

    def parameters(self) -> Iterable[nn.Parameter]:
        super().parameters()
        for unused in (self.prior.nothing, *(self.prior.window.parameters() if self.prior.window else ())):
            if unused is not None:  # what a guided call for a whole picture has no use for would have no gradient
                unused.requires_grad_(False)
        return [each for each in self.prior.parameters() if each.requires_grad]

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        latents, _ = self._sample_latents(images)
        return self.prior.guidance_loss(self.teacher, latents, condition, self.random)[:, None]

    def calibrate(self, batches: Batches) -> None:
        """Let the teacher be the prior as it is now."""
        self.teacher.load_state_dict(self.prior.state_dict())

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.teacher.state_dict())

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        self.teacher.load_state_dict(tensors)
