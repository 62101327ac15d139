"""The training loop, whole."""

import math
import shlex

import torch
from torch import nn

from cvae_cli.config.recipe import Recipe, TrainingSettings
from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import InterruptedRunError, UsageError
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.events import Callback
from cvae_cli.models.cvae import CVAE, Bound
from cvae_cli.runtime.device import DTYPES
from cvae_cli.runtime.distributed import get_world
from cvae_cli.runtime.interrupt import deferred_interrupt
from cvae_cli.runtime.randomness import BatchRandom
from cvae_cli.text.condition import condition_config
from cvae_cli.training.build import build_model, build_objective, compiled, shared, start_from, statistics
from cvae_cli.training.card import model_card
from cvae_cli.training.checkpoint import Position, load_state, save_state
from cvae_cli.training.ema import EMA
from cvae_cli.training.events import Clock, EpochEnd
from cvae_cli.training.overview import overview
from cvae_cli.training.run import Run
from cvae_cli.training.schedule import learning_rate, rate_weight
from cvae_cli.training.tally import Tally

_ASK_EVERY = 8  # steps after which several processes agree on whether they were interrupted


def fit(
    run: Run,
    recipe: Recipe,
    train: Dataset,
    valid: Dataset,
    *,
    device: torch.device,
    resume: bool,
    callback: Callback,
) -> Position:
    """Train a recipe to its end, saving into the run as it goes.

    A run that was stopped, however, goes on from its last saved state to the very weights that it would have had.

    Raises:
        UsageError: the recipe does not go on with what the run has done.
        DivergedError: the loss is no number any more, or beyond all bounds; the last good state stays.
        InterruptedRunError: Ctrl-C; everything is saved.
    """
    settings, world = recipe.training, get_world()
    model = build_model(recipe, train.name, train.image_shape, condition_config(train)).to(device)
    if world.size > 1 and device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    objective = build_objective(recipe, model)
    objective.random = BatchRandom(world.rank, world.size)
    optimizer = torch.optim.AdamW(
        objective.parameters(),
        lr=settings.learning_rate,
        betas=(0.9, settings.adam_beta2),
        weight_decay=settings.weight_decay,
        fused=device.type != "mps",
    )
    valid_batches = Batches(valid, batch_size=settings.batch_size, device=device)
    ema = EMA(model, settings.ema_decay)
    position = Position()
    # a state is written before anything else: where there is neither it nor a model, nothing was done yet
    goes_on = world.broadcast(resume and (run.state_file.exists() or run.last_model.exists()))
    if goes_on:
        position = load_state(run.state_file, model, optimizer, ema, objective.load_state)
        _check_goes_on(position, run.recipe(), recipe)
    elif recipe.start is not None:
        start_from(model, recipe.start)
    batches = objective.batches(
        train,
        batch_size=settings.batch_size,
        device=device,
        seed=settings.seed,
        flip=recipe.data.flip,
        passes=passes(recipe, train),
        world=world,
    )
    if not goes_on:
        objective.prepare(batches)
        ema = EMA(model, settings.ema_decay)
    steps = settings.epochs * len(batches)
    dtype = DTYPES[settings.precision]
    clock = Clock(position, images_per_step=batches.batch_size, steps=steps)
    tally = Tally(run, objective, position, batch_size=batches.batch_size, device=device, world=world)
    losses_of = shared(objective, device) if world.size > 1 else objective.losses
    if settings.compile:
        losses_of = compiled(losses_of, device)

    def save_all() -> None:
        position.seconds = clock.seconds()
        if world.is_first:
            if resume:
                run.write_recipe(recipe)  # not earlier: settings that a run does not survive are not kept
            save_state(run.state_file, position, model, optimizer, ema, objective.state())

    with deferred_interrupt() as interrupted:
        if not run.state_file.exists():
            save_all()
        while position.epoch < settings.epochs:
            objective.train_mode()
            tally.begin()
            for images, condition in batches.epoch(position.epoch, start=position.batch):
                torch.manual_seed(settings.seed * 1_000_003 + position.step + 1)  # a step's noise needs no memory
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    losses = losses_of(images, condition)  # (b, losses)
                total = objective.total(losses, rate_weight(settings, position.step, len(batches))).mean()
                optimizer.zero_grad(set_to_none=True)
                total.backward()
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(settings, position.step, steps)
                if _is_sane(model, settings):
                    optimizer.step()
                    world.all_reduce_mean_(statistics(model))
                    ema.update(position.step)
                else:
                    position.skipped += 1

                position.step += 1
                position.batch += 1
                tally.add(losses, total)
                if clock.event_is_due():
                    callback(clock.progress(position, settings.epochs, len(batches), tally.seen()))
                if (world.size == 1 or position.step % _ASK_EVERY == 0) and any(world.all_gather(interrupted())):
                    position.sums = tally.sums()
                    tally.means(position.sums)
                    tally.check(objective.now(images, condition))  # the step just taken may have been one too far
                    save_all()
                    raise _stopped(run, position)

            means = tally.means(tally.sums())
            with ema.applied():
                on_valid = evaluate_bound(model, valid_batches)
                tally.check(on_valid.negative_elbo.mean().item())
                result = _end_epoch(position, settings.epochs, means, on_valid, clock.seconds())
                if world.is_first:
                    card = model_card(recipe, model, train, position)
                    is_kept = result.is_best or settings.keep == "last"
                    for folder in [run.last_model, *([run.kept_model] if is_kept else [])]:
                        model.save_pretrained(folder, card=card)
                    overview(model, valid, run.samples_file(position.epoch))
                    run.write_metrics(position.history)
            save_all()  # last, so that what a crash leaves undone is done again
            callback(result)
            if any(world.all_gather(interrupted())):
                raise _stopped(run, position)
    return position


def passes(recipe: Recipe, train: Dataset) -> int:
    """How often an epoch of a recipe goes through a data set."""
    return math.ceil(recipe.data.epoch_size / len(train))


def _is_sane(model: CVAE, settings: TrainingSettings) -> bool:
    """Clip the gradient, and say whether a step should be taken with it."""
    if not (settings.gradient_clip or settings.skip_above):
        return True
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip or math.inf)
    # only asked for where it matters: a GPU has to be waited for. NaN is beyond nothing, and shows in the loss.
    return not settings.skip_above or not norm.item() > settings.skip_above


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
        hint=f"go on with:  cvae train --resume {shlex.quote(str(run.folder))}",
    )


def _end_epoch(
    position: Position,
    epochs: int,
    losses: dict[str, float],
    on_valid: Bound,
    seconds: float,
) -> EpochEnd:
    """Move the position to the next epoch and note what this one gave."""
    position.epoch += 1
    position.batch = 0
    position.sums = []
    valid_rate, valid_distortion = on_valid.rate.mean().item(), on_valid.distortion.mean().item()
    valid = valid_rate + valid_distortion
    is_best = position.best is None or valid < position.best
    if is_best:
        position.best = valid
    position.history.append(
        {
            "epoch": position.epoch,
            "step": position.step,
            "train": losses,
            "skipped": position.skipped,
            "valid": {"negative_elbo": valid, "rate": valid_rate, "distortion": valid_distortion},
            "seconds": round(seconds, 2),
        }
    )
    return EpochEnd(
        epoch=position.epoch,
        epochs=epochs,
        losses=losses,
        valid_rate=valid_rate,
        valid_distortion=valid_distortion,
        seconds=seconds,
        is_best=is_best,
    )
