"""`cvae cache`: the folder of everything downloaded or prepared."""

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.commands.command import Command, Group
from cvae_cli.errors import CorruptError
from cvae_cli.paths import cache_dir

PATH_EPILOG = """\b
Examples:
  cvae cache path
"""
VERIFY_EPILOG = """\b
Examples:
  cvae cache verify
  cvae cache verify --json
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


@app.command(cls=Command, epilog=VERIFY_EPILOG)
def verify(json: options.Json = False, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """Compare all prepared pictures with their digests.

    Damaged ones are prepared again when they are next used.
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from cvae_cli.data.cache_check import check_cache

    with console.events("verifying") as callback:
        checked = check_cache(callback)
    rows = [
        [
            each.state,
            each.name or each.folder.name,
            each.split,
            f"{each.size}x{each.size}" if each.size else "",
            "" if each.pictures is None else f"{each.pictures:,}",
            f"{each.length / 1e6:,.1f} MB",
        ]
        for each in checked
    ]
    data = [{**vars(each), "folder": str(each.folder)} for each in checked]
    if checked or json:
        console.table(data, columns=["state", "data set", "split", "size", "pictures", "on disk"], rows=rows)
    else:
        console.note(f"nothing is prepared in {cache_dir()}")
    damaged = [each for each in checked if each.state == "damaged"]
    if damaged:
        count = f"{len(damaged)} of {len(checked)} folders of prepared pictures"
        raise CorruptError(
            f"damaged: {count}, the first {damaged[0].folder}",
            hint="what is damaged is prepared again when it is next used",
        )
