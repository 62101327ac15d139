"""The shelf: pictures that are on the page now, as files, for the same functions that read a user's files."""

import hashlib
import os
import re
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from cvae_cli.errors import MissingError

MAX_UPLOAD = 16 << 20
"""Bytes of a picture that may be dropped onto the page."""
_MAX_BYTES = 128 << 20  # on the shelf; the ones that were not used for longest make room
_MAX_PICTURES = 2000


@dataclass(frozen=True)
class Kept:
    """A picture on the shelf.

    Attributes:
        name: of the file that a user would save it under.
        prompt: what it shows, if that is known.
    """

    path: Path
    name: str
    prompt: str | None
    size: int


class Shelf:
    """Pictures in a folder that is removed at the end. Equal pictures are kept once, and old ones make room."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cvae-explore-", ignore_cleanup_errors=True)
        self._place = re.compile(re.escape(self._folder.name + os.sep) + "([0-9a-f]{16})")
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = 0

    def put(self, content: bytes, name: str, *, prompt: str | None = None) -> str:
        """Keep a picture, and return its key.

        Args:
            name: of its file, for messages and commands; nothing is opened by it.
            prompt: what it shows, if that is known.
        """
        key = hashlib.sha256(b"\0".join([name.encode(), (prompt or "").encode(), content])).hexdigest()[:16]
        if key not in self._kept:
            path = Path(self._folder.name) / key
            path.write_bytes(content)
            self._kept[key] = Kept(path, name, prompt, len(content))
            self._bytes += len(content)
            while self._bytes > _MAX_BYTES or len(self._kept) > _MAX_PICTURES:
                self._drop_oldest()
        self._kept.move_to_end(key)
        return key

    def get(self, key: str) -> Kept:
        """Return a picture.

        Raises:
            MissingError: it has made room for others.
        """
        if key not in self._kept:
            raise MissingError("this picture is no longer on the page", hint="choose it again")
        self._kept.move_to_end(key)
        return self._kept[key]

    def named(self, text: str) -> str:
        """Return a message with the names of pictures in place of their files on the shelf."""
        for key in {match[1] for match in self._place.finditer(text)} & self._kept.keys():
            text = text.replace(str(self._kept[key].path), self._kept[key].name)
        return text

    def close(self) -> None:
        """Remove all pictures."""
        self._folder.cleanup()

    def _drop_oldest(self) -> None:
        _, old = self._kept.popitem(last=False)
        self._bytes -= old.size
        old.path.unlink(missing_ok=True)
