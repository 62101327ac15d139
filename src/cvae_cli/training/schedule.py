"""The schedules of a training, as functions of the step."""

import math

from cvae_cli.config.recipe import TrainingSettings

_RISE = 0.1  # the fraction of a one-cycle schedule in which the learning rate rises
_FINAL = 1e-3  # the learning rate at its end, as a fraction of the peak


def learning_rate(settings: TrainingSettings, step: int, total_steps: int) -> float:
    """Return the learning rate of a step.

    It is constant, or follows one cycle: a linear rise to the peak, then half a cosine down (Smith & Topin 2019).
    """
    if settings.schedule == "constant":
        return settings.learning_rate
    rise = max(1, int(_RISE * total_steps))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    progress = (step - rise) / (total_steps - rise)
    return settings.learning_rate * (_FINAL + (1 - _FINAL) * 0.5 * (1 + math.cos(math.pi * progress)))


def rate_weight(settings: TrainingSettings, step: int, steps_per_epoch: int) -> float:
    """Return the weight of the rate (the KL divergence) in the loss: it rises linearly to `beta` over the warm-up."""
    warmup = settings.beta_warmup_epochs * steps_per_epoch
    return settings.beta * min(1.0, (step + 1) / warmup) if warmup else settings.beta
