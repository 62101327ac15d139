"""Silence of the Hub's client: this package says itself what is loaded, waited for, and wrong."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


class _QuietClient:
    """Keeps the Hub's client from showing bars and remarks of its own while it works.

    Enter it in the thread that does the work: the client may try again long after nobody waits for it any more. The
    settings of before return when the last of the works has ended.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works = 0
        self._settings = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._works:
                self._settings.enter_context(_silence())
            self._works += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._works -= 1
            if not self._works:
                self._settings.close()


quiet_client = _QuietClient()


@contextmanager
def _silence() -> Iterator[None]:
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        logging,
    )

    verbosity, had_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()
