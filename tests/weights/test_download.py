"""Downloads over HTTP from a server that simulates the faults of real servers."""

import errno
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import DEAD, Cut, Loopback, Page, loopback

from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.weights.download import Digest, download_file

BODY = random.Random(0).randbytes(1_000_000)
DIGEST = Digest(algorithm="sha256", hexadecimal=hashlib.sha256(BODY).hexdigest())
FETCH = "import sys, pathlib; from cvae_cli.weights.download import download_file; print('go', flush=True); "
FETCH += "download_file(sys.argv[1], pathlib.Path(sys.argv[2]))"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with loopback() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The destination of the file, in a folder that does not exist yet."""
    return tmp_path / "new" / "folder" / "file.bin"


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def leave_part(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(content)


def left(path: Path) -> set[str]:
    """Return the files in the folder, without the lock."""
    return {each.name for each in path.parent.iterdir()} - {path.name + ".lock"}


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_fetch_writes_the_whole_file_and_reports_its_bytes(server: Loopback, path: Path) -> None:
    reports: list[tuple[int, int | None]] = []
    fetched = download_file(
        server.serve("/file", Page(body=BODY)),
        path,
        digest=DIGEST,
        size=len(BODY),
        callback=lambda event: reports.append((event.done, event.total)),
    )
    assert fetched == path
    assert path.read_bytes() == BODY
    assert left(path) == {"file.bin"}
    assert reports == sorted(reports)
    assert len(reports) > 1
    assert reports[-1] == (len(BODY), len(BODY))


def test_the_beginning_of_a_digest_will_do(server: Loopback, path: Path) -> None:
    url = server.serve("/file", Page(body=BODY))
    download_file(url, path, digest=Digest(algorithm="sha256", hexadecimal=DIGEST.hexadecimal[:8]))
    assert path.read_bytes() == BODY


def test_a_body_of_unknown_length_is_fetched(server: Loopback, path: Path) -> None:
    reports: list[tuple[int, int | None]] = []
    url = server.serve("/file", Page(body=BODY, sized=False))
    download_file(url, path, callback=lambda event: reports.append((event.done, event.total)))
    assert path.read_bytes() == BODY
    assert reports[-1] == (len(BODY), None)


def test_a_broken_connection_is_resumed(server: Loopback, path: Path) -> None:
    reports: list[tuple[int, int | None]] = []
    url = server.serve("/file", Page(body=BODY, troubles=[Cut(300_000)]))
    download_file(url, path, digest=DIGEST, callback=lambda event: reports.append((event.done, event.total)))
    assert path.read_bytes() == BODY
    assert server.asked("/file") == [None, "bytes=300000-"]
    assert reports[-1] == (len(BODY), len(BODY))


@pytest.mark.parametrize("page", [
    Page(body=BODY, troubles=[Cut(300_000, reset=True)]),
    Page(body=BODY, troubles=[Cut(300_000)], ranges=False),
    Page(body=BODY, troubles=[Cut(300_000)], sized=False),
    Page(body=BODY, troubles=[503]),
], ids=["reset", "no-ranges", "unknown-length", "busy"])  # fmt: skip
def test_other_troubles_of_a_connection_cost_a_second_request(server: Loopback, path: Path, page: Page) -> None:
    download_file(server.serve("/file", page), path)
    assert path.read_bytes() == BODY
    assert len(server.asked("/file")) == 2


def test_what_a_killed_process_had_is_kept_and_resumed(server: Loopback, path: Path) -> None:
    page = Page(body=BODY, gate=threading.Event())
    url = server.serve("/file", page)
    with subprocess.Popen([sys.executable, "-c", FETCH, url, str(path)], stdout=subprocess.PIPE) as process:
        wait_until(lambda: part_of(path).exists() and part_of(path).stat().st_size > 0)
        process.kill()
    kept = part_of(path).stat().st_size
    page.gate = None
    download_file(url, path, digest=DIGEST)
    assert path.read_bytes() == BODY
    assert server.asked("/file") == [None, f"bytes={kept}-"]


def test_giving_up_says_what_is_kept(server: Loopback, path: Path) -> None:
    url = server.serve("/file", Page(body=BODY, troubles=[Cut(300_000), 403]))
    with pytest.raises(MissingError, match=r"403.*300,000 bytes are kept"):
        download_file(url, path, digest=DIGEST)
    assert left(path) == {"file.bin.part"}
    download_file(url, path, digest=DIGEST)
    assert path.read_bytes() == BODY
    assert server.asked("/file") == [None, "bytes=300000-", "bytes=300000-"]


@pytest.mark.parametrize("part", [b"another", b"another" * 200_000], ids=["shorter", "longer"])
def test_a_part_of_another_version_is_fetched_anew_once(server: Loopback, path: Path, part: bytes) -> None:
    leave_part(path, part)
    download_file(server.serve("/file", Page(body=BODY)), path, digest=DIGEST)
    assert path.read_bytes() == BODY
    assert left(path) == {"file.bin"}
    assert server.asked("/file") == [f"bytes={len(part)}-", None]


def test_a_complete_part_only_takes_its_name(server: Loopback, path: Path) -> None:
    leave_part(path, BODY)
    download_file(server.serve("/file", Page(body=BODY)), path, digest=DIGEST)
    assert path.read_bytes() == BODY
    assert server.asked("/file") == [f"bytes={len(BODY)}-"]


def test_a_server_that_ignores_ranges_sends_all_of_it(server: Loopback, path: Path) -> None:
    leave_part(path, BODY[:1000])
    download_file(server.serve("/file", Page(body=BODY, ranges=False)), path, digest=DIGEST)
    assert path.read_bytes() == BODY
    assert server.asked("/file") == ["bytes=1000-"]


def test_a_wrong_digest_leaves_nothing(server: Loopback, path: Path) -> None:
    url = server.serve("/file", Page(body=BODY[::-1]))
    with pytest.raises(CorruptError, match="sha256"):
        download_file(url, path, digest=DIGEST, size=len(BODY))
    assert left(path) == set()
    assert server.asked("/file") == [None]


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"more"], ids=["shorter", "longer"])
def test_a_wrong_size_leaves_nothing(server: Loopback, path: Path, body: bytes) -> None:
    url = server.serve("/file", Page(body=body))
    with pytest.raises(CorruptError, match=f"{len(body):,} bytes instead of 1,000,000"):
        download_file(url, path, size=len(BODY))
    assert left(path) == set()


def test_a_wrong_file_twice_over_is_given_up(server: Loopback, path: Path) -> None:
    leave_part(path, b"another")
    with pytest.raises(CorruptError):
        download_file(server.serve("/file", Page(body=BODY[::-1])), path, digest=DIGEST)
    assert left(path) == set()
    assert server.asked("/file") == ["bytes=7-", None]


def test_no_such_file_is_not_asked_for_again(server: Loopback, path: Path) -> None:
    with pytest.raises(MissingError, match="404 Not Found") as caught:
        download_file(server.url + "/file", path)
    assert caught.value.hint is None  # the network works
    assert left(path) == set()
    assert len(server.requests) == 1


@pytest.mark.usefixtures("server")
def test_nobody_listening_is_found_out_quickly(path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(MissingError, match="refused") as caught:
        download_file(DEAD + "/file", path)
    assert time.monotonic() - begin < 3
    assert caught.value.hint == "check the network"


def test_offline_nothing_is_asked(server: Loopback, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match="HF_HUB_OFFLINE"):
        download_file(server.serve("/file", Page(body=BODY)), path)
    assert server.requests == []
    assert not path.parent.exists()


def test_a_file_that_is_here_costs_no_request(server: Loopback, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.serve("/file", Page(body=BODY))
    download_file(url, path)
    server.requests.clear()
    assert download_file(url, path) == path
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert download_file(url, path) == path
    assert server.requests == []


def test_two_processes_share_one_download(server: Loopback, path: Path) -> None:
    page = Page(body=BODY, gate=threading.Event())
    arguments = [sys.executable, "-c", FETCH, server.serve("/file", page), str(path)]
    processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == b"go\n"
    wait_until(lambda: bool(server.requests))
    time.sleep(0.3)  # time for a wrong second request
    assert page.gate
    page.gate.set()
    for process in processes:
        process.communicate(timeout=30)
    assert [process.returncode for process in processes] == [0, 0]
    assert path.read_bytes() == BODY
    assert server.asked("/file") == [None]


@pytest.mark.parametrize("below", ["file.bin", "deeper/file.bin"])
def test_a_path_through_a_file_is_refused(server: Loopback, tmp_path: Path, below: str) -> None:
    (tmp_path / "occupied").write_text("mine")
    with pytest.raises(UsageError, match="a part of the path is a file"):
        download_file(server.serve("/file", Page(body=BODY)), tmp_path / "occupied" / below)
    assert (tmp_path / "occupied").read_text() == "mine"
    assert server.requests == []


def test_a_full_disk_is_not_taken_for_a_missing_network(server: Loopback, path: Path) -> None:
    url = server.serve("/file", Page(body=BODY))
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)); "
    done = subprocess.run([sys.executable, "-c", limited + FETCH, url, str(path)], capture_output=True, text=True)
    assert f"OSError: [Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}" in done.stderr
    assert not path.exists()
    download_file(url, path, digest=DIGEST)
    assert path.read_bytes() == BODY
    assert server.asked("/file")[1] is not None  # the received part is kept
