"""`cvae plot`: the loss curves of runs, in one picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.commands.output import Output
from cvae_cli.pictures.figure import FIGURE_ENDINGS, check_figure_ending

if TYPE_CHECKING:
    from cvae_cli.evaluation.history import Epoch, History

EPILOG = """\b
Examples:
  cvae plot runs/fashion-concat
  cvae plot runs/fashion-concat runs/fashion-add -o curves.png
  cvae plot runs/* --over minutes -o curves.svg
  cvae plot runs/fashion --json | jq '.runs[0].prior[-1].valid'

Solid lines are of the validation pictures, dashed ones of training. A second stage, which fits a prior, has a row of
its own. A high start is cut off where it would flatten the rest.
"""


def plot(
    runs: Annotated[list[Path], typer.Argument(help="Folders that cvae train has made.", metavar="RUN")],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            help=f"Picture file ({' '.join(FIGURE_ENDINGS)}), DIR/ for a default name in a folder, or - for PNG bytes "
            "on stdout.  [default: curves.png]",
            metavar="PATH",
        ),
    ] = None,
    over: Annotated[
        Literal["epochs", "steps", "minutes"],
        typer.Option(help="What the horizontal axis shows.", metavar="epochs|steps|minutes"),
    ] = "epochs",
    force: options.ForceBytes = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Draw the loss curves of trainings: -ELBO, rate and distortion, of training and validation."""
    console.configure(json=json, quiet=quiet, debug=debug)
    output = Output(out, force=force, json=json, check=check_figure_ending)

    with console.events("drawing the curves"):
        from cvae_cli.evaluation.curves import draw_curves
        from cvae_cli.evaluation.history import comparison_warnings, read_histories
        from cvae_cli.pictures.figure import encode_figure

        histories = read_histories(runs)
        for text in comparison_warnings(histories):
            console.warn(text)
        sheet = draw_curves(histories, over=over)
        facts = {"runs": [str(history.run) for history in histories], "over": over}
        path = output.write_encoded(lambda place: encode_figure(sheet, place, facts), stem="curves")
    if path is None:  # stdout has the picture
        return
    if not output.has_name and not console.is_terminal():
        console.note(f"curves in {path}")
    console.table(
        {"file": str(path), "over": over, "runs": [_as_json(history) for history in histories]},
        columns=["run", "stage", "epochs", "lowest -ELBO", "in epoch", "rate", "distortion"],
        rows=[row for history in histories for row in _rows(history)],
        footer=f"{path}   validation pictures, nats a picture",
    )


def _rows(history: "History") -> list[list[str]]:
    """A row for each stage: how long it was, and its epoch with the lowest -ELBO."""
    stages = {"model": history.model, "prior": history.prior}
    return [[history.label, name, *_summary(epochs)] for name, epochs in stages.items() if epochs]


def _summary(epochs: list["Epoch"]) -> list[str]:
    best = min(epochs, key=lambda epoch: epoch.valid.negative_elbo)
    numbers = (best.valid.rate, best.valid.distortion)
    return [str(len(epochs)), f"{best.valid.negative_elbo:.5g}", str(best.epoch), *(f"{each:.5g}" for each in numbers)]


def _as_json(history: "History") -> dict[str, Any]:
    stages = {"model": history.model, "prior": history.prior}
    epochs = {name: [epoch.model_dump() for epoch in each] for name, each in stages.items()}
    return {"run": str(history.run), "label": history.label, **epochs}
