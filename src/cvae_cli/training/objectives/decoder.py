"""The loss of a decoder alone: the decoder of a finished model is trained on, and its latents stay as they are."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.training.frozen import Frozen
from cvae_cli.training.objectives.objective import Objective
from cvae_cli.training.objectives.perceptual import perceptual_loss


class DecoderObjective(Objective):
    """The distortion of reconstructions, and with a frozen network their distance in its feature maps.

    Everything but the decoder and the likelihood is frozen: also what the decoder shares with the encoder.
    """

    def __init__(self, model: CVAE, weight: float = 0.0, frozen: Frozen | None = None) -> None:
        super().__init__(model)
        self.names = ("distortion",) if frozen is None else ("distortion", "perceptual")
        self.weight, self.frozen = weight, frozen

    def _trained(self) -> list[nn.Module]:
        network = self.model.network
        return [*map(network.get_submodule, network.decoder_parts), self.model.likelihood]

    def parameters(self) -> Iterable[nn.Parameter]:
        self.model.requires_grad_(False)
        return [each for module in self._trained() for each in module.requires_grad_(True).parameters()]

    def train_mode(self) -> None:
        self.model.eval()
        for module in self._trained():
            module.train()

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        with torch.no_grad():
            posterior = self.model.posterior(images, condition)
            noise = self.random.normal(len(images), *self.model.latent_shape, device=images.device)
            z = posterior.mean + posterior.stddev * noise
        output = self.model.network.decode(z, condition).float()
        losses = [self.model.likelihood.distortion(output, images)]
        if self.frozen is not None:
            reconstructions = self.model.likelihood.mean(output)
            losses.append(perceptual_loss(self.frozen, reconstructions, images, self.random))
        return torch.stack(losses, dim=1)

    def total(self, losses: Float[Tensor, "b losses"], beta: float) -> Float[Tensor, " b"]:
        distortion, *distances = losses.unbind(1)
        return distortion + self.weight * sum(distances, torch.zeros_like(distortion))
