"""A local web server that simulates the faults of real servers and the parts of the Hugging Face Hub in use."""

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import unquote, urlsplit

L = TypeVar("L", bound="Loopback")

COMMIT = "c0ffee" + 34 * "0"

DEAD = "http://127.0.0.1:1"
"""An address without a server: only root may listen on this port."""


@dataclass(frozen=True)
class Cut:
    """A response that breaks off after `after` bytes of its body: the connection is closed, or reset."""

    after: int
    reset: bool = False


@dataclass(frozen=True)
class Drip:
    """A response of which, after `after` bytes, only a byte comes now and then; or none, without `pause`."""

    after: int
    pause: float | None = None


@dataclass(frozen=True)
class Refusal:
    """An error status with headers."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


SILENCE = Drip(-1)
"""No answer, not even a status line."""


@dataclass(kw_only=True)
class Page:
    """The response at an address.

    Attributes:
        ranges: whether `Range` requests are supported.
        sized: whether `Content-Length` is sent; without it the body is sent in chunks, or until the connection ends.
        length: what `Content-Length` says instead of the truth.
        chunked: whether a body without a length is sent in chunks.
        troubles: faults of the first GET requests, one each.
        always: a fault of every request, HEAD too.
        gate: if given, the second half of the body is sent after this event is set.
    """

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    sized: bool = True
    length: str | None = None
    chunked: bool = True
    troubles: list[int | Cut | Drip | Refusal] = field(default_factory=list)
    always: Drip | None = None
    gate: threading.Event | None = None


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None


def git_oid(body: bytes) -> str:
    """Return the name that git gives a file with this content, as the Hub does for small files."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


class Loopback(ThreadingHTTPServer):
    """A server that returns `pages`, answers everything else with 404, and records `requests`."""

    def __init__(self, handler: "type[Handler] | None" = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.pages: dict[str, Page] = {}
        self.repositories: set[str] = set()
        self.requests: list[Request] = []
        self.ended = threading.Event()

    def serve(self, path: str, page: Page) -> str:
        """Serve a page at a path, and return its address."""
        self.pages[path] = page
        return self.url + path

    def serve_repository(self, name: str, files: dict[str, bytes], *, commit: str = COMMIT) -> None:
        """Serve this model repository as the Hub does, with `main` at `commit`."""
        self.repositories.add(name)
        oids = {file: git_oid(body) for file, body in files.items()}
        about = {"id": name, "sha": commit, "siblings": [{"rfilename": file} for file in files]}
        tree = [{"type": "file", "path": file, "size": len(files[file]), "oid": oids[file]} for file in files]
        for revision in ("main", commit):
            self.serve(f"/api/models/{name}/revision/{revision}", Page(body=json.dumps(about).encode()))
            self.serve(f"/api/models/{name}/tree/{revision}", Page(body=json.dumps(tree).encode()))
            for file, body in files.items():
                headers = {"ETag": f'"{oids[file]}"', "X-Repo-Commit": commit}
                self.serve(f"/{name}/resolve/{revision}/{file}", Page(body=body, headers=headers))

    def asked(self, path: str) -> list[str | None]:
        """Return the ranges of the GET requests for a path, in order; None for a request of the whole file."""
        return [request.range for request in self.requests if request.method == "GET" and request.path == path]

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        self.close_request(request)  # without the shutdown of the base class, which would precede a reset


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Run a server until the block ends."""
    with running(Loopback()) as server:
        yield server


@contextmanager
def running(made: L) -> Iterator[L]:
    """Run this server until the block ends."""
    with made as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            for page in server.pages.values():
                if page.gate:
                    page.gate.set()
            server.ended.set()
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    server: Loopback
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        wanted = self.headers["Range"]
        self.server.requests.append(Request(self.command, path, wanted))
        page = self.server.pages.get(path)
        if page is None:
            known = any(f"/{name}/" in path for name in self.server.repositories)
            missing = "Revision" if path.startswith("/api/") else "Entry"
            return self._begin(404, {"X-Error-Code": f"{missing}NotFound" if known else "RepoNotFound"}, 0)
        trouble = page.troubles.pop(0) if page.troubles and self.command == "GET" else page.always
        if isinstance(trouble, int):
            return self._begin(trouble, {}, 0)
        if isinstance(trouble, Refusal):
            return self._begin(trouble.status, trouble.headers, 0)
        if trouble == SILENCE:
            self.server.ended.wait(60)
            return None
        body = page.body
        headers = page.headers | ({"Accept-Ranges": "bytes"} if page.ranges else {})
        partial = re.fullmatch(r"bytes=(\d+)-", wanted or "") if page.ranges else None
        if partial:
            start = int(partial[1])
            if start >= len(body):
                return self._begin(416, {"Content-Range": f"bytes */{len(body)}"}, 0)
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body = body[start:]
        length = page.length or (len(body) if page.sized else None)
        self._begin(206 if partial else 200, headers, length, chunked=page.chunked)
        if self.command == "GET":
            self._send(body, page, trouble)
        return None

    def _begin(self, status: int, headers: dict[str, str], length: int | str | None, *, chunked: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is None:
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def _send(self, body: bytes, page: Page, cut: Cut | Drip | None) -> None:
        sent = body[: cut.after] if cut else body
        if not page.sized and page.chunked:
            whole = f"{len(body):x}\r\n".encode() + sent
            sent = whole if cut else whole + b"\r\n0\r\n\r\n"
        middle = len(sent) // 2 if page.gate else 0
        try:
            self.wfile.write(sent[:middle])
            if page.gate:
                page.gate.wait(60)
            self.wfile.write(sent[middle:])
            if isinstance(cut, Drip):
                self._drip(body[cut.after :], cut.pause)
        except ConnectionError:  # the client has closed the connection
            return
        if isinstance(cut, Cut) and cut.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _drip(self, rest: bytes, pause: float | None) -> None:
        """Send the rest a byte at a time, or wait until the client or the server ends."""
        for index in range(len(rest)):
            if self.server.ended.wait(pause or 60):
                return
            self.wfile.write(rest[index : index + 1])

    def log_message(self, *arguments: object) -> None:
        pass
