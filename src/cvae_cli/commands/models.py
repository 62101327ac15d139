"""`cvae models`: the models on this machine."""

from typing import Annotated, Any

import typer

from cvae_cli import console
from cvae_cli.commands import export, options
from cvae_cli.commands.command import Command, Group
from cvae_cli.errors import CorruptError, UsageError

LIST_EPILOG = """\b
Examples:
  cvae models list
  cvae models list ~/experiments --json
"""
SHOW_EPILOG = """\b
Examples:
  cvae models show scenes
  cvae models show runs/fashion --json
"""
VERIFY_EPILOG = """\b
Examples:
  cvae models verify
  cvae models verify runs/fashion
  cvae models verify runs/fashion --accept        # after editing its README.md
"""

Name = Annotated[
    str,
    typer.Argument(help="Model: a bundled name, a folder, or org/name[@revision] in the Hub's cache.", metavar="MODEL"),
]

app = typer.Typer(cls=Group, rich_markup_mode=None)
app.command(cls=Command, epilog=export.EPILOG)(export.export)


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List, verify, remove and share models."""
    if context.invoked_subcommand is None:
        console.result(None, context.get_help().split("\n"))


@app.command("list", cls=Command, epilog=LIST_EPILOG)
def list_(
    folders: Annotated[
        list[str] | None,
        typer.Argument(help="Folders of runs to look into.  [default: runs]", metavar="DIR", show_default=False),
    ] = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List the bundled models, those in the Hub's cache, and those trained here."""
    console.configure(json=json, debug=debug)
    from cvae_cli.models.shelf import shelved_models

    found = shelved_models(folders or ["runs"])
    columns = ["model", "where", "data", "pictures", "kind", "scores", "on disk"]  # with digests, 80 are not enough
    rows = [each.row() for each in found]
    data = [each.to_dict() for each in found]
    console.table(data, columns=columns, rows=[row[:-1] for row in rows], plain=rows)


@app.command(cls=Command, epilog=SHOW_EPILOG)
def show(name: Name, json: options.Json = False, debug: options.Debug = False) -> None:
    """Show one model: what it is, its scores, its files."""
    console.configure(json=json, debug=debug)
    from cvae_cli.models.pretrained import find_known
    from cvae_cli.models.shelf import describe_model

    model = describe_model(name, find_known(name))
    console.table(model.to_dict(), columns=["", ""], rows=model.lines())
    if model.problem:
        raise CorruptError(model.problem, hint=f"cvae models verify {name}")


@app.command(cls=Command, epilog=VERIFY_EPILOG)
def verify(
    name: Annotated[
        str | None, typer.Argument(help="Model to verify.  [default: all of the list]", metavar="MODEL")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Record the files of MODEL as they are now, after changing one.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Compare every file of models with its digest, also README.md and pictures."""
    console.configure(json=json, quiet=quiet, debug=debug)
    from cvae_cli.models.pretrained import find_known
    from cvae_cli.models.shelf import describe_model, shelved_models
    from cvae_cli.models.verify import accept_changes, verify_model

    chosen = shelved_models() if name is None else [describe_model(name, find_known(name))]
    if accept:
        if name is None or chosen[0].place != "trained here":
            raise UsageError("--accept needs a model of your own", hint="cvae models verify runs/NAME --accept")
        accept_changes(chosen[0].folder)
    with console.events("verifying") as callback:
        checked: list[dict[str, Any]] = [verify_model(each.name, each.folder, callback=callback) for each in chosen]
    rows = [[each["state"], each["name"], "; ".join(each["problems"])] for each in checked]
    console.table(checked, columns=["state", "model", "problems"], rows=rows)
    damaged = [each for each in checked if each["problems"]]
    if damaged:
        raise CorruptError(
            f"damaged: {len(damaged)} of {len(checked)} models, the first {damaged[0]['name']}",
            hint="a model of the Hub is downloaded again when it is next used; copy or train others again\n"
            "if you changed a file yourself:  cvae models verify NAME --accept",
        )
