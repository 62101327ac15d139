"""The training loop."""

import torch
from torch import Tensor

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.dataset import Dataset
from cvae_cli.events import Callback, ignore
from cvae_cli.runtime.interrupt import deferred_interrupt
from cvae_cli.runtime.randomness import seed_generators
from cvae_cli.training.checkpoint import TrainerState
from cvae_cli.training.run import Run
from cvae_cli.training.schedule import learning_rate, rate_weight
from cvae_cli.training.trainer import Trainer


def fit(
    run: Run,
    recipe: Recipe,
    train: Dataset,
    validation: Dataset,
    *,
    device: torch.device,
    resume: bool,
    callback: Callback = ignore,
) -> TrainerState:
    """Train the model of a recipe, and save it into a run after each epoch.

    A training that was stopped, even by a crash, resumes from its last checkpoint and ends with the same weights, to
    the bit, as one that was never stopped.

    Args:
        run: the run's folder, with the recipe in it.
        train, validation: the pictures, with their conditions.
        resume: whether to load the run's checkpoint, if it has one.

    Raises:
        UsageError: the recipe does not fit what the run has already done.
        DivergedError: the loss is not finite or far too large; the last good checkpoint is kept.
        InterruptedRunError: Ctrl-C; everything is saved.
    """
    # Build the model, the objective and the optimizer, or load them from the run's checkpoint.
    trainer = Trainer(run, recipe, train, validation, device=device, resume=resume, callback=callback)
    state, batches = trainer.state, trainer.batches

    with deferred_interrupt() as interrupted:
        trainer.save_first_checkpoint()
        while state.epoch < recipe.training.epochs:
            trainer.start_epoch()
            for images, condition in batches.epoch(state.epoch, start=state.batch):
                take_step(trainer, images, condition)
                trainer.report_progress()

                # Save and stop if Ctrl-C was pressed during the step.
                if trainer.should_stop(interrupted()):
                    trainer.save_within_epoch(images, condition)
                    raise trainer.interrupted_error()

            # Validate and save the model. The checkpoint is saved last: what a crash interrupts before is done again.
            epoch_end = trainer.end_epoch()
            trainer.save_checkpoint()
            callback(epoch_end)
            if trainer.should_stop(interrupted()):
                raise trainer.interrupted_error()
    return state


def take_step(trainer: Trainer, images: Tensor, condition: Tensor) -> None:
    """Learn from one batch."""
    settings, objective, optimizer, state = trainer.settings, trainer.objective, trainer.optimizer, trainer.state

    # Set the learning rate, and the weight of the rate (the KL divergence of posterior and prior).
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, state.step, trainer.total_steps)
    beta = rate_weight(settings, state.step, len(trainer.batches))

    # Forward pass. Noise depends on the seed and the step alone, so a resumed training has the same.
    seed_generators(settings.seed * 1_000_003 + state.step + 1, trainer.device)
    with trainer.compile_errors():
        with trainer.autocast():
            losses = trainer.losses(images, condition)  # (b, losses): rate, distortion
        loss = objective.total(losses, beta).mean()  # -ELBO an image, if beta is 1

        # Backward pass.
        optimizer.zero_grad(set_to_none=True)
        loss.backward()

    # Clip the gradient and update the weights, unless the gradient is far too large.
    if trainer.clip_gradient():
        optimizer.step()
        trainer.update_averages()
    else:
        state.skipped += 1
    state.step += 1
    state.batch += 1
    trainer.epoch_losses.add(losses, loss)
