"""The bound with a discriminator: sharper pictures, from a model that is no longer a pure CVAE."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from cvae_cli.config.recipe import TrainingSettings
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.distributed import get_world
from cvae_cli.training.checkpoint import optimizer_slots, optimizer_tensors
from cvae_cli.training.objectives.bound import BoundObjective

_WIDTH = 32
_SLOPE = 0.2  # of the leaky rectifiers


class Discriminator(nn.Module):
    """Classifies patches as a picture's or a reconstruction's (Isola et al. 2017), with spectral normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                spectral_norm(nn.Conv2d(channels, _WIDTH, 4, stride=2, padding=1)),
                spectral_norm(nn.Conv2d(_WIDTH, 2 * _WIDTH, 4, stride=2, padding=1)),
                spectral_norm(nn.Conv2d(2 * _WIDTH, 2 * _WIDTH, 3, padding=1)),
            ]
        )
        self.write = spectral_norm(nn.Conv2d(2 * _WIDTH, 1, 3, padding=1))

    def features(self, images: Float[Tensor, "b c h w"]) -> list[Tensor]:
        """Return the features of each layer, `(b, width, h / 2, w / 2)` and smaller."""
        features = []
        x = 2 * images - 1
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
            features.append(x)
        return features

    def forward(self, images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b 1 h w"], list[Tensor]]:
        """Return logits, above 0 for patches that look like a picture's, and the features of each layer."""
        features = self.features(images)
        return self.write(features[-1]), features


class HybridObjective(BoundObjective):
    """-ELBO and the losses of reconstructions under a discriminator that is trained beside the model.

    `perceptual` is the squared distance between the discriminator's features of a picture and of its reconstruction
    (Larsen et al. 2016); `adversarial` is the generator's hinge loss on the reconstruction (Lim & Ye 2017). Both are
    means times the number of pixel values, so that a weight has the same effect at every size.
    """

    def __init__(self, model: CVAE, settings: TrainingSettings) -> None:
        super().__init__(model, settings.free_bits)
        terms = {"perceptual": settings.perceptual, "adversarial": settings.adversarial}
        self.weights = {name: weight for name, weight in terms.items() if weight}
        self.names = (*self.names, *self.weights)
        self.discriminator = Discriminator(model.config.image.channels).to(model.device)
        self.optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=settings.learning_rate, betas=(0.5, 0.9), fused=True
        )

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        bound = self.bound(images, condition)
        assert bound.output is not None
        reconstructions = self.model.likelihood.mean(bound.output)
        self._train_discriminator(images, reconstructions.detach())

        self.discriminator.requires_grad_(False)  # from here on only the model gets a gradient
        logits, features = self.discriminator(reconstructions)
        targets = self.discriminator.features(images)
        terms = {
            "perceptual": sum((a - b).square().flatten(1).mean(1) for a, b in zip(features, targets, strict=True)),
            "adversarial": -logits.flatten(1).mean(1),
        }
        self.discriminator.requires_grad_(True)
        size = images[0].numel()
        scaled_terms = torch.stack([size * terms[name] for name in self.weights], dim=1)
        return torch.cat([self.losses_from_bound(bound), scaled_terms], dim=1)

    def _evaluation_losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        losses = self.losses_from_bound(self.bound(images, condition))
        return F.pad(losses, (0, len(self.weights)))  # the discriminator's terms count as 0

    def total(self, losses: Float[Tensor, "b losses"], beta: float) -> Float[Tensor, " b"]:
        bound_losses, terms = losses.split([losses.shape[1] - len(self.weights), len(self.weights)], dim=1)
        return super().total(bound_losses, beta) + terms @ losses.new_tensor(list(self.weights.values()))

    def state_dict(self) -> dict[str, Tensor]:
        network = {f"discriminator.{name}": tensor for name, tensor in self.discriminator.state_dict().items()}
        return network | optimizer_tensors(self.optimizer)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        prefix = "discriminator."
        network = {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
        optimizer = {name: each for name, each in tensors.items() if not name.startswith(prefix)}
        self.discriminator.load_state_dict(network)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": optimizer_slots(optimizer)})

    def _train_discriminator(self, images: Tensor, reconstructions: Tensor) -> None:
        """Take one step of the discriminator with the hinge loss."""
        real, _ = self.discriminator(images)
        fake, _ = self.discriminator(reconstructions)
        loss = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        get_world().all_reduce_mean_(each.grad for each in self.discriminator.parameters() if each.grad is not None)
        self.optimizer.step()
