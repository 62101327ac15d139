"""`cvae models remove` and `cvae models push`."""

from typing import Annotated

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.commands.models import Name
from cvae_cli.errors import byte_size

REMOVE_EPILOG = """\b
Examples:
  cvae models remove runs/first-try
  cvae models remove org/name --yes
"""
PUSH_EPILOG = """\b
Examples:
  cvae models push runs/fashion me/fashion-cvae
  cvae models push runs/fashion me/fashion-cvae --private --revision v2

The token is HF_TOKEN, or that of the Hub's login (hf auth login).
"""


def remove(name: Name, yes: options.Yes = False, json: options.Json = False, debug: options.Debug = False) -> None:
    """Remove a run, a model folder, or a model in the Hub's cache. Other files are never removed."""
    console.configure(json=json, debug=debug)
    from cvae_cli.training.removal import plan_removal

    plan = plan_removal(name)
    removed = yes or console.confirm(f"remove {plan.what} ({byte_size(plan.length)})")
    if removed:
        plan.execute()
    console.result(
        {"name": name, "folder": str(plan.folder), "bytes": plan.length, "removed": removed},
        f"removed {plan.what}" if removed else "nothing was removed",
    )


def push(
    model: Annotated[str, typer.Argument(help="Model to upload: a bundled name, a folder or a run.", metavar="MODEL")],
    repo: Annotated[str, typer.Argument(help="Repository on the Hugging Face Hub.", metavar="ORG/NAME")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[
        str | None,
        typer.Option(help="Branch; it is created if there is none.  [default: main]", metavar="BRANCH"),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Upload a model to the Hugging Face Hub: its weights, its card, samples, and the digests of all."""
    console.configure(json=json, quiet=quiet, debug=debug)
    from cvae_cli.models.push import push_model

    with console.events(f"uploading to {repo}") as callback:
        address = push_model(model, repo, private=private, revision=revision, callback=callback)
    name = f"{repo}@{revision}" if revision else repo
    console.result({"model": name, "commit": address, "private": private}, address)
    console.hint(f"draw with it:  cvae generate PROMPT --model {name}")
