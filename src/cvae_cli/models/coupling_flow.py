"""A normalising flow as a prior."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.config import model as config
from cvae_cli.config.condition import ConditionSettings
from cvae_cli.models.condition import Condition, embedding
from cvae_cli.models.dense import hidden_layers
from cvae_cli.models.network import Latents
from cvae_cli.models.prior import Prior
from cvae_cli.models.standard_normal import standard_log_prob


class CouplingFlow(Prior):
    """A stack of conditional affine couplings (Dinh, Sohl-Dickstein & Bengio 2017).

    Each layer permutes the numbers of a latent, then scales and shifts one half of them. Scale and shift are computed
    by a network from the other half and the condition. Both directions take one pass.
    """

    def __init__(
        self, settings: config.FlowPrior, *, latent_shape: tuple[int, ...], condition: ConditionSettings | None
    ) -> None:
        super().__init__(settings, latent_shape=latent_shape, condition=condition)
        latent_dim = math.prod(latent_shape)  # a map is flattened
        self.code = embedding(condition, settings.condition_width) if condition else None
        code_width = settings.condition_width if condition else 0
        self.kept = latent_dim // 2
        order = torch.empty(settings.layers, latent_dim, dtype=torch.int64)  # (layers, d)
        if not order.is_meta:
            generator = torch.Generator().manual_seed(0)
            for row in order:
                torch.randperm(latent_dim, generator=generator, out=row)
        self.register_buffer("order", order)
        self.couplings = nn.ModuleList(
            _coupling_network(self.kept + code_width, settings.width, 2 * (latent_dim - self.kept))
            for _ in range(settings.layers)
        )

    def log_prob(self, z: Latents, condition: Condition, *, noise: Latents | None = None) -> Float[Tensor, " b"]:
        code = self._embed(condition)
        z = z.flatten(1)
        log_volume = z.new_zeros(len(z))
        for order, network in zip(self._orders(), self.couplings, strict=True):
            kept, moved = z[:, order].split([self.kept, z.shape[1] - self.kept], dim=1)
            log_scale, shift = self._affine(network, kept, code)
            z = torch.cat([kept, moved * log_scale.exp() + shift], dim=1)
            log_volume = log_volume + log_scale.sum(1)
        return standard_log_prob(z) + log_volume

    def from_noise(self, noise: Latents, condition: Condition, *, guidance: float | None = None) -> Latents:
        self.check_guidance(guidance)
        code = self._embed(condition)
        z = noise.flatten(1)
        for order, network in reversed(list(zip(self._orders(), self.couplings, strict=True))):
            kept, moved = z.split([self.kept, z.shape[1] - self.kept], dim=1)
            log_scale, shift = self._affine(network, kept, code)
            z = torch.cat([kept, (moved - shift) * (-log_scale).exp()], dim=1)[:, order.argsort()]
        return z.reshape(noise.shape)

    def _embed(self, condition: Condition) -> Tensor:
        """Embed the condition for the couplings; without a condition the embedding is empty, `(b, 0)`."""
        return self.code(condition) if self.code is not None else self._orders().new_zeros(condition.shape[0], 0)

    def _orders(self) -> Tensor:
        order = self.order
        assert isinstance(order, Tensor)
        return order

    @staticmethod
    def _affine(network: nn.Module, kept: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        # In full precision: rounding errors would not cancel between density and volume, and products this small
        # would not get faster.
        with torch.autocast(kept.device.type, enabled=False):
            log_scale, shift = network(torch.cat([kept, code], dim=1).float()).chunk(2, dim=1)
        return 2 * (log_scale / 2).tanh(), shift  # a layer scales by e^-2 to e^2


def _coupling_network(inputs: int, width: int, outputs: int) -> nn.Module:
    last = nn.Linear(width, outputs)
    nn.init.zeros_(last.weight)  # at first the flow only permutes: N(0, I)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*hidden_layers(inputs, width, layers=2), last)
