"""A prior that carries noise to latents along learned velocities, fitted to the posterior of a finished model."""

import hashlib
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.config import model as config
from cvae_cli.models.condition import Condition, embedding
from cvae_cli.models.network import Latents
from cvae_cli.models.prior import Prior
from cvae_cli.models.residual import Block
from cvae_cli.runtime import randomness
from cvae_cli.runtime.randomness import BatchRandom

_TIMES = 64  # waves that tell the network the time
_DROPPED = 0.1  # of the conditions in training: what is learned without one gives guidance (Ho & Salimans 2022)
_EARLIEST = 0.01  # time at which the bound takes a latent as good as bare
_STRATA = 8  # times at which the bound is looked at
_ALONE = BatchRandom()


class FlowMatching(Prior):
    """y_t = (1 - t) y + t noise, and a network that knows the velocity noise - y at every y_t (Lipman et al. 2023).

    Latents are brought to mean 0 and variance 1 first, a channel at a time. A vector is a map of one position.

    Args:
        condition: absent for p(z).
    """

    has_density = False
    shift: Tensor
    scale: Tensor

    def __init__(
        self, settings: config.ScorePrior, *, latent_shape: tuple[int, ...], condition: config.Condition | None
    ) -> None:
        super().__init__()
        self.steps, self.guidance, self.guided = settings.steps, settings.guidance, settings.guided
        channels, *sides = latent_shape
        self.map_shape = (channels, *(sides or [1, 1]))
        kernel = 3 if sides else 1
        width, code_width = settings.width, settings.condition_width
        self.register_buffer("shift", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.time = nn.Sequential(nn.Linear(2 * _TIMES, code_width), nn.SiLU(), nn.Linear(code_width, code_width))
        self.code = embedding(condition, code_width) if condition else None
        self.nothing = nn.Parameter(torch.zeros(code_width)) if condition else None  # the code of no condition
        self.read = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
        self.place = nn.Parameter(torch.zeros(width, *self.map_shape[1:]))  # what is particular to each position
        self.blocks = nn.ModuleList(Block(width, code_width, kernel=kernel) for _ in range(settings.blocks))
        self.write = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 1))
        for parameter in self.write[2].parameters():
            nn.init.zeros_(parameter)

    # ---- training --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def calibrate(self, z: Latents) -> None:
        """Learn from many latents what their mean and variance are."""
        y = z.reshape(-1, *self.map_shape)
        self.shift.copy_(y.mean((0, 2, 3))[:, None, None])
        self.scale.copy_(y.std((0, 2, 3), unbiased=False).clamp_min(1e-4)[:, None, None])

    def loss(self, z: Latents, condition: Condition, draw: BatchRandom = _ALONE) -> Float[Tensor, " b"]:
        """Squared error of the velocity, a mean over the latent's numbers, at one random time for each latent."""
        y = self._standardised(z)
        noise = draw.normal(*y.shape, device=y.device)
        # the middle times, where there is most to decide, more often (Esser et al. 2024)
        t = draw.normal(len(y), device=y.device).sigmoid()
        kept = draw.uniform(len(y), device=y.device) >= _DROPPED
        return self._error(y, noise, t, self._code(condition, kept)) / y[0].numel()

    def check_guidance(self, guidance: float | None) -> None:
        """Any guidance will do."""

    # ---- density and samples ---------------------------------------------------------------------------------

    def log_prob(self, z: Latents, condition: Condition) -> Float[Tensor, " b"]:
        """A lower bound on log p(z | c), in nats: the variational bound of the diffusion that has these velocities.

        Kingma et al. 2021, "Variational Diffusion Models", eq. 11 to 17, for alpha = 1 - t and sigma = t. Its integral
        is estimated at stratified times, with noise that is a function of the latent: whatever is beside it in the
        batch, its bound is the same.
        """
        y = self._standardised(z)
        code = self._code(condition)
        size = y[0].numel()
        random = randomness.noise(0, _keys(z), (_STRATA + 1, size + 1)).to(z.device)
        noise, places = random[..., :size].unflatten(2, self.map_shape), torch.special.ndtr(random[..., size])
        total = z.new_zeros(len(z))
        for stratum in range(_STRATA):
            t = _EARLIEST ** ((stratum + places[:, stratum]) / _STRATA)  # even in log t
            total = total + (1 - t) * self._error(y, noise[:, stratum], t, code)
        integral = -math.log(_EARLIEST) * total / _STRATA
        t = torch.full((len(y),), _EARLIEST, device=y.device)
        deviation = _EARLIEST / (1 - _EARLIEST)
        last = 0.5 * (1 - _EARLIEST) ** 2 * self._error(y, noise[:, _STRATA], t, code)
        last = last + size * (math.log(deviation) + 0.5 * math.log(2 * math.pi))
        volume = self.scale.log().sum() * (size // len(self.scale))
        return -(integral + last + volume)

    def from_noise(self, noise: Latents, condition: Condition, *, guidance: float | None = None) -> Latents:
        """Follow the velocities from t = 1 to 0, two-step Adams-Bashforth.

        Guidance is that of Ho & Salimans 2022, between the times that Kynkäänniemi et al. 2024 call an interval.
        """
        guidance = self.guidance if guidance is None else guidance
        code = self._code(condition)
        bare = self._code(condition, torch.zeros(len(noise), dtype=torch.bool, device=noise.device))
        y = noise.reshape(-1, *self.map_shape)
        before: Tensor | None = None
        for step in range(self.steps):
            time = 1 - step / self.steps
            t = torch.full((len(y),), time, device=y.device)
            velocity = self._velocity(y, t, code)
            is_guided = guidance < 1 or (guidance > 1 and self.guided[0] <= time <= self.guided[1])
            if is_guided and self.code is not None:
                without = self._velocity(y, t, bare)
                velocity = without + guidance * (velocity - without)
            slope = velocity if before is None else 1.5 * velocity - 0.5 * before
            y = y - slope / self.steps
            before = velocity
        return (y * self.scale + self.shift).reshape(noise.shape)

    # ---- the network -----------------------------------------------------------------------------------------

    def _velocity(self, y: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], code: Tensor) -> Tensor:
        code = F.silu(self.time(_waves(t)) + code)
        x = self.read(y) + self.place
        for block in self.blocks:
            x = block(x, code)
        return self.write(x).float()

    def _error(self, y: Tensor, noise: Tensor, t: Float[Tensor, " b"], code: Tensor) -> Float[Tensor, " b"]:
        """Squared error of the velocity, summed, at time `t` of each latent."""
        return (self._velocity(_between(y, noise, t), t, code) - (noise - y)).square().flatten(1).sum(1)

    def _code(self, condition: Condition, kept: Tensor | None = None) -> Float[Tensor, "b w"]:
        """What the blocks see of the condition, where it is kept."""
        if self.code is None or self.nothing is None:
            return self.place.new_zeros(len(condition), 1)
        code = self.code(condition)
        return code if kept is None else torch.where(kept[:, None], code, self.nothing)

    def _standardised(self, z: Latents) -> Float[Tensor, "b c h w"]:
        return (z.reshape(-1, *self.map_shape) - self.shift) / self.scale


def _keys(z: Latents) -> list[int]:
    """A number for each latent, which its values decide; what rounding did to them hardly ever matters."""
    rows = (z.detach().float() * 100).round().add(0.0).cpu().numpy()  # + 0 makes -0 the 0 that it is
    return [int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:8]) for row in rows]


def _between(y: Tensor, noise: Tensor, t: Float[Tensor, " b"]) -> Tensor:
    t = t.view(-1, 1, 1, 1)
    return (1 - t) * y + t * noise


def _waves(t: Float[Tensor, " b"]) -> Float[Tensor, "b waves"]:
    """Times in [0, 1] as sines and cosines of many frequencies (Vaswani et al. 2017)."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), _TIMES, device=t.device))
    angles = t[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
