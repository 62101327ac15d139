"""One file over HTTP, in as many connections as it takes."""

import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from cvae_cli.errors import MissingError
from cvae_cli.events import Callback, Notice, Progress
from cvae_cli.weights.patience import NETWORK_HINT, PATIENCE_HINT, patiently, time_out, without_number

_CHUNK = 1 << 18  # bytes
_ATTEMPTS = 4  # connections in a row that bring less than a chunk
_SILENT_ATTEMPTS = 2  # of those that end in a time-out
_BUSY = {408, 425, 429, 500, 502, 503, 504}  # statuses after which it is worth trying again
_LONGEST_WAIT = 60.0  # seconds that a server may ask to wait


class _Trouble(Exception):
    """A connection that did not bring the rest of the file.

    Attributes:
        is_final: whether another connection is in vain.
        wait: seconds to wait before the next one, if the server has said so.
        hint: what the user may do.
    """

    def __init__(self, reason: str, *, is_final: bool = False, wait: float | None = None, hint: str | None = None):
        super().__init__(reason)
        self.is_final, self.wait, self.hint = is_final, wait, hint


@dataclass(frozen=True)
class _Answer:
    """The beginning of a response: its status, the bytes of its body, and which part of the file that is."""

    status: int
    length: int | None  # None: it says nothing, or nonsense
    content_range: str


@dataclass
class Transfer:
    """The transfer of a file to `part`, which keeps every byte that arrives.

    Attributes:
        name: the name of the file for people.
        size: its size in bytes, if that is known beforehand.
        headers: of the request to this server only, not of one that it redirects to.
        has_known_end: whether the last response said how long its body is, or `size` does.
    """

    url: str
    part: Path
    name: str
    size: int | None
    headers: dict[str, str]
    callback: Callback
    has_known_end: bool = True
    _is_reached: bool = False

    @property
    def received(self) -> int:
        """Bytes that are here."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def _server(self) -> str:
        return urlsplit(self.url).hostname or self.url

    def run(self) -> str | None:
        """Receive what is missing.

        Returns:
            What is wrong with the file of the server; None if it has the expected size, or none is expected.

        Raises:
            MissingError: the server cannot be reached, does not have the file, or stops sending.
        """
        tries = silent = 0
        while True:
            before = self.received
            try:
                return self._connect()
            except _Trouble as caught:
                trouble = caught
            except TimeoutError as error:
                trouble = _Trouble(str(error), is_final=not self._is_reached, hint=PATIENCE_HINT)
                silent += 1
            has_gained = self.received - before >= _CHUNK
            tries = 1 if has_gained else tries + 1
            silent = 0 if has_gained else silent
            if trouble.is_final or tries >= _ATTEMPTS or silent >= _SILENT_ATTEMPTS:
                raise self._give_up(trouble)
            if trouble.wait is not None:
                self.callback(Notice(f"{self._server} asks to wait for {trouble.wait:.0f} seconds"))
                time.sleep(trouble.wait)
            elif not has_gained:
                time.sleep(2.0 ** (tries - 1))

    def _give_up(self, trouble: _Trouble) -> MissingError:
        kept = f"; {self.received:,} bytes are kept, run the command again to continue from there"
        return MissingError(
            f"cannot download {self.url}: {trouble}{kept if self.received else ''}",
            hint=trouble.hint,
        )

    def _connect(self) -> str | None:
        """Receive what one connection brings; see `run`."""
        if self.size is not None and self.part.exists() and self.received >= self.size:
            return self._wrong_size(self.received)
        talk = patiently(self._talk(self.received), server=self._server, callback=self.callback)
        try:
            answer = next(talk)
            assert isinstance(answer, _Answer)
            self._is_reached = True
            return self._receive(answer, talk)
        except urllib.error.HTTPError as error:
            self._is_reached = True
            if error.code == 416:
                return self._no_more(error)
            raise _refusal(error) from error
        finally:
            talk.close()

    def _talk(self, start: int) -> Generator[_Answer | bytes, None, None]:
        """Yield the answer to a request of the bytes from `start` on, then its body as it arrives."""
        request = urllib.request.Request(self.url, headers={"User-Agent": "cvae-cli"})  # noqa: S310, the opener knows HTTP only
        if start:
            request.add_header("Range", f"bytes={start}-")
        for header, value in self.headers.items():
            request.add_unredirected_header(header, value)
        try:
            with _opener().open(request, timeout=time_out() + 5) as response:  # `patiently` gives up before
                yield _Answer(response.status, response.length, response.headers.get("Content-Range", ""))
                while chunk := response.read1(_CHUNK):
                    yield chunk
        except urllib.error.HTTPError as error:
            error.close()
            raise
        except urllib.error.URLError as error:
            reason = without_number(str(error.reason or "no connection")).lower()
            raise _Trouble(reason, is_final=not self._is_reached, hint=NETWORK_HINT) from error
        except (HTTPException, OSError, ValueError) as error:
            raise _Trouble("the connection broke off") from error

    def _receive(self, answer: _Answer, body: Iterator[_Answer | bytes]) -> str | None:
        """Write the body of a response behind the bytes that it continues."""
        start = _first_byte(answer) if answer.status == 206 else 0
        if start > self.received:
            raise _Trouble(f"the server sends bytes from {start:,} on instead of {self.received:,}", is_final=True)
        end = None if answer.length is None else start + answer.length
        if self.size is not None and end is not None and end != self.size:
            return self._wrong_size(end)
        self.has_known_end = end is not None or self.size is not None
        end = self.size if end is None else end
        with self.part.open("r+b" if self.part.exists() else "wb") as file:
            file.seek(start)
            file.truncate()
            for chunk in body:
                assert isinstance(chunk, bytes)
                start += file.write(chunk)
                file.flush()
                self.callback(Progress(self.name, start, end, unit="B"))
                if self.size is not None and start > self.size:
                    return f"has more than {self.size:,} bytes"
        if end is not None and start < end:
            raise _Trouble("the connection broke off")
        return None

    def _no_more(self, error: urllib.error.HTTPError) -> str | None:
        """Judge the answer that the file has no bytes after those that are here."""
        if not self.received:
            raise _Trouble(f"the server answers {error.code} {error.reason}", is_final=True)
        self.has_known_end = True
        whole = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if whole == str(self.received) or (not whole.isdecimal() and self.size is not None):
            return self._wrong_size(self.received)
        return f"has {whole if whole.isdecimal() else 'other'} bytes instead of {self.received:,}"

    def _wrong_size(self, size: int) -> str | None:
        return f"has {size:,} bytes instead of {self.size:,}" if self.size not in {None, size} else None


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for HTTP alone, also where a server redirects elsewhere."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _first_byte(answer: _Answer) -> int:
    """Return the number of the first byte of a partial body."""
    first = answer.content_range.removeprefix("bytes ").partition("-")[0].strip()
    if not first.isdecimal():
        raise _Trouble("the server answers 206 without saying which part of the file it sends", is_final=True)
    return int(first)


def _refusal(error: urllib.error.HTTPError) -> _Trouble:
    """Return the trouble that an error status means."""
    reason = f"the server answers {error.code} {error.reason}".rstrip()
    wait = _asked_wait(error.headers.get("Retry-After"))
    if error.code in _BUSY and wait is not None and wait > _LONGEST_WAIT:
        return _Trouble(f"{reason}, and asks to wait for {wait:,.0f} seconds", is_final=True)
    return _Trouble(reason, is_final=error.code not in _BUSY, wait=wait)


def _asked_wait(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for: a number, or a date."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
