"""`cvae generate`: pictures from prompts."""

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.commands.output import OUTPUT, Output, check_folder
from cvae_cli.errors import UsageError
from cvae_cli.paths import DEFAULT_MODEL
from cvae_cli.runtime import launch
from cvae_cli.text.prompts import Prompts, slug

if TYPE_CHECKING:
    from cvae_cli.bulk.generate import GeneratedFiles
    from cvae_cli.bulk.grid import Grid

EPILOG = """\b
Examples:
  cvae generate "two dogs on a beach"
  cvae generate "snow" "a beach" "grass" -n 8 -o weather.png
  cvae generate dress sneaker "ankle boots" --model fashion
  cvae generate --from prompts.txt -n 4 --separate -o pictures/
  cvae generate --from prompts.jsonl -n 100 --format webdataset -o shards/
  cvae generate "a man on a bike" -o - | display
The same prompt, seed and model give the same picture, whatever -n.
"""

_MAX_IN_GRID = 10_000  # pictures; a larger grid cannot be looked at
_MAX_NAMED = 1000  # files in the result; of more than that only the manifest has the names


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
    columns: Annotated[int | None, typer.Option(help="Pictures per row of the grid.", min=1, metavar="N")] = None,
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
    folder, place = Path(), Output(None)
    if format_:
        folder = check_folder(output, because="--separate" if separate else "--format")
    else:
        place = Output(output, force=force, json=json)
    settings: dict[str, Any] = {"n": n, "seed": seed, "temperature": temperature, "guidance": guidance}
    with console.events("drawing") as callback:
        from cvae_cli.bulk.grid import generate_grid
        from cvae_cli.bulk.suggest import suggest_model

        if format_:
            from cvae_cli.bulk.generate import generate_files  # imports torch.distributed, which takes a while
        gc.freeze()  # otherwise Python ends with a garbage collection of all modules, which takes half a second
        if model == DEFAULT_MODEL and (better := suggest_model(wanted)):
            console.note(f"for clothes there is a model of their own:  --model {better}")
        settings |= {"device": device, "callback": callback}
        if format_:
            files = generate_files(model, wanted, folder, format=format_, **settings)
        else:
            grid = generate_grid(model, wanted, columns=columns, **settings)
            path = place.write(grid.sheet, grid.text, stem=slug(grid.prompts[0]))
    if format_:
        return _show_files(files, wanted)
    if path is not None:
        _show_grid(grid, path, seconds=time.perf_counter() - started, is_named=place.has_name, preview=output is None)
    return None


def _check_can_be_shared(format: str | None, file: str | None) -> None:
    if not format:
        raise UsageError("several processes draw into a folder", hint="say where to:  --format png -o DIR")
    if file == "-":
        raise UsageError("several processes cannot read one stdin", hint="write the prompts to a file for --from")


def _show_grid(grid: "Grid", path: Path, *, seconds: float, is_named: bool, preview: bool) -> None:
    """Show where the sheet is, unless the user has named it, and on a terminal also what it shows."""
    if preview and console.has_colour():
        from cvae_cli.pictures.terminal import preview as picture_to_text

        console.drawing(picture_to_text(grid.sheet, width=console.width()))
    made = grid.metadata
    caption = f"{path}   {made['model']} · seed {made['seed']} · {grid.size}x{grid.size} · {seconds:.1f} s"
    text = None if is_named else caption if console.is_terminal() else str(path)
    facts = {"file": str(path), "prompts": grid.prompts, "n": grid.n, "pictures": grid.pictures, **made}
    console.result(facts, text)


def _show_files(files: "GeneratedFiles", prompts: Prompts) -> None:
    named = {}
    if files.total <= _MAX_NAMED:
        named = {"files": [str(path) for path in files.paths()], "prompts": [prompt.text for prompt in prompts]}
    console.result({"folder": str(files.folder), "pictures": files.total, **named, **files.metadata}, None)
    if files.new:
        console.hint(f"{files.total:,} pictures in {files.folder}")
    else:
        console.note(f"all {files.total:,} pictures are in {files.folder} already")
