"""Downloads over HTTP: resumed, verified, atomic, and by one process at a time."""

import hashlib
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from filelock import FileLock

from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.paths import write_error

_CHUNK = 1 << 18  # bytes
_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 4  # connections


@dataclass(frozen=True, kw_only=True)
class Digest:
    """The expected digest of a file.

    Attributes:
        algorithm: a name that `hashlib` knows.
        hexadecimal: the digest, or only its first digits, as some published file names give them.
    """

    algorithm: str
    hexadecimal: str

    def matches(self, path: Path) -> bool:
        """Whether the file has this digest."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, self.algorithm).hexdigest()
        return digest.startswith(self.hexadecimal)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_offline() -> bool:
    """Whether the user forbids downloads: `HF_HUB_OFFLINE=1`, the variable of the Hub's own tools."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def download_file(
    url: str,
    path: Path,
    *,
    digest: Digest | None = None,
    size: int | None = None,
    callback: Callback = ignore,
) -> Path:
    """Download `url` to `path` unless the file exists, and return `path`.

    When the connection breaks, the bytes received so far stay in `path.part`, and the next call continues from
    there. The file gets its name only when it is complete and verified.

    Args:
        size: bytes.

    Raises:
        MissingError: offline, no such file, or the server cannot be reached.
        CorruptError: the downloaded file has another digest or size; it is deleted.
    """
    if path.exists():
        return path
    if is_offline():
        raise MissingError(
            f"{path.name} is not here and HF_HUB_OFFLINE forbids fetching it", hint=f"it comes from {url}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):
            if not path.exists():  # another process may have downloaded it in the meantime
                _download_verified(url, path, digest, size, callback)
    except OSError as error:
        raise write_error(path, error, hint="CVAE_HOME puts the cache elsewhere") from error
    return path


def _download_verified(url: str, path: Path, digest: Digest | None, size: int | None, callback: Callback) -> None:
    part = path.with_name(path.name + ".part")
    is_resumed = part.exists()
    _receive(url, part, callback)
    problem = _problem(part, digest, size)
    if problem and is_resumed:  # the old part may belong to another version of the file: start again, once
        part.unlink()
        _receive(url, part, callback)
        problem = _problem(part, digest, size)
    if problem:
        part.unlink()
        raise CorruptError(f"{path.name} from {url} {problem}; it was not kept", hint="try again later")
    os.replace(part, path)


def _problem(part: Path, digest: Digest | None, size: int | None) -> str | None:
    """Say what is wrong with a downloaded file; None if nothing is."""
    received = part.stat().st_size
    if size is not None and received != size:
        return f"has {received:,} bytes instead of {size:,}"
    if digest and not digest.matches(part):
        return f"does not have its {digest.algorithm} digest"
    return None


def _receive(url: str, part: Path, callback: Callback) -> None:
    """Append to `part` until it is complete, over at most `_ATTEMPTS` connections."""
    reason = ""
    hint: str | None = "is there a network?"
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(0.5 * 2**attempt)
        try:
            with _open(url, part) as response:
                if _append(response, part, callback):
                    return
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # no bytes after those of `part`: it is complete or wrong, which verification decides
                return
            reason, hint = f"the server answers {error.code} {error.reason}", None
            if error.code < 500:
                break
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", "") or error or "no connection").lower()
            if not attempt and isinstance(error, urllib.error.URLError):  # there is no network: do not retry
                break
    received = part.stat().st_size if part.exists() else 0
    kept = f"; {received:,} bytes are kept, run the command again to continue from there" if received else ""
    raise MissingError(f"cannot fetch {url}: {reason}{kept}", hint=hint)


def _open(url: str, part: Path) -> HTTPResponse:
    """Request the bytes of `url` that `part` does not have yet."""
    headers = {"User-Agent": "cvae-cli"}
    if part.exists() and part.stat().st_size:
        headers["Range"] = f"bytes={part.stat().st_size}-"
    response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    return response


def _append(response: HTTPResponse, part: Path, callback: Callback) -> bool:
    """Append the response's body to `part` and return whether the file is complete."""
    is_partial = response.status == 206  # otherwise the server sends the whole file
    received = part.stat().st_size if is_partial else 0
    total = received + int(response.headers["Content-Length"]) if response.headers["Content-Length"] else None
    with part.open("ab" if is_partial else "wb") as file:
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (HTTPException, OSError):  # of the network; errors of the disk, from `write`, pass
                return False
            if not chunk:
                break
            file.write(chunk)
            received += len(chunk)
            callback(Progress(part.stem, received, total, unit="B"))
    return total is None or received == total
