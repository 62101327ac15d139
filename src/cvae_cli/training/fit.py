"""The training loop, whole."""

import math
import time
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cvae_cli.config import ModelConfig
from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.device import DTYPES, pick_precision
from cvae_cli.errors import DivergedError, InterruptedRunError, UsageError
from cvae_cli.evaluation.bound import bound_on
from cvae_cli.models.cvae import CVAE, Bound
from cvae_cli.models.pretrained import save
from cvae_cli.recipes import Recipe
from cvae_cli.text.condition import settings_of
from cvae_cli.training.card import model_card
from cvae_cli.training.checkpoint import Position, load_state, save_state
from cvae_cli.training.ema import EMA
from cvae_cli.training.interrupt import deferred_interrupt
from cvae_cli.training.overview import overview
from cvae_cli.training.run import Run
from cvae_cli.training.schedule import learning_rate, rate_weight

_REPORT_EVERY = 0.2  # seconds


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A moment inside an epoch. Rate and distortion are means over the epoch so far, in nats an image."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    rate: float
    distortion: float
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """An epoch's end; the validation bound is that of the averaged weights where there is an average."""

    epoch: int
    epochs: int
    rate: float
    distortion: float
    valid_rate: float
    valid_distortion: float
    seconds: float
    is_best: bool

    @property
    def valid(self) -> float:
        return self.valid_rate + self.valid_distortion


class Listener(Protocol):
    """Told how training goes."""

    def progress(self, progress: Progress) -> None: ...

    def epoch_done(self, result: EpochResult) -> None: ...


def build_model(recipe: Recipe, dataset: Dataset) -> CVAE:
    """The untrained model of a recipe for a data set, its random weights decided by the recipe's seed."""
    torch.manual_seed(recipe.training.seed)
    return CVAE(
        ModelConfig(
            name=recipe.name,
            dataset=dataset.name,
            image=dataset.image_shape,
            condition=settings_of(dataset),
            architecture=recipe.architecture,
        )
    )


def fit(
    run: Run,
    recipe: Recipe,
    train: Dataset,
    valid: Dataset,
    *,
    device: torch.device,
    resume: bool,
    listener: Listener,
) -> Position:
    """Train a recipe to its end, saving into the run as it goes.

    A run that was stopped, however, goes on from its last saved state to the very weights that it would have had.

    Raises:
        UsageError: the recipe does not go on with what the run has done.
        DivergedError: the loss is no longer finite; the last good state stays.
        InterruptedRunError: Ctrl-C; everything is saved.
    """
    settings = recipe.training
    model = build_model(recipe, train).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=device.type != "mps",
    )
    ema = EMA(model, settings.ema_decay)
    position = Position()
    if resume:
        # a state is written before anything else: where there is neither it nor a model, nothing was done yet
        if run.state_file.exists() or run.last_model.exists():
            position = load_state(run.state_file, model, optimizer, ema)
            _check_goes_on(position, run.recipe(), recipe)
        run.write_recipe(recipe)
    batches = Batches(train, batch_size=settings.batch_size, device=device, seed=settings.seed, flip=recipe.data.flip)
    valid_batches = Batches(valid, batch_size=settings.batch_size, device=device)
    steps = settings.epochs * len(batches)
    dtype = DTYPES[pick_precision(settings.precision, device)]
    exact = torch.float32 if device.type == "mps" else torch.float64
    clock = _Clock(position, images_per_step=batches.batch_size, steps=steps)

    def save_all() -> None:
        position.seconds = clock.seconds()
        save_state(run.state_file, position, model, optimizer, ema)

    with deferred_interrupt() as interrupted:
        if not run.state_file.exists():
            save_all()
        while position.epoch < settings.epochs:
            model.train()
            sums = torch.tensor(position.sums, dtype=exact).to(device)  # rate, distortion
            for images, condition in batches.epoch(position.epoch, start=position.batch):
                torch.manual_seed(settings.seed * 1_000_003 + position.step + 1)  # a step's noise needs no memory
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    bound = model.elbo(images, condition)
                beta = rate_weight(settings, position.step, len(batches))
                loss = (beta * bound.rate + bound.distortion).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if settings.gradient_clip:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(settings, position.step, steps)
                optimizer.step()
                ema.update(position.step)

                position.step += 1
                position.batch += 1
                sums += torch.stack([bound.rate.detach().sum(), bound.distortion.detach().sum()]).to(exact)
                if interrupted() or clock.report_is_due():
                    rate, distortion = _means(run, sums, position, batches)
                    listener.progress(clock.progress(position, settings.epochs, len(batches), rate, distortion))
                if interrupted():
                    position.sums = sums.tolist()
                    save_all()
                    raise _stopped(run, position)

            rate, distortion = _means(run, sums, position, batches)
            with ema.applied():
                on_valid = bound_on(model, valid_batches)
                _check_finite(run, on_valid.negative_elbo.mean().item(), position)
                result = _end_epoch(position, settings.epochs, rate, distortion, on_valid, clock.seconds())
                card = model_card(recipe, model, train, position)
                for folder in [run.last_model, *([run.best_model] if result.is_best else [])]:
                    save(model, folder, card=card)
                overview(model, valid, run.samples_file(position.epoch))
            run.write_metrics(position.history)
            save_all()  # last, so that what a crash leaves undone is done again
            listener.epoch_done(result)
            if interrupted():
                raise _stopped(run, position)
    return position


