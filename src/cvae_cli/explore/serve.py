"""Serve the page until Ctrl-C."""

import asyncio
import errno
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from cvae_cli.errors import UsageError
from cvae_cli.explore.app import make_app
from cvae_cli.explore.door import Door
from cvae_cli.explore.session import Session
from cvae_cli.runtime.interrupt import deferred_interrupt, leave_threads

LOOPBACK = "127.0.0.1"


def open_socket(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes any that is free.

    Raises:
        UsageError: it is in use, or this machine has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        place = socket.socket(family, kind, protocol)
        if os.name == "posix":  # a port that was left a moment ago is free; elsewhere the option means something else
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
        place.listen()
    except socket.gaierror as error:
        raise UsageError(f"no address {host!r}", hint="--host 0.0.0.0 is every address of this machine") from error
    except OSError as error:
        raise _no_port(host, port, error) from error
    return place


def _no_port(host: str, port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        hint = "take another one:  --port 0 takes any that is free"
        return UsageError(f"port {port} is in use, perhaps by another cvae explore", hint=hint)
    if error.errno == errno.EACCES:
        return UsageError(f"port {port} is for administrators", hint="take one from 1024:  --port 8765")
    return UsageError(f"cannot serve on {host}, port {port}: {(error.strerror or str(error)).lower()}")


def find_door(host: str, port: int) -> Door:
    """Return the door for an address: others than this machine need a token."""
    return Door.on_this_machine(port) if host in {LOOPBACK, "localhost", "::1"} else Door.for_others(port)


def address_of(host: str, port: int, door: Door) -> str:
    """Return what to type into a browser."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={door.token}" if door.token else "")


def open_browser(address: str) -> None:
    """Open the page in the user's browser, if there is a screen; a browser for terminals would take the terminal."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()


def serve(session: Session, place: socket.socket, door: Door, *, when_ready: Callable[[], None]) -> None:
    """Serve the page until a signal ends it.

    Raises:
        KeyboardInterrupt: always, at the end: there is no other.
    """
    settings = uvicorn.Config(
        make_app(session, door),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=0,
    )
    with deferred_interrupt() as is_stopped:
        try:
            asyncio.run(_Server(settings, is_stopped, when_ready).serve([place]))
        finally:
            session.desk.close()
            session.shelf.close()
            leave_threads()  # and leave torch as it is: to take it apart takes a second
    raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """A server that every signal ends at once."""

    def __init__(self, config: uvicorn.Config, is_stopped: Callable[[], bool], when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._is_stopped, self._when_ready = is_stopped, when_ready

    async def on_tick(self, counter: int) -> bool:
        if counter == 0:
            self._when_ready()
        self.force_exit = await super().on_tick(counter) or self._is_stopped()
        return self.force_exit
