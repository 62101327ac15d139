"""A flow-matching prior, which moves noise to latents along learned velocities."""

import hashlib
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.config import model as config
from cvae_cli.config.condition import ConditionSettings
from cvae_cli.models.condition import Condition, embedding
from cvae_cli.models.network import Latents
from cvae_cli.models.prior import Prior
from cvae_cli.models.residual import Block, GroupNorm
from cvae_cli.models.solver import adams_bashforth
from cvae_cli.runtime import randomness
from cvae_cli.runtime.randomness import BatchRandom

_FREQUENCIES = 64  # of the embedding of time
_DROP_RATE = 0.1  # of the conditions in training, for classifier-free guidance (Ho & Salimans 2022)
_MIN_TIME = 0.01  # where the integral of the bound ends: a latent there has almost no noise
_MOST_GUIDANCE = 5.0  # that a network learns which has it as an input
_STRATA = 8  # times at which the bound is evaluated
_SINGLE_PROCESS = BatchRandom()
_Scale = float | Float[Tensor, " b"]


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
        qkv = self.read(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, 32)).transpose(3, 4)
        seen = F.scaled_dot_product_attention(*qkv.unbind(1))  # (b, heads, h * w, 32)
        return x + self.write(seen.transpose(2, 3).reshape(x.shape))


