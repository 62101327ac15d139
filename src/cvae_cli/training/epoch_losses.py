"""The losses of the current epoch, and the check for a training that has diverged."""

import math
import shlex

import torch
from torch import Tensor

from cvae_cli.errors import DivergedError
from cvae_cli.runtime.distributed import World
from cvae_cli.training.checkpoint import TrainerState
from cvae_cli.training.objectives.objective import Objective
from cvae_cli.training.run import Run

_SAFE_LEARNING_RATE = 1e-3  # no recipe diverges with it


class EpochLosses:
    """Running sums of the losses over an epoch. They stay on the device, so that no step has to wait for them.

    Args:
        run: names the folder in the error of a diverged training.
        learning_rate: what that error compares its advice to.
        state: the state of the trainer; it is read, never changed.
        batch_size: over all processes.
    """

    def __init__(
        self,
        run: Run,
        objective: Objective,
        state: TrainerState,
        *,
        learning_rate: float,
        batch_size: int,
        device: torch.device,
        world: World,
    ) -> None:
        self._run, self._objective, self._state, self._world = run, objective, state, world
        self._batch_size, self._learning_rate = batch_size, learning_rate
        self._dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self._sums = torch.zeros(len(objective.names), dtype=self._dtype, device=device)
        self._largest = torch.zeros((), device=device)

    def start_epoch(self) -> None:
        """Start the sums at zero, or in a resumed epoch at the sums of the checkpoint."""
        self._sums.zero_()
        if self._state.sums and self._world.is_first:
            self._sums += torch.tensor(self._state.sums, dtype=self._dtype).to(self._sums.device)

    def add(self, losses: Tensor, total: Tensor) -> None:
        """Add the losses of a batch, `(b, losses)`, and its total loss, a scalar."""
        self._sums += losses.detach().sum(0).to(self._dtype)
        self._largest = torch.maximum(self._largest, total.detach())

    def sums(self) -> list[float]:
        """Return each loss summed over the epoch so far and over all processes."""
        return self._world.all_reduce(self._sums).tolist()  # type: ignore[no-any-return]

    def means(self) -> dict[str, float]:
        """Return the mean of each loss over the epoch so far. All processes must call this together.

        Raises:
            DivergedError: a mean is not finite, or a batch had too large a loss.
        """
        sums = self.sums()
        self.check(self._largest.item())
        means = self._divide_by_images(sums)
        self.check(sum(means.values()))
        return means

    def estimated_means(self) -> dict[str, float]:
        """Return the means over the pictures of this process, for a progress event; others need not call this.

        Raises:
            DivergedError: like `means`, in a training with a single process.
        """
        if self._world.size == 1:
            return self.means()
        return self._divide_by_images([self._world.size * each for each in self._sums.tolist()])

    def check_bound(self, negative_elbo: float) -> None:
        """Raise an error if the -ELBO of the validation pictures, in nats, shows that the training has diverged."""
        self.check(negative_elbo, self._objective.max_bound)

    def check(self, loss: float, most: float | None = None) -> None:
        """Raise an error if the training has diverged. All processes must call this together.

        A model whose loss was once too large is useless, even if the loss becomes finite or small again.

        Args:
            loss: the loss in this process.
            most: the largest loss of a training that has not; by default that of the objective.

        Raises:
            DivergedError: in all processes, if the loss of one is too large or not finite.
        """
        # "not <=" instead of ">" because every comparison with NaN is false
        most = self._objective.max_loss if most is None else most
        diverged = [each for each in self._world.all_gather(loss) if not each <= most]
        if not diverged:
            return
        loss = diverged[0]
        what = f"has exploded to {loss:.3g}" if math.isfinite(loss) else "is no longer a finite number"
        raise DivergedError(
            f"the loss {what} (epoch {self._state.epoch + 1}, step {self._state.step:,})",
            hint="the last good state is kept; resume from it with a smaller learning rate, for example:\n"
            f"cvae train --resume {shlex.quote(str(self._run.folder))} "
            f"--lr {min(self._learning_rate / 10, _SAFE_LEARNING_RATE):g} --set training.gradient_clip=100",
        )

    def _divide_by_images(self, sums: list[float]) -> dict[str, float]:
        images = self._state.batch * self._batch_size
        return {name: each / images for name, each in zip(self._objective.names, sums, strict=True)}
