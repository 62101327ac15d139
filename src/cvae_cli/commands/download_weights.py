"""`cvae download-weights`: the weights that metrics and text encoders need."""

from typing import Annotated, Any

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.errors import UsageError, byte_size

EPILOG = """\b
Examples:
  cvae download-weights --list
  cvae download-weights inception        # for cvae evaluate --metric fid
  cvae download-weights alexnet          # for cvae evaluate --metric lpips
  cvae download-weights --all
"""


def download_weights(
    names: Annotated[
        list[str] | None, typer.Argument(help="Weights to download; see --list for their names.", metavar="WEIGHTS")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the weights, and which of them are on this machine.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Download all weights.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Download weights that are not part of cvae.

    Metrics and text encoders need them. Downloads are resumed and verified; files that are already here are kept.
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from cvae_cli.weights.registry import REGISTRY, get_weights

    if list_:
        return _list()
    chosen = list(REGISTRY) if all_ else names or []
    if not chosen:
        raise UsageError("name the weights to download, or use --all", hint=f"weights: {', '.join(REGISTRY)}")
    entries = [get_weights(name) for name in chosen]  # finds a wrong name before the first download
    downloaded: list[dict[str, Any]] = []
    for entry in entries:
        if entry.cached_path() is None:
            console.note(f"{entry.name}: {byte_size(entry.size)} from {entry.source}")
        with console.events(entry.name) as callback:
            path = entry.download(callback)
        downloaded.append({"name": entry.name, "path": str(path), "sha256": entry.sha256, "bytes": entry.size})
    console.result_rows(downloaded, [[each["name"], each["path"]] for each in downloaded])
    return None


def _list() -> None:
    from cvae_cli.weights.registry import REGISTRY

    rows = []
    data = []
    for entry in REGISTRY.values():
        path = entry.cached_path()
        rows.append([entry.name, byte_size(entry.size), "yes" if path else "no", entry.licence, entry.use])
        data.append(
            {
                "name": entry.name,
                "use": entry.use,
                "bytes": entry.size,
                "sha256": entry.sha256,
                "licence": entry.licence,
                "source": entry.source,
                "note": entry.note,
                "path": str(path) if path else None,
            }
        )
    console.table(data, columns=["name", "size", "here", "licence", "use"], rows=rows)