def _check_goes_on(position: Position, before: Recipe, now: Recipe) -> None:
    epochs = now.training.epochs
    if epochs < position.epoch:
        raise UsageError(f"the run has done {position.epoch} epochs already, more than {epochs}")
    if now.training.schedule == "one-cycle" and epochs != before.training.epochs:
        raise UsageError(
            "a one-cycle schedule is planned over all of its epochs: more of them are another run",
            hint=f"start one with --epochs {epochs} and another --out",
        )


def _stopped(run: Run, position: Position) -> InterruptedRunError:
    return InterruptedRunError(
        f"stopped after step {position.step:,}; nothing is lost",
        hint=f"go on with:  cvae train --resume {run.folder}",
    )


def _means(run: Run, sums: Tensor, position: Position, batches: Batches) -> tuple[float, float]:
    """Rate and distortion an image over the epoch so far."""
    rate, distortion = (sums / (position.batch * batches.batch_size)).tolist()
    _check_finite(run, rate + distortion, position)
    return rate, distortion


def _check_finite(run: Run, loss: float, position: Position) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the loss is no longer a finite number (epoch {position.epoch + 1}, step {position.step:,})",
            hint="the last good state is kept; go on from it more carefully, for example:\n"
            f"cvae train --resume {run.folder} --lr {run.recipe().training.learning_rate / 10:g} "
            "--set training.gradient_clip=100",
        )


def _end_epoch(
    position: Position,
    epochs: int,
    rate: float,
    distortion: float,
    on_valid: Bound,
    seconds: float,
) -> EpochResult:
    """Move the position to the next epoch and note what this one gave."""
    position.epoch += 1
    position.batch = 0
    position.sums = [0.0, 0.0]
    valid_rate, valid_distortion = on_valid.rate.mean().item(), on_valid.distortion.mean().item()
    valid = valid_rate + valid_distortion
    is_best = position.best is None or valid < position.best
    if is_best:
        position.best = valid
    position.history.append(
        {
            "epoch": position.epoch,
            "step": position.step,
            "train": {"negative_elbo": rate + distortion, "rate": rate, "distortion": distortion},
            "valid": {"negative_elbo": valid, "rate": valid_rate, "distortion": valid_distortion},
            "seconds": round(seconds, 2),
        }
    )
    return EpochResult(
        epoch=position.epoch,
        epochs=epochs,
        rate=rate,
        distortion=distortion,
        valid_rate=valid_rate,
        valid_distortion=valid_distortion,
        seconds=seconds,
        is_best=is_best,
    )


class _Clock:
    """Elapsed time, speed, and when the next report is due."""

    def __init__(self, position: Position, *, images_per_step: int, steps: int) -> None:
        self._started = time.perf_counter()
        self._earlier = position.seconds
        self._first_step = position.step
        self._images_per_step = images_per_step
        self._steps = steps
        self._reported = self._started

    def seconds(self) -> float:
        return self._earlier + time.perf_counter() - self._started

    def report_is_due(self) -> bool:
        return time.perf_counter() - self._reported >= _REPORT_EVERY

    def progress(self, position: Position, epochs: int, batches: int, rate: float, distortion: float) -> Progress:
        self._reported = time.perf_counter()
        speed = (position.step - self._first_step) / (self._reported - self._started)  # steps a second
        return Progress(
            epoch=position.epoch + 1,
            epochs=epochs,
            batch=position.batch,
            batches=batches,
            rate=rate,
            distortion=distortion,
            images_per_second=speed * self._images_per_step,
            seconds_left=(self._steps - position.step) / speed,
        )
