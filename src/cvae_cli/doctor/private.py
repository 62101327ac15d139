"""Take out of a report what is nobody's business."""

import os
import re
from pathlib import Path
from typing import Any

from cvae_cli.errors import without_keys


class Hider:
    """Shortens the home folder to `~`, and takes logins and signatures out of addresses, in all texts of a value."""

    def __init__(self) -> None:
        try:
            homes = {str(Path.home()), os.path.realpath(Path.home())}
        except RuntimeError:  # this user has none
            homes = set()
        self._homes = sorted(homes - {os.sep}, key=len, reverse=True)

    def __call__(self, value: Any) -> Any:
        """Return the value without them."""
        if isinstance(value, dict):
            return {key: self(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self(each) for each in value]
        if not isinstance(value, str | Path):
            return value
        text = str(value)
        for home in self._homes:
            text = re.sub(re.escape(home) + r"(?=[/\\:;,\s]|$)", "~", text)
        return without_keys(text)
