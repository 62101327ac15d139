"""`cvae explore`: a page on this machine to play with models."""

from typing import Annotated

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.errors import MissingError

EPILOG = """\b
Examples:
  cvae explore                                   # all bundled models, and the runs in runs/
  cvae explore fashion --data-dir fashion-mnist  # with pictures of the data set on the map
  cvae explore runs/fashion-vae fashion          # two models, to be compared
  cvae explore runs/now                          # follow a training that is going on

Only this machine can open the page, and it needs no network. Ctrl-C ends it.
"""

_NEEDED = ("starlette", "uvicorn")


def explore(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Models to begin with, or runs: a bundled name, a folder, or org/name.", metavar="MODEL"),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port to serve on; 0 takes any that is free.", min=0, max=65535, metavar="N")
    ] = 8765,
    host: Annotated[
        str,
        typer.Option(
            help="Address to serve on. With another than this machine's own, the page asks for a token, which is in "
            "the address that is printed.",
            metavar="ADDRESS",
        ),
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Play with models on a page: draw, morph, move along the latent space, and follow trainings."""
    console.configure(json=json, quiet=quiet, debug=debug)
    _check_installed()
    from cvae_cli.explore.session import find_places

    places = find_places(models or [])
    with console.events("loading") as callback:
        from cvae_cli.explore import serve
        from cvae_cli.explore.desk import Desk
        from cvae_cli.explore.session import Session
        from cvae_cli.explore.shelf import Shelf

        place = serve.open_socket(host, port)
        session = Session(places, Desk(), Shelf(), device=device, data_dir=data_dir)
        session.model(places.models[0], callback)  # what is wrong with it is said here, and the page is quick
    found = place.getsockname()[1]
    door = serve.find_door(host, found)
    address = serve.address_of(host, found, door)

    def when_ready() -> None:
        console.result({"address": address, "port": found, "models": places.models}, address)
        console.note("Ctrl-C ends the page")
        if browser:
            serve.open_browser(address)

    serve.serve(session, place, door, when_ready=when_ready)


def _check_installed() -> None:
    """Raise a MissingError if what serves the page is not installed."""
    from importlib.util import find_spec

    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            hint='pip install "cvae-cli[explore]"',
        )
