"""`cvae cache`: the folder of everything downloaded or prepared."""

from typing import Annotated, Any

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.commands.command import Command, Group
from cvae_cli.errors import CorruptError, byte_size
from cvae_cli.paths import cache_dir

PATH_EPILOG = """\b
Examples:
  cvae cache path
"""
LIST_EPILOG = """\b
Examples:
  cvae cache list
  cvae cache list --json
"""
VERIFY_EPILOG = """\b
Examples:
  cvae cache verify
  cvae cache verify --json
"""
CLEAR_EPILOG = """\b
Examples:
  cvae cache clear prepared
  cvae cache clear --yes

KIND is datasets, prepared (pictures), vectors (of captions) or weights; without it, all of them are removed.
Models of the Hub are in the Hub's own cache: cvae models remove.
"""

app = typer.Typer(cls=Group, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Look after the cache, the folder of everything downloaded or prepared."""
    if context.invoked_subcommand is None:
        console.result(None, context.get_help().split("\n"))


@app.command(cls=Command, epilog=PATH_EPILOG)
def path(json: options.Json = False) -> None:
    """Print the folder of the cache. CVAE_HOME chooses another one."""
    console.configure(json=json)
    console.result({"path": str(cache_dir())}, str(cache_dir()))


@app.command("list", cls=Command, epilog=LIST_EPILOG)
def list_(json: options.Json = False, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """List what is in the cache, with its size and the time since it was written."""
    console.configure(json=json, quiet=quiet, debug=debug)
    from cvae_cli.data.cache_contents import cache_contents

    found = cache_contents()
    rows = [each.row() for each in found]
    if found or json:
        total = f"{byte_size(sum(each.length for each in found))} in {cache_dir()}"
        columns = ["kind", "what", "on disk", "age"]
        console.table([each.to_dict() for each in found], columns=columns, rows=rows, footer=total)
    else:
        console.note(f"there is nothing in {cache_dir()}")


@app.command(cls=Command, epilog=VERIFY_EPILOG)
def verify(json: options.Json = False, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """Compare prepared pictures, vectors and weights with their digests.

    What is damaged is made or downloaded again when it is next used.
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from cvae_cli.data.cache_check import check_cache

    with console.events("verifying") as callback:
        checked = check_cache(callback)
    if checked or json:
        columns = ["state", "what", "split", "size", "pictures", "on disk"]
        data = [{**vars(each), "folder": str(each.folder)} for each in checked]
        console.table(data, columns=columns, rows=[each.row() for each in checked])
    else:
        console.note(f"there is nothing to verify in {cache_dir()}")
    damaged = [each for each in checked if each.state == "damaged"]
    if damaged:
        raise CorruptError(
            f"damaged: {len(damaged)} of {len(checked)}, the first {damaged[0].folder}",
            hint="what is damaged is made or downloaded again when it is next used",
        )


@app.command(cls=Command, epilog=CLEAR_EPILOG)
def clear(
    kind: Annotated[str | None, typer.Argument(help="What to remove.  [default: everything]", metavar="KIND")] = None,
    yes: options.Yes = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Remove what is in the cache, or one kind of it. It is made or downloaded again when it is next needed."""
    console.configure(json=json, debug=debug)
    from cvae_cli.data.cache_contents import cache_contents
    from cvae_cli.data.cache_contents import clear as remove

    found = cache_contents(kind) + (
        cache_contents("vectors") if kind == "prepared" else []
    )  # they lie beside each other
    total = sum(each.length for each in found)
    what = f"{len(found)} {'entries' if len(found) != 1 else 'entry'} of the cache"
    agreed = bool(found) and (yes or console.confirm(f"remove {what} ({byte_size(total)}) in {cache_dir()}"))
    removed = [each for each in found if agreed and remove(each)]
    for each in found if agreed else ():
        if each not in removed:
            console.warn(f"{each.name} is in use by another process, and stays")
    data: dict[str, Any] = {"removed": [each.to_dict() for each in removed]}
    freed = byte_size(sum(each.length for each in removed))
    console.result(data, f"removed {freed}" if removed else "nothing was removed")
