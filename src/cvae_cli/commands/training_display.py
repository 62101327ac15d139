"""How a training looks on the console."""

from typing import TYPE_CHECKING, Any

from cvae_cli import console

if TYPE_CHECKING:
    from cvae_cli.training.progress import EpochResult, Progress


class TrainingDisplay:
    """Shows on the console how training goes."""

    def __init__(self) -> None:
        self._display = console.progress("training", *_columns())

    def __enter__(self) -> "TrainingDisplay":
        self._tracker = self._display.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._display.__exit__(*exception)

    def progress(self, progress: "Progress") -> None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        self._tracker.update(
            progress.batch,
            progress.batches,
            f"{progress.images_per_second:,.0f} img/s · {_losses(progress.losses, 1)} · {minutes}:{seconds:02} left",
            what=f"epoch {progress.epoch:>2}/{progress.epochs}",
        )

    def epoch_done(self, result: "EpochResult") -> None:
        self._tracker.line(
            f"epoch {result.epoch:>2}/{result.epochs}  {_losses(result.losses, 2)} · valid {result.valid:.2f}"
            f"{' *' if result.is_best else ''} · {result.seconds:,.0f} s"
        )


def _losses(losses: dict[str, float], digits: int) -> str:
    """The losses for a line of text: rate and distortion as the bound that they add up to."""
    if losses.keys() == {"rate", "distortion"}:
        parts = ", ".join(f"{name} {value:.{digits}f}" for name, value in losses.items())
        return f"-ELBO {sum(losses.values()):.{digits}f} ({parts})"
    return " · ".join(f"{name} {value:.4f}" for name, value in losses.items())


def _columns() -> list[Any]:
    from rich.progress import TextColumn

    return [TextColumn("{task.fields[text]}")]
