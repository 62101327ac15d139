"""A flow-matching prior, which moves noise to latents along learned velocities."""

import hashlib
import math

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.config import model as config
from cvae_cli.config.condition import ConditionSettings
from cvae_cli.config.model import MOST_GUIDANCE
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition
from cvae_cli.models.network import Latents
from cvae_cli.models.solver import Step, adams_bashforth
from cvae_cli.models.velocity import Scale, VelocityNetwork
from cvae_cli.runtime import randomness
from cvae_cli.runtime.randomness import BatchRandom

_DROP_RATE = 0.1  # of the conditions in training, for classifier-free guidance (Ho & Salimans 2022)
_MIN_TIME = 0.01  # where the integral of the bound ends: a latent there has almost no noise
_STRATA = 8  # times at which the bound is evaluated
_SMALL_STEPS = 12  # of the teacher of large steps
_MOMENTS = 8  # one in so many of these has no length
_SINGLE_PROCESS = BatchRandom()


class FlowMatching(VelocityNetwork):
    """A network that predicts the velocity noise - y from y_t = (1 - t) y + t noise (Lipman et al. 2023).

    The latent y is standardised: each channel has mean 0 and variance 1. A latent vector is a map with one position.
    """

    has_density = False

    def __init__(
        self, settings: config.ScorePrior, *, latent_shape: tuple[int, ...], condition: ConditionSettings | None
    ) -> None:
        super().__init__(settings, latent_shape=latent_shape, condition=condition)
        self.guidance, self.guided, self.time_shift = settings.guidance, settings.guided, settings.time_shift
        self.solver = adams_bashforth(settings.steps, order=settings.solver_order, shift=settings.time_shift)

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
        guidance = self._scale_at(t, MOST_GUIDANCE * random.uniform(len(y), device=y.device))
        with torch.no_grad():
            wanted = teacher._velocity_of_two(at, t, teacher._code(condition), condition, guidance)
        return (self.velocity(at, t, self._code(condition), guidance) - wanted).square().flatten(1).mean(1)

    def steps_loss(
        self, teacher: "FlowMatching", noise: Latents, condition: Condition, random: BatchRandom = _SINGLE_PROCESS
    ) -> Float[Tensor, " b"]:
        """Return the mean squared error of the mean velocity over a large step, against a teacher's small steps.

        A network that knows it goes from noise to latent in a few steps (Geng et al. 2025, "Mean Flows for One-step
        Generative Modeling"). The teacher starts from `noise` and takes small steps; a large one leads between two of
        the places where these end. Some lengths are 0: the network keeps the velocities at each moment.
        """
        y = noise.reshape(-1, *self.map_shape)
        rows = torch.arange(len(y), device=y.device)

        def draw(n: int | Tensor) -> Tensor:
            return (n * random.uniform(len(y), device=y.device)).long()

        guidance = MOST_GUIDANCE * random.uniform(len(y), device=y.device)
        guidance = torch.where(draw(2) == 0, self.guidance, guidance)
        plan = adams_bashforth(_SMALL_STEPS, order=2, shift=self.time_shift)
        times = torch.tensor([*(step.time for step in plan), 0.0], device=y.device)
        sizes = torch.tensor([n for n in range(1, _SMALL_STEPS + 1) if _SMALL_STEPS % n == 0], device=y.device)
        size = sizes[draw(len(sizes))]
        begin = size * draw(_SMALL_STEPS // size)
        t, length = times[begin], times[begin] - times[begin + size]
        is_moment = draw(_MOMENTS) == 0
        with torch.no_grad():
            path = torch.stack(teacher._path(y, plan, condition, guidance, is_mean=False))
            at, end = path[begin, rows], path[begin + size, rows]
            mean = (at - end) / length.view(-1, 1, 1, 1)
            now = teacher.velocity(at, t, teacher._code(condition), self._scale_at(t, guidance))
            wanted = torch.where(is_moment.view(-1, 1, 1, 1), now, mean)
        length = torch.where(is_moment, 0.0, length)
        error = (self.velocity(at, t, self._code(condition), guidance, length) - wanted).square().flatten(1).mean(1)
        return torch.where(is_moment, 1.0, 4 * length) * error  # an error counts more over a larger step

    def check_guidance(self, guidance: float | None) -> None:
        if guidance is None or guidance == 1:
            return
        if self.code is None:
            raise UsageError("guidance needs a condition, which this model does not have")
        if self.guide is not None and guidance > MOST_GUIDANCE:
            raise UsageError(f"this model has learned guidance from 0 to {MOST_GUIDANCE:g}, not {guidance:g}")

    # ---- density and samples ---------------------------------------------------------------------------------

    def log_prob(self, z: Latents, condition: Condition, *, noise: Latents | None = None) -> Float[Tensor, " b"]:
        """Return a lower bound on log p(z | c), in nats: the variational bound of the equivalent diffusion model.

        Kingma et al. 2021, "Variational Diffusion Models", eq. 11 to 17, for alpha = 1 - t and sigma = t. The integral
        is estimated at stratified times. The bound's own noise is a function of the latent, so that it does not depend
        on the batch: of the `noise` that the latent was computed from, where that is known, so that it does not depend
        on the device either.
        """
        y = self._standardised(z)
        code = self._code(condition)
        size = y[0].numel()
        keys = _keys(z if noise is None else noise)
        random = randomness.noise(0, keys, (_STRATA + 1, size + 1)).to(z.device)
        own, uniform = random[..., :size].unflatten(2, self.map_shape), torch.special.ndtr(random[..., size])
        total = z.new_zeros(len(z))
        for stratum in range(_STRATA):
            t = _MIN_TIME ** ((stratum + uniform[:, stratum]) / _STRATA)  # uniform in log t
            total = total + (1 - t) * self._error(y, own[:, stratum], t, code)
        integral = -math.log(_MIN_TIME) * total / _STRATA
        t = torch.full((len(y),), _MIN_TIME, device=y.device)
        deviation = _MIN_TIME / (1 - _MIN_TIME)
        last = 0.5 * (1 - _MIN_TIME) ** 2 * self._error(y, own[:, _STRATA], t, code)
        last = last + size * (math.log(deviation) + 0.5 * math.log(2 * math.pi))
        volume = self.scale.log().sum() * (size // len(self.scale))
        return -(integral + last + volume)

    def from_noise(self, noise: Latents, condition: Condition, *, guidance: float | None = None) -> Latents:
        """Integrate the velocities from t = 1 to 0.

        Guidance is classifier-free (Ho & Salimans 2022), in an interval of times (Kynkäänniemi et al. 2024). With 0
        the latents are samples of the prior without the condition, at all times.
        """
        guidance = self.guidance if guidance is None else guidance
        y = noise.reshape(-1, *self.map_shape)
        y = self._path(y, self.solver, condition, guidance, is_mean=self.step is not None)[-1]
        return (y * self.scale + self.shift).reshape(noise.shape)

    def _path(
        self, y: Tensor, plan: list[Step], condition: Condition, guidance: Scale, *, is_mean: bool
    ) -> list[Tensor]:
        """Return where the steps from `y` begin and, last, where they end.

        Args:
            is_mean: take the mean velocity over each step, which was learned with the times of the guidance.
        """
        code, path, velocities = self._code(condition), [y], list[Tensor]()
        for step in plan:
            scale, length = (guidance, step.length) if is_mean else (self._scale_at(step.time, guidance), 0.0)
            velocity = self._guided_velocity(y, step.time, code, condition, scale, length)
            velocities = [velocity, *velocities][: len(step.weights)]
            y = y + sum(weight * each for weight, each in zip(step.weights, velocities, strict=True))
            path.append(y)
        return path

    def _scale_at(self, time: Scale, guidance: Scale) -> Scale:
        """Return the guidance scale at a time: 1 outside of the guided times, unless the condition counts less."""
        is_inside = (self.guided[0] <= time) & (time <= self.guided[1])
        if isinstance(guidance, Tensor):
            return torch.where((guidance < 1) | is_inside, guidance, 1.0)
        return guidance if guidance < 1 or is_inside else 1.0

    def _error(self, y: Tensor, noise: Tensor, t: Float[Tensor, " b"], code: Tensor) -> Float[Tensor, " b"]:
        """Return the squared error of the velocity at time `t` of each latent, summed over its numbers."""
        return (self.velocity(_interpolate(y, noise, t), t, code) - (noise - y)).square().flatten(1).sum(1)

    def _standardised(self, z: Latents) -> Float[Tensor, "b c h w"]:
        return (z.reshape(-1, *self.map_shape) - self.shift) / self.scale


def _keys(rows: Latents) -> list[int]:
    """Return a hash of each row. Its values are rounded first, so that rounding errors rarely change the hash."""
    values = (rows.detach().float() * 100).round().add(0.0).cpu().numpy()  # + 0 turns -0 into 0
    return [int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:8]) for row in values]


def _interpolate(y: Tensor, noise: Tensor, t: Float[Tensor, " b"]) -> Tensor:
    """Return y_t, between the latent at t = 0 and the noise at t = 1."""
    t = t.view(-1, 1, 1, 1)
    return (1 - t) * y + t * noise


def _draw_noise(y: Tensor, random: BatchRandom) -> tuple[Tensor, Float[Tensor, " b"]]:
    """Draw the noise and the time of each latent for a training step."""
    noise = random.normal(*y.shape, device=y.device)
    # a logit-normal time: times near 1/2, which are the hardest, are more likely (Esser et al. 2024)
    return noise, random.normal(len(y), device=y.device).sigmoid()
