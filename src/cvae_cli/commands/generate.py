"""`cvae generate`: pictures from prompts."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvae_cli import __version__, console
from cvae_cli.commands import options
from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.paths import check_writable, write_bytes

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from cvae_cli.models import CVAE

EPILOG = """\b
Examples:
  cvae generate "two dogs on a beach"
  cvae generate "snow" "a beach" "grass" -n 8 -o weather.png
  cvae generate dress sneaker "ankle boots" --model fashion
  cvae generate --from prompts.txt -n 4 --separate -o pictures/
  cvae generate "a man on a bike" -o - | display
The same prompt, seed and model give the same picture, whatever -n.
"""

_MOST_IN_GRID = 10_000  # pictures; beyond it a grid is no picture any more
_CLOTHES = "fashion"
_BLOCK = 256  # pictures held in memory at a time


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(help="What to draw.", metavar="PROMPT")] = None,
    n: Annotated[int, typer.Option("-n", help="Pictures for each prompt.", min=1)] = 1,
    output: Annotated[
        str | None,
        typer.Option("-o", "--out", help="PNG file, - for stdout, or with --separate a folder.", metavar="PATH"),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A bundled name, a folder, or org/name on the Hub.")
    ] = options.DEFAULT_MODEL,
    seed: options.Seed = 0,
    temperature: options.Temperature = 1.0,
    guidance: options.Guidance = None,
    columns: Annotated[int | None, typer.Option(help="Pictures in a row of the grid.", min=1)] = None,
    separate: Annotated[bool, typer.Option("--separate", help="A file for each picture, in the folder of -o.")] = False,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="A file with a prompt a line, or - for stdin.", metavar="FILE"),
    ] = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Draw pictures for prompts: one grid, or a file each."""
    console.configure(json=json, quiet=quiet, debug=debug)
    started = time.perf_counter()
    wanted = [*(prompts or []), *(_read_prompts(from_) if from_ else [])]
    if not wanted:
        raise UsageError("say what to draw", hint='for example:  cvae generate "two dogs on a beach"')
    if separate and output in {None, "-"}:
        raise UsageError("--separate needs a folder:  -o DIR")
    if not separate and len(wanted) * n > _MOST_IN_GRID:
        raise UsageError(
            f"{len(wanted) * n:,} pictures do not fit one grid", hint="write a file each:  --separate -o DIR"
        )
    if output not in {None, "-"}:
        check_writable(Path(str(output)), folder=separate)

    from cvae_cli.device import pick_device
    from cvae_cli.models import CVAE

    network = CVAE.from_pretrained(model, device=pick_device(device))
    network.prior.check_guidance(guidance)
    conditions = network.condition(wanted, notice=console.warn)  # every prompt is understood before one is drawn
    if model == options.DEFAULT_MODEL:
        _point_to_clothes(wanted)
    settings = {"seed": seed, "temperature": temperature, "guidance": guidance}
    drawn = _draw(network, conditions, n, settings)
    facts = {
        "model": network.config.name,
        "seed": str(seed),
        "temperature": str(temperature),
        **({} if guidance is None else {"guidance": str(guidance)}),
        "software": f"cvae-cli {__version__}",
    }
    if separate:
        return _write_files(drawn, wanted, n, Path(str(output)), facts)

    from cvae_cli.pictures import grid, png_bytes

    sheet = grid(list(drawn), columns=columns or (n if len(wanted) > 1 else None))
    content = png_bytes(sheet, {"prompt": "\n".join(wanted), "pictures": str(n), **facts})
    if output == "-":
        return console.result_bytes(content)
    path = Path(output) if output else options.free_name(_slug(wanted[0]))
    write_bytes(path, content)
    size = network.config.image.size
    caption = f"{path}   {facts['model']} · seed {seed} · {size}x{size} · {time.perf_counter() - started:.1f} s"
    if output is None and console.has_colour():
        from cvae_cli.pictures import preview

        console.result(None, preview(sheet, width=console.width()))
    text = (caption if console.is_terminal() else str(path)) if output is None else None
    console.result({"file": str(path), "prompts": wanted, "pictures": n, **facts}, text)
    return None


def _point_to_clothes(prompts: list[str]) -> None:
    """Say that another model draws clothes better, where they are all that is asked for."""
    from cvae_cli.models.pretrained import read_config
    from cvae_cli.paths import bundled_dir
    from cvae_cli.text.labels import names_only

    condition = read_config(bundled_dir() / _CLOTHES).condition
    assert condition.kind == "labels"
    if any(names_only(prompt, condition.classes) for prompt in prompts):
        console.note(f"for clothes there is a model of their own:  --model {_CLOTHES}")


def _draw(network: "CVAE", conditions: "Tensor", n: int, settings: dict[str, Any]) -> "Iterator[Image.Image]":
    """`n` pictures for each prompt, prompt by prompt; only a block of them is in memory at a time."""
    from cvae_cli.pictures import to_pil

    total = len(conditions) * n
    for start in range(0, total, _BLOCK):
        numbers = range(start, min(start + _BLOCK, total))
        prompts, indices = zip(*(divmod(number, n) for number in numbers), strict=True)
        images = network.sample(conditions[list(prompts)], indices=indices, **settings)
        yield from to_pil(images)


def _write_files(
    drawn: "Iterator[Image.Image]",
    wanted: list[str],
    n: int,
    folder: Path,
    facts: dict[str, str],
) -> None:
    from cvae_cli.pictures import save_png

    total = len(wanted) * n
    digits = len(str(total))
    files = []
    with console.progress("drawing") as tracker:
        for number, picture in enumerate(drawn):
            prompt, index = divmod(number, n)
            path = folder / f"{number + 1:0{digits}}-{_slug(wanted[prompt])}.png"
            save_png(picture, path, {"prompt": wanted[prompt], "sample": str(index), **facts})
            files.append(str(path))
            tracker.update(number + 1, total)
    console.result({"files": files, "prompts": wanted, **facts}, None)
    console.hint(f"{total:,} pictures in {folder}")


def _read_prompts(name: str) -> list[str]:
    """The lines of a file, or of stdin for `-`; empty ones are skipped."""
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except FileNotFoundError as error:
        raise MissingError(f"no file {name}") from error
    except OSError as error:
        raise UsageError(f"cannot read {name}: {(error.strerror or str(error)).lower()}") from error
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CorruptError(f"{name} is not text in UTF-8") from error
    if not (prompts := [line.strip() for line in lines if line.strip()]):
        raise UsageError(f"{name} has no prompt in it", hint="--from takes a file with a prompt a line")
    return prompts


def _slug(prompt: str) -> str:
    """The prompt as part of a file name: lower-case words joined by hyphens, at most 40 characters."""
    return re.sub(r"[^\w]+", "-", prompt.casefold()).strip("-_")[:40].rstrip("-") or "picture"