class FlowMatching(Prior):
    """A network that predicts the velocity noise - y from y_t = (1 - t) y + t noise (Lipman et al. 2023).

    The latent y is standardised: each channel has mean 0 and variance 1. A latent vector is a map with one position.
    """

    has_density = False
    shift: Tensor
    scale: Tensor

    def __init__(
        self, settings: config.ScorePrior, *, latent_shape: tuple[int, ...], condition: ConditionSettings | None
    ) -> None:
        super().__init__(settings, latent_shape=latent_shape, condition=condition)
        self.guidance, self.guided = settings.guidance, settings.guided
        self.solver = adams_bashforth(settings.steps, order=settings.solver_order, shift=settings.time_shift)
        channels, *sides = latent_shape
        self.map_shape = (channels, *(sides or [1, 1]))
        kernel = 3 if sides else 1
        width, code_width = settings.width, settings.condition_width
        self.register_buffer("shift", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, code_width), nn.SiLU(), nn.Linear(code_width, code_width))
        self.code = embedding(condition, code_width) if condition else None
        self.nothing = nn.Parameter(torch.zeros(code_width)) if condition else None  # the code of a dropped condition
        self.read = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
        self.place = nn.Parameter(torch.zeros(width, *self.map_shape[1:]))  # an embedding of each position
        self.guide = None
        if settings.guidance_input and condition:
            self.guide = nn.Sequential(nn.Linear(1, code_width), nn.SiLU(), nn.Linear(code_width, code_width))
            for parameter in self.guide[2].parameters():
                nn.init.zeros_(parameter)
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

    # ---- training --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def calibrate(self, z: Latents) -> None:
        """Set the mean and the scale of each channel to those of many latents."""
        y = z.reshape(-1, *self.map_shape)
        self.shift.copy_(y.mean((0, 2, 3))[:, None, None])
        self.scale.copy_(y.std((0, 2, 3), unbiased=False).clamp_min(1e-4)[:, None, None])

    def loss(
        self,
        z: Latents,
        condition: Condition,
        random: BatchRandom = _SINGLE_PROCESS,
        *,
        window: Float[Tensor, "b 3"] | None = None,
    ) -> Float[Tensor, " b"]:
        """Return the mean squared error of the velocity, at one random time for each latent."""
        y = self._standardised(z)
        noise, t = _draw_noise(y, random)
        code = self._code(condition, random.uniform(len(y), device=y.device) >= _DROP_RATE)
        if self.window is not None:
            code = code + self.window(y.new_zeros(len(y), 3) if window is None else window)
        return self._error(y, noise, t, code) / y[0].numel()

    def guidance_loss(
        self, teacher: "FlowMatching", z: Latents, condition: Condition, random: BatchRandom = _SINGLE_PROCESS
    ) -> Float[Tensor, " b"]:
        """Return the mean squared error of the velocity, guided in one call, against that of a teacher in two.

        Meng et al. 2023, "On Distillation of Guided Diffusion Models", stage one.
        """
        y = self._standardised(z)
        noise, t = _draw_noise(y, random)
        at = _interpolate(y, noise, t)
        guidance = _MOST_GUIDANCE * random.uniform(len(y), device=y.device)
        is_guided = (guidance < 1) | ((t >= self.guided[0]) & (t <= self.guided[1]))
        guidance = torch.where(is_guided, guidance, 1.0)
        with torch.no_grad():
            wanted = teacher._velocity_of_two(at, t, teacher._code(condition), condition, guidance)
        return (self._velocity(at, t, self._code(condition), guidance) - wanted).square().flatten(1).mean(1)

    def check_guidance(self, guidance: float | None) -> None:
        """Accept any guidance."""

    # ---- density and samples ---------------------------------------------------------------------------------

    def log_prob(self, z: Latents, condition: Condition) -> Float[Tensor, " b"]:
        """Return a lower bound on log p(z | c), in nats: the variational bound of the equivalent diffusion model.

        Kingma et al. 2021, "Variational Diffusion Models", eq. 11 to 17, for alpha = 1 - t and sigma = t. The integral
        is estimated at stratified times. The noise is a function of the latent, so that the bound of a latent does not
        depend on the batch.
        """
        y = self._standardised(z)
        code = self._code(condition)
        size = y[0].numel()
        random = randomness.noise(0, _keys(z), (_STRATA + 1, size + 1)).to(z.device)
        noise, uniform = random[..., :size].unflatten(2, self.map_shape), torch.special.ndtr(random[..., size])
        total = z.new_zeros(len(z))
        for stratum in range(_STRATA):
            t = _MIN_TIME ** ((stratum + uniform[:, stratum]) / _STRATA)  # uniform in log t
            total = total + (1 - t) * self._error(y, noise[:, stratum], t, code)
        integral = -math.log(_MIN_TIME) * total / _STRATA
        t = torch.full((len(y),), _MIN_TIME, device=y.device)
        deviation = _MIN_TIME / (1 - _MIN_TIME)
        last = 0.5 * (1 - _MIN_TIME) ** 2 * self._error(y, noise[:, _STRATA], t, code)
        last = last + size * (math.log(deviation) + 0.5 * math.log(2 * math.pi))
        volume = self.scale.log().sum() * (size // len(self.scale))
        return -(integral + last + volume)

    def from_noise(self, noise: Latents, condition: Condition, *, guidance: float | None = None) -> Latents:
        """Integrate the velocities from t = 1 to 0.

        Guidance is classifier-free (Ho & Salimans 2022), in an interval of times (Kynkäänniemi et al. 2024).
        """
        guidance = self.guidance if guidance is None else guidance
        code = self._code(condition)
        y = noise.reshape(-1, *self.map_shape)
        velocities: list[Tensor] = []
        for step in self.solver:
            is_guided = guidance < 1 or (guidance > 1 and self.guided[0] <= step.time <= self.guided[1])
            velocity = self._guided_velocity(y, step.time, code, condition, guidance if is_guided else 1.0)
            velocities = [velocity, *velocities][: len(step.weights)]
            y = y + sum(weight * each for weight, each in zip(step.weights, velocities, strict=True))
        return (y * self.scale + self.shift).reshape(noise.shape)

    # ---- the network -----------------------------------------------------------------------------------------

    def _guided_velocity(
        self, y: Float[Tensor, "b c h w"], time: float, code: Tensor, condition: Condition, guidance: float
    ) -> Float[Tensor, "b c h w"]:
        """Predict the velocity at `y`, with guidance from one call of the network or from two."""
        t = torch.full((y.shape[0],), time, device=y.device)
        if guidance == 1 or self.code is None or self.guide is not None:
            return self._velocity(y, t, code, guidance)
        return self._velocity_of_two(y, t, code, condition, guidance)

    def _velocity_of_two(
        self, y: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], code: Tensor, condition: Condition, guidance: _Scale
    ) -> Float[Tensor, "b c h w"]:
        """Predict the velocity at `y`, guided away from that without a condition."""
        dropped = self._code(condition, torch.zeros(y.shape[0], dtype=torch.bool, device=y.device))
        # one large batch is faster than two small ones
        both = self._velocity(torch.cat([y, y]), torch.cat([t, t]), torch.cat([code, dropped]))
        conditional, unconditional = both.unflatten(0, (2, -1)).unbind()
        if isinstance(guidance, Tensor):
            guidance = guidance.view(-1, 1, 1, 1)
        return unconditional + guidance * (conditional - unconditional)

    def _velocity(
        self, y: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], code: Tensor, guidance: _Scale = 1.0
    ) -> Tensor:
        """Predict the velocity at `y`; only a network that has the guidance scale as an input is guided."""
        if self.guide is not None:
            code = code + self.guide(_embed_guidance(guidance, like=code))
        code = F.silu(self.time(_embed_time(t)) + code)
        x = self.read(y) + self.place
        for number, block in enumerate(self.blocks):
            x = block(x, code)
            if self.attentions and number % 2:
                x = self.attentions[number // 2](x)
        return self.write(x).float()

    def _error(self, y: Tensor, noise: Tensor, t: Float[Tensor, " b"], code: Tensor) -> Float[Tensor, " b"]:
        """Return the squared error of the velocity at time `t` of each latent, summed over its numbers."""
        return (self._velocity(_interpolate(y, noise, t), t, code) - (noise - y)).square().flatten(1).sum(1)

    def _code(self, condition: Condition, kept: Tensor | None = None) -> Float[Tensor, "b w"]:
        """Embed the conditions for the blocks; those that are not `kept` have the code of a dropped condition."""
        if self.code is None or self.nothing is None:
            return self.place.new_zeros(condition.shape[0], 1)
        code = self.code(condition)
        return code if kept is None else torch.where(kept[:, None], code, self.nothing)

    def _standardised(self, z: Latents) -> Float[Tensor, "b c h w"]:
        return (z.reshape(-1, *self.map_shape) - self.shift) / self.scale


def _keys(z: Latents) -> list[int]:
    """Return a hash of each latent's values. The values are rounded first, so that rounding errors rarely change it."""
    rows = (z.detach().float() * 100).round().add(0.0).cpu().numpy()  # + 0 turns -0 into 0
    return [int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:8]) for row in rows]


