"""Building a file in the cache: one at a time, in enough space, and flushed to the disk."""

import os
import threading
from collections import namedtuple
from pathlib import Path

import pytest
from filelock import FileLock
from helpers import Listener

from cvae_cli.data.building import append, exclusive, require_space
from cvae_cli.errors import UsageError


def test_whoever_comes_second_says_so_and_waits(tmp_path: Path) -> None:
    said, entered = threading.Event(), threading.Event()

    def build() -> None:
        with exclusive(tmp_path / "new" / "it", "making it", lambda event: (listener(event), said.set())):
            entered.set()

    listener, second = Listener(), threading.Thread(target=build)
    with exclusive(tmp_path / "new" / "it", "making it", listener):
        assert listener.notices == []
        with pytest.raises(TimeoutError):
            FileLock(tmp_path / "new" / "it.lock").acquire(timeout=0)  # as `cvae cache clear` looks whether it is used
        second.start()
        assert said.wait(30)
        assert not entered.wait(0.2)
    second.join(60)
    assert entered.is_set()
    assert listener.notices == ["another process is making it; waiting for it"]


def test_what_is_needed_must_be_free_with_a_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (Path("not/there/yet"), tmp_path / "nor" / "this"):
        require_space(folder, 1, "a file")
    for free, enough in ((10_220_000_000, True), (10_219_999_999, False)):  # 2% and 20 MB more than 10 GB
        usage = namedtuple("Usage", "free")(free)
        monkeypatch.setattr("shutil.disk_usage", lambda path, usage=usage: usage)
        if enough:
            require_space(tmp_path, 10_000_000_000, "a file")
        else:
            with pytest.raises(UsageError, match=r"a file needs 10 GB in .*, 1 B more than are free there"):
                require_space(tmp_path, 10_000_000_000, "a file")


def test_what_is_appended_is_written_before_the_disk_is_asked_to_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, kept = tmp_path / "file", []
    monkeypatch.setattr(os, "fsync", lambda file: kept.append(os.fstat(file).st_size))
    append(path, b"abcdef", at=0)
    append(path, b"XY", at=3)
    assert kept == [6, 5]
    assert path.read_bytes() == b"abcXY"
