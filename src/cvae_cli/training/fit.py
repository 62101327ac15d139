"""The training loop, whole."""

import math

import torch
from torch import Tensor

from cvae_cli.config import Condition, ImageShape, ModelConfig
from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.device import DTYPES
from cvae_cli.errors import DivergedError, InterruptedRunError, UsageError
from cvae_cli.evaluation.bound import bound_on
from cvae_cli.models.cvae import CVAE, Bound
from cvae_cli.models.pretrained import save
from cvae_cli.recipes import Recipe, TrainingSettings
from cvae_cli.text.condition import settings_of
from cvae_cli.training.card import model_card
from cvae_cli.training.checkpoint import Position, load_state, save_state
from cvae_cli.training.ema import EMA
from cvae_cli.training.hybrid import Hybrid
from cvae_cli.training.interrupt import deferred_interrupt
from cvae_cli.training.objective import Objective, PriorAlone, WholeModel
from cvae_cli.training.overview import overview
from cvae_cli.training.progress import Clock, EpochResult, Listener
from cvae_cli.training.run import Run
from cvae_cli.training.schedule import learning_rate, rate_weight


def build_model(recipe: Recipe, dataset: str, image: ImageShape, condition: Condition) -> CVAE:
    """The untrained model of a recipe for pictures of a data set, its random weights decided by the recipe's seed.

    Raises:
        UsageError: the parts of the recipe do not fit each other, or the pictures.
    """
    torch.manual_seed(recipe.training.seed)
    return CVAE(
        ModelConfig(
            name=recipe.name,
            dataset=dataset,
            image=image,
            condition=condition,
            architecture=recipe.architecture,
            hybrid=recipe.is_hybrid,
        )
    )


def build_objective(recipe: Recipe, model: CVAE) -> Objective:
    """What a recipe minimises.

    Raises:
        UsageError: it is nothing that the model has.
    """
    if recipe.start is not None:
        if recipe.training.is_hybrid:
            raise UsageError("a prior alone draws no pictures that a discriminator could judge")
        return PriorAlone(model)
    return Hybrid(model, recipe.training) if recipe.training.is_hybrid else WholeModel(model, recipe.training.free_bits)


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
    model = build_model(recipe, train.name, train.image_shape, settings_of(train)).to(device)
    objective = build_objective(recipe, model)
    optimizer = torch.optim.AdamW(
        objective.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=device.type != "mps",
    )
    valid_batches = Batches(valid, batch_size=settings.batch_size, device=device)
    ema = EMA(model, settings.ema_decay)
    position = Position()
    # a state is written before anything else: where there is neither it nor a model, nothing was done yet
    goes_on = resume and (run.state_file.exists() or run.last_model.exists())
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
    )
    if not goes_on:
        objective.prepare(batches)
        ema = EMA(model, settings.ema_decay)
    if resume:
        run.write_recipe(recipe)
    steps = settings.epochs * len(batches)
    dtype = DTYPES[settings.precision]
    exact = torch.float32 if device.type == "mps" else torch.float64
    clock = Clock(position, images_per_step=batches.batch_size, steps=steps)

    def save_all() -> None:
        position.seconds = clock.seconds()
        save_state(run.state_file, position, model, optimizer, ema, objective.state())

    with deferred_interrupt() as interrupted:
        if not run.state_file.exists():
            save_all()
        while position.epoch < settings.epochs:
            objective.train_mode()
            sums = torch.tensor(position.sums or [0.0] * len(objective.names), dtype=exact).to(device)
            for images, condition in batches.epoch(position.epoch, start=position.batch):
                torch.manual_seed(settings.seed * 1_000_003 + position.step + 1)  # a step's noise needs no memory
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    losses = objective.losses(images, condition)  # (b, losses)
                beta = rate_weight(settings, position.step, len(batches))
                optimizer.zero_grad(set_to_none=True)
                objective.total(losses, beta).mean().backward()
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(settings, position.step, steps)
                if _is_sane(model, settings):
                    optimizer.step()
                    ema.update(position.step)
                else:
                    position.skipped += 1

                position.step += 1
                position.batch += 1
                sums += losses.detach().sum(0).to(exact)
                if interrupted() or clock.report_is_due():
                    means = _means(run, objective, sums, position, batches)
                    listener.progress(clock.progress(position, settings.epochs, len(batches), means))
                if interrupted():
                    position.sums = sums.tolist()
                    save_all()
                    raise _stopped(run, position)

            means = _means(run, objective, sums, position, batches)
            with ema.applied():
                on_valid = bound_on(model, valid_batches)
                _check_finite(run, on_valid.negative_elbo.mean().item(), position)
                result = _end_epoch(position, settings.epochs, means, on_valid, clock.seconds())
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


def start_from(model: CVAE, start: str) -> None:
    """Give a model the network and the likelihood of a finished one.

    Raises:
        UsageError: the finished one is built otherwise.
    """
    finished = CVAE.from_pretrained(start)
    ours, theirs = model.config, finished.config
    architecture = theirs.architecture.model_copy(update={"prior": ours.architecture.prior})
    if (theirs.image, theirs.condition, architecture) != (ours.image, ours.condition, ours.architecture):
        raise UsageError(
            f"{start} is built otherwise than the recipe says",
            hint="its pictures, classes or text encoder are others, or its network is",
        )
    model.network.load_state_dict(finished.network.state_dict())
    model.likelihood.load_state_dict(finished.likelihood.state_dict())


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


def _means(run: Run, objective: Objective, sums: Tensor, position: Position, batches: Batches) -> dict[str, float]:
    """Each loss an image, over the epoch so far."""
    means = (sums / (position.batch * batches.batch_size)).tolist()
    _check_finite(run, sum(means), position)
    return dict(zip(objective.names, means, strict=True))


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
    losses: dict[str, float],
    on_valid: Bound,
    seconds: float,
) -> EpochResult:
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
    return EpochResult(
        epoch=position.epoch,
        epochs=epochs,
        losses=losses,
        valid_rate=valid_rate,
        valid_distortion=valid_distortion,
        seconds=seconds,
        is_best=is_best,
    )
