"""What changes over a training, as functions of the step alone."""

import math

from cvae_cli.config.recipe import TrainingSettings

_RISE = 0.1  # the part of a one-cycle schedule in which the learning rate grows
_FLOOR = 1e-3  # where it ends, as a part of its peak


def learning_rate(settings: TrainingSettings, step: int, total: int) -> float:
    """Constant, or one cycle: a linear rise to the peak, then half a cosine down (Smith & Topin 2019)."""
    if settings.schedule == "constant":
        return settings.learning_rate
    rise = max(1, int(_RISE * total))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    progress = (step - rise) / max(1, total - rise)
    return settings.learning_rate * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)))


def rate_weight(settings: TrainingSettings, step: int, steps_per_epoch: int) -> float:
    """The weight of the rate in the loss: grows linearly to `beta` over the warm-up."""
    warmup = settings.beta_warmup_epochs * steps_per_epoch
    return settings.beta * min(1.0, (step + 1) / warmup) if warmup else settings.beta
