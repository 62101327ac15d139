"""What the training loop works on, and its bookkeeping: checkpoints, averages, validation and interruption."""

import contextlib
import math
import shlex
from collections.abc import Iterator

import torch
from torch import nn

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import InterruptedRunError, UsageError
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.events import Callback, Progress
from cvae_cli.models.save import write_model
from cvae_cli.models.tensors import named_tensors, tensors_bytes
from cvae_cli.runtime.device import DTYPES
from cvae_cli.runtime.distributed import get_world
from cvae_cli.runtime.randomness import BatchRandom
from cvae_cli.text.condition import condition_config
from cvae_cli.training.acceleration import LossFunction, compile_errors, compile_losses, distribute
from cvae_cli.training.build import build_model, build_objective, load_start
from cvae_cli.training.card import model_card
from cvae_cli.training.checkpoint import TrainerState, load_checkpoint, save_checkpoint
from cvae_cli.training.clock import Clock
from cvae_cli.training.data import passes_per_epoch
from cvae_cli.training.ema import EMA
from cvae_cli.training.epoch_losses import EpochLosses
from cvae_cli.training.events import EpochEnd
from cvae_cli.training.run import Run
from cvae_cli.training.sample_grid import save_sample_grid

_INTERRUPT_INTERVAL = 8  # steps between the moments at which several processes agree on whether to stop


