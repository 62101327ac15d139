"""`cvae generate`: pictures from prompts."""

import gc
import time
from typing import Annotated, Any

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.commands.drawn import show_files, show_grid
from cvae_cli.commands.output import OUTPUT, Output, check_folder
from cvae_cli.errors import UsageError
from cvae_cli.paths import DEFAULT_MODEL
from cvae_cli.runtime import launch
from cvae_cli.text.prompts import Prompts, slug

EPILOG = """\b
Examples:
  cvae generate "two dogs on a beach"
  cvae generate "snow" "a beach" "grass" -n 8 -o weather.png
  cvae generate dress sneaker "ankle boots" --model fashion --labels
  cvae generate --from prompts.txt -n 4 --separate -o pictures/
  cvae generate --from prompts.jsonl -n 100 --format webdataset -o shards/
  cvae generate "a man on a bike" -o - | display

The same prompt, seed and model give the same picture, whatever -n.
"""

_MAX_IN_GRID = 10_000  # pictures; a larger grid cannot be looked at


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(help="What the pictures show.", metavar="PROMPT")] = None,
    n: Annotated[int, typer.Option("-n", help="Pictures per prompt.", min=1, metavar="N")] = 1,
    output: Annotated[
        str | None,
        typer.Option("-o", "--out", help=f"{OUTPUT} With --format, the folder of the pictures.", metavar="PATH"),
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    seed: options.Seed = 0,
    temperature: options.Temperature = 1.0,
    guidance: options.Guidance = None,
    same_noise: options.SameNoise = False,
    columns: Annotated[int | None, typer.Option(help="Pictures per row of the grid.", min=1, metavar="N")] = None,
    scale: options.Scale = None,
    resample: options.Resample = "nearest",
    labels: options.Labels = False,
    format_: options.Format = None,
    separate: Annotated[bool, typer.Option("--separate", help="The same as --format png.")] = False,
    from_: options.PromptFile = None,
    force: options.ForceBytes = False,
    gpus: options.Gpus = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Generate pictures for prompts. All go into one grid, or with --format into a file each."""
    console.configure(json=json, quiet=quiet, debug=debug)
    started = time.perf_counter()
    format_ = format_ or ("png" if separate else None)
    if (gpus or 1) > 1 or launch.rank_and_size() != (0, 1):
        _check_can_be_shared(format_, from_)
    options.check_models([model])
    options.share_work(gpus, device)
    wanted = Prompts(prompts or [], from_)
    if not wanted.count:
        raise UsageError("say what to draw", hint='for example:  cvae generate "two dogs on a beach"')
    if not format_ and wanted.count * n > _MAX_IN_GRID:
        raise UsageError(
            f"{wanted.count * n:,} pictures do not fit one grid", hint="write a file each:  --format png -o DIR"
        )
    if format_:
        if labels or columns:
            raise UsageError("--labels and --columns are for one sheet of pictures, without --format and --separate")
        folder = check_folder(output, because="--separate" if separate else "--format")
    else:
        place = Output(output, force=force, json=json)

    sampling: dict[str, Any] = {"n": n, "seed": seed, "temperature": temperature, "guidance": guidance}
    with console.events("drawing") as callback:
        gc.disable()  # imports leave little garbage, and to search for it takes a tenth of their time
        from cvae_cli.bulk.grid import generate_grid
        from cvae_cli.bulk.suggest import suggest_model

        if format_:
            from cvae_cli.bulk.generate import generate_files  # imports torch.distributed, which takes a while
        gc.freeze()  # otherwise Python ends with a garbage collection of all modules, which takes half a second
        gc.enable()
        if model == DEFAULT_MODEL and (better := suggest_model(wanted)):
            console.note(f"there is a model for clothes:  --model {better}")
        settings = sampling | {"same_noise": same_noise, "resample": resample, "device": device, "callback": callback}
        if format_:
            files = generate_files(model, wanted, folder, format=format_, scale=scale or 1, **settings)
        else:
            grid = generate_grid(model, wanted, columns=columns, scale=scale, labels=labels, **settings)
            path = place.write(grid.sheet, grid.text, stem=slug(grid.prompts[0]))
    if format_:
        show_files(files, wanted)
    elif path is not None:
        seconds = time.perf_counter() - started
        show_grid(grid, path, model=model, seconds=seconds, is_named=place.has_name, preview=output is None)


def _check_can_be_shared(format: str | None, file: str | None) -> None:
    if not format:
        raise UsageError("several processes can only draw into a folder", hint="for example:  --format png -o DIR")
    if file == "-":
        raise UsageError("several processes cannot read one stdin", hint="write the prompts to a file for --from")
