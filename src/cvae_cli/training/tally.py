"""The losses of an epoch as they add up, and the moment from which they mean nothing any more."""

import math
import shlex

import torch
from torch import Tensor

from cvae_cli.errors import DivergedError
from cvae_cli.runtime.distributed import World
from cvae_cli.training.checkpoint import Position
from cvae_cli.training.objective import Objective
from cvae_cli.training.run import Run

_CAREFUL = 1e-3  # a learning rate that every recipe survives


class Tally:
    """Sums of losses over the pictures of an epoch, kept on the device: no step waits for them.

    Args:
        batch_size: of the batch that all processes share.
    """

    def __init__(
        self, run: Run, objective: Objective, position: Position, *, batch_size: int, device: torch.device, world: World
    ) -> None:
        self._run, self._objective, self._position, self._world = run, objective, position, world
        self._batch_size = batch_size
        self._exact = torch.float32 if device.type == "mps" else torch.float64
        self._sums = torch.zeros(len(objective.names), dtype=self._exact, device=device)
        self._worst = torch.zeros((), device=device)

    def begin(self) -> None:
        """Start an epoch, or go on with the one that the position is in."""
        self._sums.zero_()
        if self._position.sums and self._world.is_first:
            self._sums += torch.tensor(self._position.sums, dtype=self._exact).to(self._sums.device)

    def add(self, losses: Tensor, total: Tensor) -> None:
        """Take in the losses of a batch, `(b, losses)`, and what was minimised."""
        self._sums += losses.detach().sum(0).to(self._exact)
        self._worst = torch.maximum(self._worst, total.detach())

    def sums(self) -> list[float]:
        """Each loss summed over the epoch so far, of all processes."""
        return self._world.all_reduce(self._sums).tolist()  # type: ignore[no-any-return]

    def means(self, sums: list[float]) -> dict[str, float]:
        """Each loss an image, over the epoch so far. All processes call this together.

        Args:
            sums: of all processes.

        Raises:
            DivergedError: they are no numbers, or one was beyond all bounds.
        """
        self.check(self._worst.item())
        means = self._an_image(sums)
        self.check(sum(means.values()))
        return means

    def seen(self) -> dict[str, float]:
        """The same as far as this process has seen; a lone one has seen all, and raises what `means` raises."""
        sums = self._sums.tolist()
        return self.means(sums) if self._world.size == 1 else self._an_image([self._world.size * each for each in sums])

    def check(self, loss: float) -> None:
        """Raise a DivergedError in all processes where training has exploded in one. All of them call this together.

        A model that was thrown far away may come back to a finite loss, or seem to, and be of no use.
        """
        bad = [each for each in self._world.all_gather(loss) if not each <= self._objective.most]  # as no number is
        if not bad:
            return
        loss = bad[0]
        position, rate = self._position, self._run.recipe().training.learning_rate
        where = f"(epoch {position.epoch + 1}, step {position.step:,})"
        what = f"has exploded to {loss:.3g}" if math.isfinite(loss) else "is no longer a finite number"
        raise DivergedError(
            f"the loss {what} {where}",
            hint="the last good state is kept; go on from it more carefully, for example:\n"
            f"cvae train --resume {shlex.quote(str(self._run.folder))} --lr {min(rate / 10, _CAREFUL):g} "
            "--set training.gradient_clip=100",
        )

    def _an_image(self, sums: list[float]) -> dict[str, float]:
        images = self._position.batch * self._batch_size
        return {name: each / images for name, each in zip(self._objective.names, sums, strict=True)}
