"""Fetching a file over HTTP: resumed, verified, atomic, and by one process at a time."""

import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from filelock import FileLock

from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.paths import write_error

Report = Callable[[int, int | None], None]
"""Called with the bytes that are here and, where known, the bytes there will be."""

_CHUNK = 1 << 18  # bytes
_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 4


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What a file's content must hash to: a whole hexadecimal digest or, as some names carry it, its beginning."""

    algorithm: str
    hexadecimal: str

    def matches(self, path: Path) -> bool:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, self.algorithm).hexdigest()
        return digest.startswith(self.hexadecimal)


def sha256(path: Path) -> str:
    """The hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def offline() -> bool:
    """Whether the user forbids the network (`HF_HUB_OFFLINE=1`, the variable that the Hub's tools share)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def fetch(
    url: str,
    path: Path,
    *,
    digest: Digest | None = None,
    size: int | None = None,
    callback: Callback = ignore,
) -> Path:
    """Bring `url` to `path` unless it is there, and return `path`.

    What has arrived stays in `path.part` when the connection breaks, and the next call goes on from it. The file
    takes its name only when it is complete and verified.

    Raises:
        MissingError: offline, no such file, or the server cannot be reached.
        CorruptError: what the server gives does not have the digest or the size it must have.
    """
    if path.exists():
        return path
    if offline():
        raise MissingError(
            f"{path.name} is not here and HF_HUB_OFFLINE forbids fetching it", hint=f"it comes from {url}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):
            if not path.exists():  # another process may have fetched it while this one waited
                _fetch_verified(url, path, digest, size, callback)
    except OSError as error:
        raise write_error(path, error, hint="CVAE_HOME puts the cache elsewhere") from error
    return path


def _fetch_verified(url: str, path: Path, digest: Digest | None, size: int | None, callback: Callback) -> None:
    part = path.with_name(path.name + ".part")
    resumed = part.exists()
    _receive(url, part, callback)
    problem = _problem(part, digest, size)
    if problem and resumed:  # the beginning may be of another version of the file: once more, from nothing
        part.unlink()
        _receive(url, part, callback)
        problem = _problem(part, digest, size)
    if problem:
        part.unlink()
        raise CorruptError(f"{path.name} from {url} {problem}; it was not kept", hint="try again later")
    os.replace(part, path)


def _problem(part: Path, digest: Digest | None, size: int | None) -> str | None:
    here = part.stat().st_size
    if size is not None and here != size:
        return f"has {here:,} bytes instead of {size:,}"
    if digest and not digest.matches(part):
        return f"does not have its {digest.algorithm} digest"
    return None


def _receive(url: str, part: Path, callback: Callback) -> None:
    """Append to `part` until it is complete, over as many connections as it takes (at most `_ATTEMPTS`)."""
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
            if error.code == 416:  # we already have every byte, or nonsense: verification will tell
                return
            reason, hint = f"the server answers {error.code} {error.reason}", None
            if error.code < 500:
                break
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", "") or error or "no connection").lower()
            if not attempt and isinstance(error, urllib.error.URLError):  # there is no network to wait for
                break
    here = part.stat().st_size if part.exists() else 0
    kept = f"; {here:,} bytes are kept, run the command again to go on from there" if here else ""
    raise MissingError(f"cannot fetch {url}: {reason}{kept}", hint=hint)


def _open(url: str, part: Path) -> HTTPResponse:
    headers = {"User-Agent": "cvae-cli"}
    if part.exists() and part.stat().st_size:
        headers["Range"] = f"bytes={part.stat().st_size}-"
    response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    return response


def _append(response: HTTPResponse, part: Path, callback: Callback) -> bool:
    """Write the response's body behind what is there; whether all of it came."""
    goes_on = response.status == 206
    here = part.stat().st_size if goes_on else 0
    total = here + int(response.headers["Content-Length"]) if response.headers["Content-Length"] else None
    with part.open("ab" if goes_on else "wb") as file:
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (HTTPException, OSError):  # the network's; what `write` raises is the disk's
                return False
            if not chunk:
                break
            file.write(chunk)
            here += len(chunk)
            callback(Progress(part.stem, here, total, unit="B"))
    return total is None or here == total
