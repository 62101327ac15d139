"""`cvae generate`: pictures from prompts."""

import gc
import time
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, Event, Notice
from cvae_cli.paths import check_writable, write_bytes
from cvae_cli.runtime import launch
from cvae_cli.text.prompts import Prompts, slug
from cvae_cli.version import __version__

if TYPE_CHECKING:
    from cvae_cli.bulk.draw import Job
    from cvae_cli.models.cvae import CVAE

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

_MOST_IN_GRID = 10_000  # pictures; beyond it a grid is no picture any more
_CLOTHES = "fashion"
_MOST_NAMED = 1000  # files in the result; beyond it only the manifest names them
_MOST_WARNINGS = 20  # about prompts
_LOOKED_AT = 100  # prompts, for whether another model suits them better


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(help="What to draw.", metavar="PROMPT")] = None,
    n: Annotated[int, typer.Option("-n", help="Pictures for each prompt.", min=1)] = 1,
    output: Annotated[
        str | None,
        typer.Option("-o", "--out", help="PNG file, - for stdout, or with --format a folder.", metavar="PATH"),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A bundled name, a folder, or org/name on the Hub.")
    ] = options.DEFAULT_MODEL,
    seed: options.Seed = 0,
    temperature: options.Temperature = 1.0,
    guidance: options.Guidance = None,
    columns: Annotated[int | None, typer.Option(help="Pictures in a row of the grid.", min=1)] = None,
    format_: Annotated[
        Literal["png", "webp", "webdataset"] | None,
        typer.Option(
            "--format",
            help="Write into the folder of -o: a png or webp for each picture, or tar files of 1,000 (webdataset). "
            "The same command goes on where it was stopped.",
        ),
    ] = None,
    separate: Annotated[bool, typer.Option("--separate", help="The same as --format png.")] = False,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help='A file with a prompt a line, in a .jsonl as {"prompt": ...}, or - for stdin.',
            metavar="FILE",
        ),
    ] = None,
    gpus: options.Gpus = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Draw pictures for prompts: one grid, or a file each."""
    console.configure(json=json, quiet=quiet, debug=debug)
    started = time.perf_counter()
    format_ = format_ or ("png" if separate else None)
    if (gpus or 1) > 1 or launch.rank_and_size() != (0, 1):
        _check_can_be_shared(format_, from_)
    options.share_work(gpus, device)
    wanted = Prompts(prompts or [], from_)
    if not wanted.count:
        raise UsageError("say what to draw", hint='for example:  cvae generate "two dogs on a beach"')
    if format_ and output in {None, "-"}:
        raise UsageError(f"{'--separate' if separate else '--format'} needs a folder:  -o DIR")
    if not format_ and wanted.count * n > _MOST_IN_GRID:
        raise UsageError(
            f"{wanted.count * n:,} pictures do not fit one grid", hint="write a file each:  --format png -o DIR"
        )
    if output not in {None, "-"}:
        check_writable(Path(str(output)), folder=bool(format_))

    from cvae_cli.bulk.blocks import prompt_conditions, sample_pictures
    from cvae_cli.models.cvae import CVAE
    from cvae_cli.models.pretrained import find_model, weights_sha256
    from cvae_cli.runtime.device import pick_device

    if format_:
        from cvae_cli.runtime import distributed  # torch.distributed takes a while to import

        device = distributed.local_device(device)
    gc.freeze()  # or Python would end by looking for garbage among all that was imported, for half a second
    place = pick_device(device)
    source = find_model(model)
    network = CVAE.from_pretrained(source, device=place)
    network.prior.check_guidance(guidance)
    sampling = {"seed": seed, "temperature": temperature, "guidance": guidance}
    facts = {
        "model": network.config.name,
        **{name: str(value) for name, value in sampling.items() if value is not None},
        "software": f"cvae-cli {__version__}",
    }
    if format_:
        if model == options.DEFAULT_MODEL:
            _point_to_clothes([prompt.text for prompt in islice(wanted, _LOOKED_AT)])
        from cvae_cli.bulk.draw import Job

        job = Job(Path(str(output)), format_, n=n, sampling=sampling, facts=facts, weights=weights_sha256(source))
        with distributed.process_group(place):
            return _write_files(network, wanted, job)

    from cvae_cli.pictures.files import png_bytes
    from cvae_cli.pictures.grid import grid

    asked = list(wanted)
    texts = [prompt.text for prompt in asked]
    conditions = prompt_conditions(network, asked, console.show)  # every prompt is understood before one is drawn
    if model == options.DEFAULT_MODEL:
        _point_to_clothes(texts)
    drawn = list(chain.from_iterable(sample_pictures(network, conditions, n, sampling, range(len(texts) * n))))
    sheet = grid(drawn, columns=columns or (n if len(texts) > 1 else None))
    content = png_bytes(sheet, {"prompt": "\n".join(texts), "pictures": str(n), **facts})
    if output == "-":
        return console.result_bytes(content)
    path = Path(output) if output else options.free_name(slug(texts[0]))
    write_bytes(path, content)
    size = network.config.image.size
    caption = f"{path}   {facts['model']} · seed {seed} · {size}x{size} · {time.perf_counter() - started:.1f} s"
    if output is None and console.has_colour():
        from cvae_cli.pictures.terminal import preview

        console.result(None, preview(sheet, width=console.width()))
    text = (caption if console.is_terminal() else str(path)) if output is None else None
    console.result({"file": str(path), "prompts": texts, "pictures": n, **facts}, text)
    return None


def _check_can_be_shared(format: str | None, file: str | None) -> None:
    if not format:
        raise UsageError("several processes draw into a folder", hint="say where to:  --format png -o DIR")
    if file == "-":
        raise UsageError("several processes cannot read one stdin", hint="write the prompts to a file for --from")


def _point_to_clothes(prompts: list[str]) -> None:
    """Say that another model draws clothes better, where they are all that is asked for."""
    from cvae_cli.models.pretrained import read_config
    from cvae_cli.paths import bundled_dir
    from cvae_cli.text.labels import names_only_classes

    condition = read_config(bundled_dir() / _CLOTHES).condition
    assert condition.kind == "labels"
    if any(names_only_classes(prompt, condition.classes) for prompt in prompts):
        console.note(f"for clothes there is a model of their own:  --model {_CLOTHES}")


def _write_files(network: "CVAE", prompts: Prompts, job: "Job") -> None:
    from cvae_cli.bulk.draw import draw_files
    from cvae_cli.bulk.manifest import files_in

    with console.events("drawing") as callback:
        drawn = draw_files(network, prompts, job, callback=_few_warnings(callback))
    total = prompts.count * job.n
    named = {}
    if total <= _MOST_NAMED:
        named["files"] = [str(job.folder / name) for name in files_in(job.folder)]
        named["prompts"] = [prompt.text for prompt in prompts]
    console.result({"folder": str(job.folder), "pictures": total, **named, **job.facts}, None)
    if drawn:
        console.hint(f"{total:,} pictures in {job.folder}")
    else:
        console.note(f"all {total:,} pictures are in {job.folder} already")


def _few_warnings(callback: Callback) -> Callback:
    """Pass on each warning once, and a few warnings only: there may be a million prompts."""
    said: set[str] = set()

    def show(event: Event) -> None:
        if not isinstance(event, Notice):
            return callback(event)
        if event.text in said or len(said) > _MOST_WARNINGS:
            return None
        said.add(event.text)
        too_many = Notice("more warnings about prompts are left out", is_warning=True)
        return callback(event if len(said) <= _MOST_WARNINGS else too_many)

    return show
