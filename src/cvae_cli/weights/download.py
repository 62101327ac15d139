"""Downloads over HTTP: resumed, verified, atomic, and by one process at a time."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.paths import write_error
from cvae_cli.weights.transfer import Transfer

ONCE_HINT = "run this once with a network, or copy the cache of a machine that has it"

_CACHE_HINT = "CVAE_HOME puts the cache elsewhere"


@dataclass(frozen=True, kw_only=True)
class Digest:
    """The expected digest of a file.

    Attributes:
        algorithm: a name that `hashlib` knows, or `git` for what git calls a file by: its length goes before it.
        hexadecimal: the digest, or only its first digits, as some published file names give them.
    """

    algorithm: str
    hexadecimal: str

    def matches(self, path: Path) -> bool:
        """Whether the file has this digest."""
        with path.open("rb") as file:
            if self.algorithm == "git":
                start = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
                digest = hashlib.file_digest(file, start.copy).hexdigest()
            else:
                digest = hashlib.file_digest(file, self.algorithm).hexdigest()
        return digest.startswith(self.hexadecimal)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_offline() -> bool:
    """Whether the user forbids all requests: `CVAE_OFFLINE=1`, or the variable of the Hub's own tools."""
    return bool(forbidden_by())


def forbidden_by() -> str | None:
    """Return the name of the variable that forbids all requests, if one does."""
    names = ("CVAE_OFFLINE", "HF_HUB_OFFLINE")
    return next((name for name in names if os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}), None)


def download_file(
    url: str,
    path: Path,
    *,
    digest: Digest | None = None,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
    name: str | None = None,
    hint: str = _CACHE_HINT,
    callback: Callback = ignore,
) -> Path:
    """Download `url` to `path` unless the file exists, and return `path`.

    When the connection breaks, or brings next to nothing for `patience.time_out()`, the bytes received so far stay in
    `path.part`, and the next call continues from there. The file gets its name only when it is complete and verified.

    Args:
        size: bytes. Of a larger file no more is read.
        headers: of the request to this server, such as an authorization; a redirect to another one does not get them.
        name: the name of the file for people; by default that of `path`.
        hint: what to do when `path` cannot be written.

    Raises:
        MissingError: offline, no such file, or the server cannot be reached.
        CorruptError: the downloaded file has another digest or size; it is deleted.
    """
    if path.exists():
        return path
    name = name or path.name
    if is_offline():
        raise MissingError(
            f"{name} is not on this machine, and {forbidden_by()} forbids downloading it",
            hint=f"it comes from {url}\n{ONCE_HINT}",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path, name, callback):
            if not path.exists():  # another process may have downloaded it in the meantime
                part = path.with_name(path.name + ".part")
                transfer = Transfer(url, part, name=name, size=size, headers=dict(headers or {}), callback=callback)
                _download_verified(transfer, digest)
                os.replace(part, path)
    except OSError as error:
        raise write_error(path, error, hint=hint) from error
    return path


@contextlib.contextmanager
def _lock(path: Path, name: str, callback: Callback) -> Iterator[None]:
    """Hold the lock of a download; say so if another process has it."""
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=1)
    except Timeout:
        callback(Notice(f"another process is downloading {name}: waiting for it"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download_verified(transfer: Transfer, digest: Digest | None) -> None:
    """Receive a file and verify it."""
    part = transfer.part
    has_old = part.exists()
    problem = _receive(transfer, digest)
    if problem and has_old:  # the old part may belong to another version of the file: start again, once
        part.unlink(missing_ok=True)
        problem = _receive(transfer, digest)
    if problem:
        part.unlink(missing_ok=True)
        host = urlsplit(transfer.url).netloc
        raise CorruptError(f"{transfer.name} from {host} {problem}; it was not kept", hint="try again later")


def _receive(transfer: Transfer, digest: Digest | None) -> str | None:
    """Receive the rest of a file. Return what is wrong with it; None if nothing is."""
    problem = None
    for _ in range(3):
        problem = transfer.run()
        if problem or digest is None or digest.matches(transfer.part):
            return problem
        problem = f"does not have its {digest.algorithm} digest"
        if transfer.has_known_end:
            break
        # a cut of a body without a length looks like its end: ask for more
    return problem
