"""Where the picture of a command goes: a file, a folder, or stdout."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvae_cli import console
from cvae_cli.errors import UsageError
from cvae_cli.paths import check_writable, write_bytes, write_new
from cvae_cli.pictures.files import ENDINGS, check_ending, encode_picture

if TYPE_CHECKING:
    from PIL import Image

OUTPUT = f"Picture file ({' '.join(ENDINGS)}), DIR/ for a default name in a folder, or - for PNG bytes on stdout."
"""The help of `-o`."""
STDOUT = "-"


class Output:
    """The place that `-o` names for one picture.

    Args:
        option: a file, whose ending says the format; `DIR/`, for a file of a default name in this folder; `-` for PNG
            bytes on stdout; or None for a file of a default name in the current folder.
        force: whether bytes may be written to a terminal.
        json: whether the result is written to stdout as JSON.
        check: raises a UsageError for a file's name of a kind that cannot be written.

    Attributes:
        has_name: whether the user has given the file's name.

    Raises:
        UsageError: nothing can be written there.
    """

    def __init__(
        self,
        option: str | None,
        *,
        force: bool = False,
        json: bool = False,
        check: Callable[[Path], None] = check_ending,
    ) -> None:
        self.is_stdout = option == STDOUT
        self._path = Path(option or ".")
        is_folder = option is None or option.endswith((os.sep, os.altsep or os.sep))
        self.has_name = not (is_folder or self.is_stdout)
        if self.is_stdout:
            if json:
                raise UsageError(
                    "give either -o - or --json: both write to stdout", hint="name a file:  -o picture.png"
                )
            console.check_stdout()
            if sys.stdout.isatty() and not force:
                raise UsageError(
                    "a picture's bytes would garble the terminal",
                    hint="name a file:  -o picture.png\nor send them to a program:  -o - | display\nor add --force",
                )
        else:
            if self.has_name and os.path.isdir(self._path):
                raise UsageError(
                    f"cannot write {option}: it is a folder", hint=f"a file of a default name in it:  -o {option}/"
                )
            check_writable(self._path, folder=is_folder)
            if self.has_name:
                check(self._path)

    def write(self, picture: "Image.Image", text: dict[str, Any], *, stem: str) -> Path | None:
        """Write the picture with a text inside, and return the path of its file, if it has one.

        Args:
            stem: the default name, without its ending.
        """
        return self.write_encoded(lambda path: encode_picture(picture, path, text), stem=stem)

    def write_encoded(self, encode: Callable[[Path], bytes], *, stem: str) -> Path | None:
        """Write what `encode` makes for the ending of a file's name, and return the path of its file, if it has one."""
        if self.is_stdout:
            console.result_bytes(encode(Path("stdout.png")))
            return None
        if self.has_name:
            write_bytes(self._path, encode(self._path))
            return self._path
        path = self._path / f"{stem}.png"
        return write_new(path, encode(path))


def check_folder(option: str | None, *, because: str) -> Path:
    """Return the folder that `-o` names.

    Args:
        because: the option for which it must be a folder.

    Raises:
        UsageError: it names none, or nothing can be written there.
    """
    if option in {None, STDOUT}:
        raise UsageError(f"{because} needs a folder:  -o DIR")
    folder = Path(str(option))
    if folder.suffix.lower() in ENDINGS and not os.path.isdir(folder):
        raise UsageError(
            f"{folder} names a picture, and {because} needs a folder",
            hint=f"give a folder:  -o {folder.with_suffix('')}",
        )
    check_writable(folder, folder=True)
    return folder
