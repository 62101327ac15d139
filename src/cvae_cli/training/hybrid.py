"""A discriminator beside the bound: pictures that look sharper, of a model that is no longer a pure CVAE."""

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
from cvae_cli.training.objective import WholeModel

_WIDTH = 32
_SLOPE = 0.2  # of the leaky rectifiers


class Discriminator(nn.Module):
    """Tells pictures from reconstructions, patch by patch (Isola et al. 2017), each layer's gain at most 1."""

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
        """What each layer sees, `(b, width, h / 2, w / 2)` and smaller."""
        seen = []
        x = 2 * images - 1
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
            seen.append(x)
        return seen

    def forward(self, images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b 1 h w"], list[Tensor]]:
        """Verdicts, above 0 for what seems a picture, and the features that they come from."""
        seen = self.features(images)
        return self.write(seen[-1]), seen


class Hybrid(WholeModel):
    """-ELBO, and what a discriminator, which learns beside the model, sees in reconstructions.

    `perceptual` is the squared distance between a picture's features and its reconstruction's (Larsen et al. 2016),
    `adversarial` the hinge loss's verdict on the reconstruction (Lim & Ye 2017); both as a mean times the number of
    pixel values, so that a weight means the same at every size.
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
        bound = self._bound(images, condition)
        assert bound.output is not None
        rebuilt = self.model.likelihood.mean(bound.output)
        self._learn(images, rebuilt.detach())

        self.discriminator.requires_grad_(False)  # only the model learns from what follows
        verdict, seen = self.discriminator(rebuilt)
        wanted = self.discriminator.features(images)
        terms = {
            "perceptual": sum((a - b).square().flatten(1).mean(1) for a, b in zip(seen, wanted, strict=True)),
            "adversarial": -verdict.flatten(1).mean(1),
        }
        self.discriminator.requires_grad_(True)
        size = images[0].numel()
        return torch.cat(
            [self.of_bound(bound), torch.stack([size * terms[name] for name in self.weights], dim=1)], dim=1
        )

    def _measured(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        bound = self.of_bound(self._bound(images, condition))
        return F.pad(bound, (0, len(self.weights)))

    def total(self, losses: Float[Tensor, "b losses"], beta: float) -> Float[Tensor, " b"]:
        of_bound, terms = losses.split([losses.shape[1] - len(self.weights), len(self.weights)], dim=1)
        return super().total(of_bound, beta) + terms @ losses.new_tensor(list(self.weights.values()))

    def state(self) -> dict[str, Tensor]:
        network = {f"discriminator.{name}": tensor for name, tensor in self.discriminator.state_dict().items()}
        return network | optimizer_tensors(self.optimizer)

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        mine = {name.partition(".")[2]: tensor for name, tensor in tensors.items() if name.startswith("discriminator.")}
        self.discriminator.load_state_dict(mine)
        others = {name: tensor for name, tensor in tensors.items() if not name.startswith("discriminator.")}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": optimizer_slots(others)})

    def _learn(self, images: Tensor, rebuilt: Tensor) -> None:
        """One step of the discriminator."""
        real, _ = self.discriminator(images)
        drawn, _ = self.discriminator(rebuilt)
        loss = F.relu(1 - real).mean() + F.relu(1 + drawn).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        get_world().all_reduce_mean_(each.grad for each in self.discriminator.parameters() if each.grad is not None)
        self.optimizer.step()
