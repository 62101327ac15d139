"""`cvae models`: the models on this machine."""

from typing import Annotated, Any

import typer

from cvae_cli import console
from cvae_cli.commands import export, options
from cvae_cli.commands.command import Command, Group

LIST_EPILOG = """\b
Examples:
  cvae models list
  cvae models list ~/experiments --json
"""

app = typer.Typer(cls=Group, rich_markup_mode=None)
app.command(cls=Command, epilog=export.EPILOG)(export.export)


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """Look after the models on this machine, and share them."""
    if context.invoked_subcommand is None:
        console.result(None, context.get_help().split("\n"))


@app.command("list", cls=Command, epilog=LIST_EPILOG)
def list_(
    folders: Annotated[
        list[str] | None,
        typer.Argument(help="Folders of runs to look into.  [default: runs]", metavar="FOLDER", show_default=False),
    ] = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List the bundled models, those in the Hub's cache, and those trained here."""
    console.configure(json=json, debug=debug)
    from cvae_cli.models.shelf import ShelvedModel, shelved_models

    def row(model: ShelvedModel) -> list[str]:
        config = model.config
        facts = [config.dataset, f"{config.image.size}x{config.image.size}"] if config else ["damaged", ""]
        return [model.name, model.place, *facts, f"{model.length / 1e6:,.1f} MB", (model.sha256 or "")[:12]]

    def data(model: ShelvedModel) -> dict[str, Any]:
        settings = {"folder": str(model.folder), "config": model.config.to_dict() if model.config else None}
        return {**vars(model), **settings}

    found = shelved_models(folders or ["runs"])
    columns = ["model", "where", "data", "pictures", "on disk", "sha256"]
    console.table(list(map(data, found)), columns=columns, rows=list(map(row, found)))