class Trainer:
    """The model, the objective, the optimizer and the data of a training, new or loaded from a checkpoint.

    Attributes:
        model: the model.
        objective: what is minimised.
        optimizer: of the objective's parameters.
        ema: the moving average of the model's weights.
        state: how far the training is; the loop advances it.
        batches: the training batches.
        losses: the objective's losses, distributed over the processes and compiled as the recipe asks.
        epoch_losses: the losses of the current epoch.
    """

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        train: Dataset,
        validation: Dataset,
        *,
        device: torch.device,
        resume: bool,
        callback: Callback,
    ) -> None:
        settings = recipe.training
        self.run, self.recipe, self.settings, self.device, self.callback = run, recipe, settings, device, callback
        self.resume, self.world = resume, get_world()
        self.train, self.validation = train, validation

        self.model = build_model(recipe, train.name, train.image_shape, condition_config(train)).to(device)
        if self.world.size > 1 and device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.objective = build_objective(recipe, self.model)
        self.objective.random = BatchRandom(self.world.rank, self.world.size)
        self.optimizer = torch.optim.AdamW(
            self.objective.parameters(),
            lr=settings.learning_rate,
            betas=(0.9, settings.adam_beta2),
            weight_decay=settings.weight_decay,
            fused=device.type != "mps",
        )
        self.ema = EMA(self.model, settings.ema_decay)
        self.validation_batches = Batches(validation, batch_size=settings.batch_size, device=device)

        # The first thing a training saves is a checkpoint: a run without a checkpoint and a model has not started yet.
        has_started = self.world.broadcast(resume and run.has_started())
        self.state = self._load_checkpoint() if has_started else TrainerState()
        if not has_started and recipe.start:
            load_start(self.model, recipe)
        self.batches = self.make_batches()
        if not has_started:
            self.objective.calibrate(self.batches)
            self.ema.reset()

        batch_size, rate = self.batches.batch_size, settings.learning_rate
        self.total_steps = settings.epochs * len(self.batches)
        self.clock = Clock(self.state, images_per_step=batch_size, total_steps=self.total_steps)
        self.epoch_losses = EpochLosses(
            run, self.objective, self.state, learning_rate=rate, batch_size=batch_size, device=device, world=self.world
        )
        self.losses = self._make_loss_function()
        self._is_compiled = not settings.compile

    # ---- a step ------------------------------------------------------------------------------------------------

    def start_epoch(self) -> None:
        """Prepare for the first step of an epoch, or for the next one of a resumed epoch."""
        self.objective.train_mode()
        self.epoch_losses.start_epoch()

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Compute the block in the recipe's precision."""
        dtype = DTYPES[self.settings.precision]
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    @contextlib.contextmanager
    def compile_errors(self) -> Iterator[None]:
        """Explain errors in the first step of a compiled training: it is this step that compiles."""
        if self._is_compiled:
            yield
            return
        self.callback(Progress("compiling the first step", 0, None))
        with compile_errors():
            yield
        self._is_compiled = True
        self.clock.measure_speed_from(self.state.step + 1)

    def clip_gradient(self) -> bool:
        """Clip the norm of the gradient, and return whether the step should be taken."""
        max_norm, skip_above = self.settings.gradient_clip, self.settings.skip_above
        if not (max_norm or skip_above):
            return True
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm or math.inf)
        # The norm is read only if needed: reading makes a GPU wait. With NaN the step is taken, and the loss shows it.
        return not skip_above or not norm.item() > skip_above

    def update_averages(self) -> None:
        """Average the model's floating-point buffers over the processes, and update the moving average."""
        # Each process estimates statistics, such as a likelihood's variance, from its own pictures.
        self.world.all_reduce_mean_(each for each in self.model.buffers() if each.is_floating_point())
        self.ema.update(self.state.step)

    def report_progress(self) -> None:
        """Pass the callback an event, a few times a second."""
        if self.clock.is_report_due():
            means = self.epoch_losses.estimated_means()
            self.callback(self.clock.progress(self.state, self.settings.epochs, len(self.batches), means))

    # ---- the end of an epoch -----------------------------------------------------------------------------------

    def end_epoch(self) -> EpochEnd:
        """Validate the averaged model, save it, and advance the state to the next epoch.

        Raises:
            DivergedError: the training has diverged; nothing is saved.
        """
        train_losses = self.epoch_losses.means()
        with self.ema.applied():
            bound = evaluate_bound(self.model, self.validation_batches, task="validation", callback=self.callback)
            self.epoch_losses.check_bound(bound.negative_elbo.mean().item())
            self.state.seconds = self.clock.seconds()
            is_best = self.state.finish_epoch(train_losses, bound)
            if self.world.is_first:
                self._save_model(keep=is_best or self.settings.keep == "last")
        return EpochEnd(
            epoch=self.state.epoch,
            epochs=self.settings.epochs,
            losses=train_losses,
            validation_rate=bound.rate.mean().item(),
            validation_distortion=bound.distortion.mean().item(),
            epoch_seconds=self.state.last_epoch_seconds,
            seconds=self.state.seconds,
            is_best=is_best,
        )

    def _save_model(self, *, keep: bool) -> None:
        self.callback(Progress("saving", 0, None))
        card = model_card(self.recipe, self.model, self.train, self.validation, self.state)
        file = self.run.samples_file(self.state.epoch)
        save_sample_grid(self.model, self.validation, file)
        weights, samples = tensors_bytes(named_tensors(self.model)), file.read_bytes()
        for folder in [self.run.last_model, *([self.run.kept_model] if keep else [])]:
            write_model(folder, self.model.config, weights, card=card, samples=samples)
        self.run.write_metrics(self.state.history)

    # ---- checkpoints and interruption --------------------------------------------------------------------------

    def save_first_checkpoint(self) -> None:
        """Save a checkpoint if the run has none yet."""
        if not self.run.state_file.exists():
            self.save_checkpoint()

    def save_checkpoint(self) -> None:
        """Save everything that a resumed training needs."""
        self.state.seconds = self.clock.seconds()
        if not self.world.is_first:
            return
        if self.resume:  # changed settings are recorded only now: those that made a training diverge are not kept
            self.run.write_recipe(self.recipe)
        objective = self.objective.state_dict()
        save_checkpoint(self.run.state_file, self.state, self.model, self.optimizer, self.ema, objective)

    def save_within_epoch(self, images: torch.Tensor, condition: torch.Tensor) -> None:
        """Save a checkpoint in the middle of an epoch.

        Args:
            images, condition: the last batch; its loss shows whether the last step has made the training diverge.

        Raises:
            DivergedError: it has; nothing is saved.
        """
        self.state.sums = self.epoch_losses.sums()
        self.epoch_losses.means()
        self.epoch_losses.check(self.objective.evaluate(images, condition))
        self.save_checkpoint()

    def should_stop(self, interrupted: bool) -> bool:
        """Return whether a process was interrupted. Several processes ask each other every few steps only."""
        within_epoch = self.state.batch > 0
        if self.world.size > 1 and within_epoch and self.state.step % _INTERRUPT_INTERVAL:
            return False
        return any(self.world.all_gather(interrupted))

    def interrupted_error(self) -> InterruptedRunError:
        """Return the error of an interrupted training; it says how to resume."""
        return InterruptedRunError(
            f"stopped after step {self.state.step:,}; nothing is lost",
            hint=f"resume with:  cvae train --resume {shlex.quote(str(self.run.folder))}",
        )

    # ---- construction ------------------------------------------------------------------------------------------

    def _load_checkpoint(self) -> TrainerState:
        load, file, epochs = self.objective.load_state_dict, self.run.state_file, self.settings.epochs
        state = load_checkpoint(file, self.model, self.optimizer, self.ema, load, self.callback)
        if epochs < state.epoch:
            raise UsageError(f"the run has done {state.epoch} epochs already, more than {epochs}")
        if self.settings.schedule == "one-cycle" and epochs != self.run.recipe().training.epochs:
            raise UsageError(
                "the number of epochs of a one-cycle schedule cannot change: its learning rates depend on it",
                hint=f"start another run with --epochs {epochs} and another --out",
            )
        return state

    def make_batches(self) -> Batches:
        """Make the training batches; for a prior, all latents are encoded."""
        return self.objective.make_batches(
            self.train,
            batch_size=self.settings.batch_size,
            device=self.device,
            seed=self.settings.seed,
            flip=self.recipe.data.flip,
            passes=passes_per_epoch(self.recipe, self.train),
            steps=self.settings.steps,
            world=self.world,
            callback=self.callback,
        )

    def _make_loss_function(self) -> LossFunction:
        distributed = self.world.size > 1
        losses: LossFunction = distribute(self.objective, self.device) if distributed else self.objective.losses
        return compile_losses(losses, self.device) if self.settings.compile else losses