def _interpolate(y: Tensor, noise: Tensor, t: Float[Tensor, " b"]) -> Tensor:
    """Return y_t, between the latent at t = 0 and the noise at t = 1."""
    t = t.view(-1, 1, 1, 1)
    return (1 - t) * y + t * noise


def _draw_noise(y: Tensor, random: BatchRandom) -> tuple[Tensor, Float[Tensor, " b"]]:
    """Draw the noise and the time of each latent for a training step."""
    noise = random.normal(*y.shape, device=y.device)
    # a logit-normal time: times near 1/2, which are the hardest, are more likely (Esser et al. 2024)
    return noise, random.normal(len(y), device=y.device).sigmoid()


def _embed_guidance(guidance: _Scale, *, like: Tensor) -> Float[Tensor, "_ 1"]:
    """Return the guidance scale as the network sees it, from -1/4 for 0 to 1 for 5, the largest that it learns."""
    # filled in on the device: a copy to a GPU would wait for what it still computes
    scale = guidance if isinstance(guidance, Tensor) else like.new_full((1,), guidance)
    return (scale.clamp(max=_MOST_GUIDANCE)[:, None] - 1) / 4


def _embed_time(t: Float[Tensor, " b"]) -> Float[Tensor, "b embedding"]:
    """Embed times in [0, 1] as sines and cosines of many frequencies (Vaswani et al. 2017)."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), _FREQUENCIES, device=t.device))
    angles = t[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
