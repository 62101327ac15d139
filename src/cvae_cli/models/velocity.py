"""The network of a flow-matching prior: the velocity at which noise becomes a latent."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.config import model as config
from cvae_cli.config.condition import ConditionSettings
from cvae_cli.config.model import MOST_GUIDANCE
from cvae_cli.models.condition import Condition, embedding
from cvae_cli.models.prior import Prior
from cvae_cli.models.residual import Block, GroupNorm

_FREQUENCIES = 64  # of the embedding of time
Scale = float | Float[Tensor, " b"]


class Attention(nn.Module):
    """Residual self-attention between the positions of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // 32
        self.norm = GroupNorm(8, channels)
        self.read = nn.Conv2d(channels, 3 * channels, 1)
        self.write = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.write.weight)  # a new layer is the identity
        nn.init.zeros_(self.write.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        positions = self.norm(x).flatten(2).mT  # (b, h * w, c)
        qkv = _per_position(self.read, positions).unflatten(2, (3, self.heads, 32)).transpose(1, 3)
        seen = F.scaled_dot_product_attention(*qkv.unbind(2))  # (b, heads, h * w, 32)
        written = _per_position(self.write, seen.transpose(1, 2).flatten(2))
        return x + written.mT.unflatten(2, x.shape[2:])


def _per_position(layer: nn.Conv2d, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
    """Apply a 1x1 convolution as a matrix product, which is faster on a CPU for small batches."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)


class VelocityNetwork(Prior):
    """A prior with a network that predicts velocities of a latent's map, given the time and the condition.

    A latent vector is a map with one position.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, settings: config.ScorePrior, *, latent_shape: tuple[int, ...], condition: ConditionSettings | None
    ) -> None:
        super().__init__(settings, latent_shape=latent_shape, condition=condition)
        channels, *sides = latent_shape
        self.map_shape = (channels, *(sides or [1, 1]))
        kernel = 3 if sides else 1
        width = settings.width
        self.code_width = code_width = settings.condition_width
        self.register_buffer("shift", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.time = _embedding(2 * _FREQUENCIES, code_width)
        self.code = embedding(condition, code_width) if condition else None
        self.nothing = nn.Parameter(torch.zeros(code_width)) if condition else None  # the code of a dropped condition
        self.read = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
        self.place = nn.Parameter(torch.zeros(width, *self.map_shape[1:]))  # an embedding of each position
        self.guide = _without_effect(_embedding(1, code_width)) if settings.guidance_input and condition else None
        self.step = _without_effect(_embedding(1, code_width)) if settings.step_input else None
        self.takes_windows = settings.window_input
        self.window = nn.Linear(3, code_width, bias=False) if settings.window_input else None  # 0 for a whole picture
        if self.window is not None:
            nn.init.zeros_(self.window.weight)
        self.blocks = nn.ModuleList(Block(width, code_width, kernel=kernel) for _ in range(settings.blocks))
        attentions = settings.blocks // 2 if settings.attention else 0
        self.attentions = nn.ModuleList(Attention(width) for _ in range(attentions))
        self.write = nn.Sequential(GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 1))
        for parameter in self.write[2].parameters():
            nn.init.zeros_(parameter)

    # ---- the network -----------------------------------------------------------------------------------------

    def _guided_velocity(
        self,
        y: Float[Tensor, "b c h w"],
        time: float,
        code: Tensor,
        condition: Condition,
        guidance: Scale,
        length: float = 0.0,
    ) -> Float[Tensor, "b c h w"]:
        """Predict the velocity at `y`, with guidance from one call of the network or from two; see `velocity`."""
        t = torch.full((y.shape[0],), time, device=y.device)
        is_plain = not isinstance(guidance, Tensor) and guidance == 1
        if is_plain or self.code is None or self.guide is not None:
            return self.velocity(y, t, code, guidance, length)
        return self._velocity_of_two(y, t, code, condition, guidance)

    def _velocity_of_two(
        self, y: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], code: Tensor, condition: Condition, guidance: Scale
    ) -> Float[Tensor, "b c h w"]:
        """Predict the velocity at `y`, guided away from that without a condition."""
        dropped = self._code(condition, torch.zeros(y.shape[0], dtype=torch.bool, device=y.device))
        # one large batch is faster than two small ones
        both = self.velocity(torch.cat([y, y]), torch.cat([t, t]), torch.cat([code, dropped]))
        conditional, unconditional = both.unflatten(0, (2, -1)).unbind()
        if isinstance(guidance, Tensor):
            guidance = guidance.view(-1, 1, 1, 1)
        return unconditional + guidance * (conditional - unconditional)

    def velocity(
        self,
        y: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        code: Tensor,
        guidance: Scale = 1.0,
        length: Scale = 0.0,
    ) -> Tensor:
        """Predict the velocity at `y` in one call of the network.

        Args:
            guidance: only a network that has the guidance scale as an input is guided.
            length: of the step over which the mean velocity is wanted, for a network that has this as an input; 0 for
                the velocity at the time `t` itself.
        """
        if self.guide is not None:
            code = code + self.guide(_embed_guidance(guidance, like=code))
        if self.step is not None:
            code = code + self.step(_column(length, like=code))
        code = F.silu(self.time(_embed_time(t)) + code)
        x = self.read(y) + self.place
        for number, block in enumerate(self.blocks):
            x = block(x, code)
            if self.attentions and number % 2:
                x = self.attentions[number // 2](x)
        return self.write(x).float()

    def _code(self, condition: Condition, kept: Tensor | None = None) -> Float[Tensor, "b w"]:
        """Embed the conditions for the blocks; those that are not `kept` have the code of a dropped condition."""
        if self.code is None or self.nothing is None:
            return self.place.new_zeros(condition.shape[0], 1)
        code = self.code(condition)
        return code if kept is None else torch.where(kept[:, None], code, self.nothing)


def _embedding(numbers: int, width: int) -> nn.Sequential:
    """Make the layers that embed a few numbers."""
    return nn.Sequential(nn.Linear(numbers, width), nn.SiLU(), nn.Linear(width, width))


def _without_effect(layers: nn.Sequential) -> nn.Sequential:
    """Set the last of some new layers to zero: the network predicts what it predicted without them."""
    for parameter in layers[-1].parameters():
        nn.init.zeros_(parameter)
    return layers


def _embed_guidance(guidance: Scale, *, like: Tensor) -> Float[Tensor, "_ 1"]:
    """Return the guidance scale as the network sees it, from -1/4 for 0 to 1 for 5, the largest that it learns."""
    return (_column(guidance, like=like).clamp(max=MOST_GUIDANCE) - 1) / 4


def _column(numbers: Scale, *, like: Tensor) -> Float[Tensor, "_ 1"]:
    """Return a number for each latent, or one for all, as a column."""
    # filled in on the device: a copy to a GPU would wait for what it still computes
    return numbers[:, None] if isinstance(numbers, Tensor) else like.new_full((1, 1), numbers)


def _embed_time(t: Float[Tensor, " b"]) -> Float[Tensor, "b embedding"]:
    """Embed times in [0, 1] as sines and cosines of many frequencies (Vaswani et al. 2017)."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), _FREQUENCIES, device=t.device))
    angles = t[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
