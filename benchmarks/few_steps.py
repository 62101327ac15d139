"""Teach the prior of a finished model to draw in a few large steps, on a GPU within minutes.

    python benchmarks/few_steps.py fashion runs/fashion-few --steps 3 --minutes 7.5
    python benchmarks/few_steps.py scenes runs/scenes-few --steps 4 --minutes 7.5 --captions captions.txt

`cvae train --tune steps` learns the mean velocity over steps of many lengths. This does it with more:

- Paths: for a tenth of the time the prior, in 24 small steps, leads noise to latents. What follows learns from these
  paths, again and again.
- Means: for half of the rest the network learns the mean velocity between places of a path; now and then over no time,
  which keeps the velocities themselves.
- Ends: then it takes all its steps, and learns to end where the path does, besides the means.

Progress goes by the clock, as in `train_bundled.py`. The prior must have the guidance scale as an input already, or no
condition.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from train_bundled import Average, Schedule, take_step

from cvae_cli.config import model as config
from cvae_cli.config.condition import LabelCondition
from cvae_cli.config.model import MOST_GUIDANCE
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.flow_matching import FlowMatching
from cvae_cli.models.solver import adams_bashforth

SMALL_STEPS = 24
SIZES = {1: 0.0, 2: 1.0, 3: 2.0, 4: 3.0, 6: 6.0, 8: 3.0, 12: 1.0, 24: 0.5}  # of a large step, and how often
MOMENTS = 8  # one in so many steps has no length


class Paths:
    """Where a prior leads noise, for random conditions and scales of guidance."""

    def __init__(self, prior: FlowMatching, conditions: Tensor, *, order: int, minutes: float) -> None:
        self.teacher, device = prior, prior.place.device
        plan = adams_bashforth(SMALL_STEPS, order=order, shift=prior.time_shift)
        self.times = torch.tensor([*(step.time for step in plan), 0.0], device=device)
        size = 4096 if device.type == "cuda" else 32
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end or not parts:
            condition = conditions[torch.randint(len(conditions), (size,), device=device)]
            noise = torch.randn(size, *prior.map_shape, device=device)
            kind = torch.rand(size, device=device)
            scale = 1 + (MOST_GUIDANCE - 1) * torch.rand(size, device=device)
            scale = torch.where(kind < 0.5, prior.guidance, torch.where(kind < 0.57, 1.0, scale))
            with torch.no_grad():
                places = prior._path(noise, plan, condition, scale, is_mean=False)
            parts.append((torch.stack(places, 1).half(), condition, scale))
        self.places, self.conditions, self.scales = (torch.cat(each) for each in zip(*parts, strict=True))
        print(f"{len(self.places):,} paths", flush=True)

    def mean_error(self, student: FlowMatching, size: int) -> Tensor:
        """Return the weighted error of the mean velocities over random steps of random paths."""
        device = self.places.device
        rows = torch.randint(len(self.places), (size,), device=device)
        condition, scale = self.conditions[rows], self.scales[rows]
        sizes, odds = (torch.tensor(list(each), device=device) for each in (SIZES, SIZES.values()))
        length = sizes[torch.multinomial(odds, size, replacement=True)]
        begin = length * (torch.rand(size, device=device) * (SMALL_STEPS // length)).long()
        place, end = self.places[rows, begin].float(), self.places[rows, begin + length].float()
        t, span = self.times[begin], self.times[begin] - self.times[begin + length]
        wanted = (place - end) / span.view(-1, 1, 1, 1)
        still = size // MOMENTS
        with torch.no_grad():
            wanted[:still] = self.teacher.velocity(
                place[:still],
                t[:still],
                self.teacher._code(condition[:still]),
                self.teacher._scale_at(t[:still], scale[:still]),
            )
        span[:still] = 0
        error = (student.velocity(place, t, student._code(condition), scale, span) - wanted).square()
        weight = torch.where(span > 0, 4 * span, 1.0)  # an error counts more over a larger step
        return (weight * error.flatten(1).mean(1)).mean()

    def end_error(self, student: FlowMatching, size: int, steps: int) -> Tensor:
        """Return the error of where all steps lead."""
        rows = torch.randint(len(self.places), (size,), device=self.places.device)
        plan = adams_bashforth(steps, order=1, shift=student.time_shift)
        noise = self.places[rows, 0].float()
        ends = student._path(noise, plan, self.conditions[rows], self.scales[rows], is_mean=True)[-1]
        return (ends - self.places[rows, -1].float()).square().mean()


def with_few_steps(model: CVAE, steps: int) -> CVAE:
    """Return a copy of the model whose prior has the length of a step as an input."""
    prior = model.config.architecture.prior
    assert isinstance(prior, config.ScorePrior)
    architecture = model.config.architecture.model_copy(update={"prior": prior.taught("steps", steps=steps)})
    student = CVAE(model.config.model_copy(update={"architecture": architecture}))
    student.load_state_dict(model.state_dict(), strict=False)
    return student


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--captions", type=Path, help="prompts to learn from, one a line, for a model without classes")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = CVAE.from_pretrained(options.model).to(options.device).eval()
    settings, teacher = model.config.architecture.prior, model.prior
    assert isinstance(settings, config.ScorePrior)
    assert isinstance(teacher, FlowMatching)
    if isinstance(model.config.condition, LabelCondition):
        prompts = model.config.condition.names
    else:
        prompts = options.captions.read_text().splitlines()
    conditions = model.condition(prompts)
    order, device = settings.solver_order, torch.device(options.device)
    paths = Paths(teacher, conditions.to(device), order=order, minutes=0.1 * options.minutes)
    student = with_few_steps(model, options.steps).to(device).to(memory_format=torch.channels_last)
    prior = student.prior
    assert isinstance(prior, FlowMatching)
    for rate, has_ends in ((6e-4, False), (3e-4, True)):
        size = options.batch // 2 if has_ends else options.batch
        parameters: list[nn.Parameter] = list(prior.parameters())
        optimizer = torch.optim.AdamW(parameters, weight_decay=0.0)
        average, schedule = Average(prior, 0.999), Schedule(optimizer, rate, 0.45 * options.minutes)
        while schedule.goes_on():
            with torch.autocast(device.type, torch.bfloat16):
                means = paths.mean_error(prior, size)
                ends = paths.end_error(prior, size, options.steps) if has_ends else torch.zeros_like(means)
            take_step(optimizer, ends + (0.5 if has_ends else 1) * means, parameters)
            average.update(schedule.step)
            schedule.tell(means=means, ends=ends)
        prior.load_state_dict(average.mean, strict=False)
        print(f"{schedule.step:,} steps of {size}", flush=True)
    student.save_pretrained(options.out)


if __name__ == "__main__":
    main()
