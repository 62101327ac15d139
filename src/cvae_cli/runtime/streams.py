"""Standard streams that may be closed, full, or left by their reader.

A process may start without stdin, stdout or stderr (cron, daemons). The next file that it opens then gets the free
number, and whatever is written to the missing stream goes into that file.
"""

import io
import os
import select
import sys
from typing import Any, TextIO

from cvae_cli.errors import ReaderLeftError

_NAMES = ("stdin", "stdout", "stderr")
_closed: set[str] = set()
_outputs: list["_Output"] = []


def make_usable() -> None:
    """Open what is closed, and make the loss of a reader or of the terminal an orderly end. Call this first.

    What goes to a closed stdout or stderr is dropped; reading from a closed stdin is an error. A reader of either that
    has left is a ReaderLeftError. Otherwise writing to stderr raises no error.
    """
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            _closed.add(name)
            setattr(sys, name, _open_nothing(number))
    for name in _NAMES[1:]:
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            output = _Output(stream, name)
            _outputs.append(output)
            setattr(sys, name, output.as_text())


def is_closed(name: str) -> bool:
    """Whether `stdin`, `stdout` or `stderr` was closed when the process started."""
    return name in _closed


def finish() -> None:
    """Drop what Python would still write to a stream that has failed, with an error of its own. Call this last."""
    for output in _outputs:
        if output.has_failed:
            output.drop()


def _open_nothing(number: int) -> TextIO:
    """Open the null device in place of a standard stream, for this process and the ones that it starts."""
    # Stdin is opened for writing: then reading is an error, and does not look like an empty file.
    flags = os.O_WRONLY if number == 0 else os.O_RDWR
    if not _is_open(number):
        opened = os.open(os.devnull, flags)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)
        return open(number, "w" if number else "r", encoding="utf-8", closefd=False)
    # Something else was opened under this number. It is left alone.
    return open(os.open(os.devnull, flags), "w" if number else "r", encoding="utf-8")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class _Output(io.RawIOBase):
    """What is below stdout or stderr, and says when nobody reads it any more."""

    def __init__(self, stream: io.TextIOWrapper, name: str) -> None:
        self._stream, self._name = stream, name  # the stream would close its file if nothing held it
        self._raw: Any = getattr(stream.buffer, "raw", stream.buffer)
        self._is_dropped = False
        self.has_failed = False

    def as_text(self) -> io.TextIOWrapper:
        """Return a text stream that writes here."""
        self._stream.flush()
        return io.TextIOWrapper(
            io.BufferedWriter(self),
            encoding=self._stream.encoding,
            errors="backslashreplace",  # a file name may contain bytes that are not text
            line_buffering=self._stream.line_buffering,
        )

    def write(self, data: Any) -> int:
        """Write bytes and return their number."""
        if self._is_dropped:
            return len(data)
        try:
            while (written := self._raw.write(data)) is None:  # another process has made the pipe non-blocking
                select.select([], [self._raw], [])
            return int(written)
        except BrokenPipeError:
            self.has_failed = True
            raise ReaderLeftError(f"the reader of {self._name} has left") from None
        except OSError as error:
            self.has_failed = True
            if self._name == "stderr":  # a terminal that was closed, or a full disk: there is nobody to tell
                return len(data)
            raise OSError(error.errno, error.strerror, self._name) from None

    def drop(self) -> None:
        """Drop what is written from now on."""
        self._is_dropped = True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        return bool(self._raw.isatty())
