"""Downloads from servers that are silent, slow, wrong or cut off."""

import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Command
from loopback import COMMIT, SILENCE, Cut, Drip, Loopback, Page, Refusal, loopback

from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Event
from cvae_cli.weights import transfer
from cvae_cli.weights.download import Digest, download_file

BODY = random.Random(0).randbytes(1_000_000)
DIGEST = Digest(algorithm="sha256", hexadecimal=hashlib.sha256(BODY).hexdigest())
CUTS = 50


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A server, before which a client is impatient and does not pause between connections."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("CVAE_TIMEOUT", "0.5")
    monkeypatch.setattr(transfer.time, "sleep", slept.append)
    slept.clear()
    with loopback() as server:
        yield server


slept: list[float] = []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.bin"


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def ranges(server: Loopback) -> list[int]:
    """Return the first byte of each request."""
    return [int(each.removeprefix("bytes=").rstrip("-")) if each else 0 for each in server.asked("/file")]


def test_downloads_cut_at_random_bytes_are_resumed_there(server: Loopback, tmp_path: Path) -> None:
    chance = random.Random(1)
    for number in range(CUTS):
        size = chance.randrange(1, 200_000)
        body = BODY[:size]
        cuts = [Cut(chance.randrange(size), reset=False) for _ in range(chance.randrange(1, 4))]
        sized = chance.random() < 0.7
        page = Page(body=body, troubles=[*cuts], sized=sized, chunked=chance.random() < 0.5)
        server.requests.clear()
        digest = Digest(algorithm="sha256", hexadecimal=hashlib.sha256(body).hexdigest())
        path = download_file(server.serve("/file", page), tmp_path / f"{number}.bin", digest=digest, size=size)
        assert path.read_bytes() == body, number
        expected = 0  # each request begins at the byte at which the one before was cut
        for cut, first in zip([*cuts, None], ranges(server), strict=False):
            assert first == expected, number
            expected = min(size, expected + (cut.after if cut else size))
        assert expected == size, number


@pytest.mark.parametrize("pause", [None, 0.02], ids=["stall", "drip"])
def test_a_stalled_or_dripping_server_ends_in_the_time_out_and_loses_nothing(
    server: Loopback, path: Path, pause: float | None
) -> None:
    page = Page(body=BODY, troubles=[Drip(100_000, pause), Drip(1_000, pause)])
    begin = time.monotonic()
    with pytest.raises(MissingError, match=r"for 0\.5 seconds; [0-9,]+ bytes are kept") as caught:
        download_file(server.serve("/file", page), path, digest=DIGEST)
    assert time.monotonic() - begin < 5
    assert "CVAE_TIMEOUT" in str(caught.value.hint)
    kept = part_of(path).read_bytes()
    assert kept == BODY[: len(kept)]
    assert len(kept) >= 101_000  # everything that the two connections brought
    assert len(kept) < 101_200
    download_file(server.url + "/file", path, digest=DIGEST)
    assert path.read_bytes() == BODY
    assert ranges(server)[0] == 0
    assert ranges(server)[-1] == len(kept)


def test_one_stall_is_overcome(server: Loopback, path: Path) -> None:
    said: list[Event] = []
    page = Page(body=BODY, troubles=[Drip(300_000)])
    download_file(server.serve("/file", page), path, digest=DIGEST, callback=said.append)
    assert path.read_bytes() == BODY
    assert ranges(server) == [0, 300_000]


@pytest.mark.parametrize("part", [b"", BODY[:1000]], ids=["from nothing", "with a part"])
def test_a_server_that_never_answers_is_left(server: Loopback, path: Path, part: bytes) -> None:
    if part:
        part_of(path).write_bytes(part)
    begin = time.monotonic()
    with pytest.raises(MissingError, match=r"no answer for 0\.5 seconds"):
        download_file(server.serve("/file", Page(body=BODY, always=SILENCE)), path, digest=DIGEST)
    assert time.monotonic() - begin < 3
    assert not part or part_of(path).read_bytes() == part


def test_what_is_waited_for_is_said(server: Loopback, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setenv("CVAE_TIMEOUT", "2.5")
    with pytest.raises(MissingError):
        download_file(
            server.serve("/file", Page(body=BODY, always=SILENCE)), path, callback=lambda event: said.append(str(event))
        )
    assert said == ["waiting for 127.0.0.1"]


def test_a_body_without_an_end_is_left_at_the_expected_size(server: Loopback, path: Path) -> None:
    page = Page(body=BODY, sized=False, chunked=False)
    with pytest.raises(CorruptError, match="has more than 300,000 bytes"):
        download_file(server.serve("/file", page), path, size=300_000)
    assert not path.exists()
    assert not part_of(path).exists()


def test_a_body_that_is_announced_larger_is_not_fetched(server: Loopback, path: Path) -> None:
    page = Page(body=BODY, troubles=[Drip(0)])  # it would never come
    with pytest.raises(CorruptError, match="1,000,000 bytes instead of 300,000"):
        download_file(server.serve("/file", page), path, size=300_000)


@pytest.mark.parametrize("length", ["abc", "-5", "1e6", " "])
def test_a_length_that_is_none_is_not_believed(server: Loopback, path: Path, length: str) -> None:
    download_file(server.serve("/file", Page(body=BODY, length=length)), path, digest=DIGEST, size=len(BODY))
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("size", [len(BODY), None], ids=["size known", "only the digest"])
def test_a_cut_without_a_length_is_resumed(server: Loopback, path: Path, size: int | None) -> None:
    page = Page(body=BODY, troubles=[Cut(400_000)], sized=False, chunked=False)
    download_file(server.serve("/file", page), path, digest=DIGEST, size=size)
    assert path.read_bytes() == BODY
    assert ranges(server) == [0, 400_000]


def test_no_range_with_nothing_here_is_one_clear_line(server: Loopback, path: Path) -> None:
    with pytest.raises(MissingError, match="416"):
        download_file(server.serve("/file", Page(body=BODY, troubles=[416])), path, digest=DIGEST)
    assert not path.exists()


def test_an_old_part_that_is_longer_is_fetched_anew(server: Loopback, path: Path) -> None:
    part_of(path).write_bytes(BODY + b"more")
    download_file(server.serve("/file", Page(body=BODY)), path)  # neither size nor digest is known
    assert path.read_bytes() == BODY


def test_a_busy_server_is_asked_again_when_it_says(server: Loopback, path: Path) -> None:
    said: list[str] = []
    page = Page(body=BODY, troubles=[Refusal(429, {"Retry-After": "7"}), Refusal(503), 429])
    download_file(server.serve("/file", page), path, callback=lambda event: said.append(str(event)))
    assert path.read_bytes() == BODY
    assert slept == [7.0, 2.0, 4.0]
    assert said[0] == "127.0.0.1 asks to wait for 7 seconds"


@pytest.mark.parametrize("after", ["3600", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_a_server_that_wants_to_rest_for_long_is_left(server: Loopback, path: Path, after: str) -> None:
    with pytest.raises(MissingError, match=r"429 Too Many Requests, and asks to wait for [0-9,]+ seconds"):
        download_file(server.serve("/file", Page(body=BODY, troubles=[Refusal(429, {"Retry-After": after})])), path)
    assert slept == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://a..b/", "/file"])
def test_redirects_that_lead_nowhere_are_one_clear_line(server: Loopback, path: Path, place: str) -> None:
    moved = Page(body=b"", troubles=[Refusal(302, {"Location": place}) for _ in range(20)])
    with pytest.raises(MissingError, match="cannot download"):
        download_file(server.serve("/file", moved), path)
    assert not path.exists()


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf", "1e9"])
def test_a_patience_that_is_no_number_of_seconds(cvae: Command, seconds: str) -> None:
    env = {"CVAE_TIMEOUT": seconds, "HF_HUB_OFFLINE": "0"}
    done = cvae("generate", "dress", "--model", "org/name", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert f'CVAE_TIMEOUT must be a number of seconds, not "{seconds}"' in done.stderr


# The Hub


@pytest.fixture
def online(server: Loopback, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": server.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "no_proxy": "127.0.0.1",
        "CVAE_TIMEOUT": "2",
    }


@pytest.fixture
def files(quick_model: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in quick_model.iterdir()}


API, WEIGHTS = "/api/models/org/name/revision/main", f"/org/name/resolve/{COMMIT}/model.safetensors"


@pytest.mark.parametrize(
    ("address", "trouble", "reason"),
    [
        (API, SILENCE, "no answer for 2 seconds from 127.0.0.1"),
        (API, Drip(10, 0.1), "no answer for 2 seconds"),
        (WEIGHTS, Drip(5_000), "bytes are kept"),
    ],
    ids=["silent", "dripping", "stalled file"],
)
def test_a_hub_that_does_not_answer_is_left(
    server: Loopback, cvae: Command, online: dict[str, str], files: dict[str, bytes], address: str, trouble: Drip,
    reason: str,
) -> None:  # fmt: skip
    server.serve_repository("org/name", files)
    server.pages[address].always = trouble
    begin = time.monotonic()
    done = cvae("generate", "dress", "--model", "org/name", env=online)
    assert time.monotonic() - begin < 10
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[0].startswith('cvae: no folder "org/name" here, and cannot download')
    assert reason in done.stderr
    server.pages[address].always = None
    done = cvae("generate", "dress", "--model", "org/name", "-o", "dress.png", env=online)
    assert done.returncode == 0, done.stderr


def test_a_model_of_the_hub_is_used_from_the_cache_when_the_hub_is_silent(
    server: Loopback, cvae: Command, online: dict[str, str], files: dict[str, bytes]
) -> None:
    server.serve_repository("org/name", files)
    assert cvae("generate", "dress", "--model", "org/name", "-o", "1.png", env=online).returncode == 0
    server.pages[API].always = SILENCE
    done = cvae("generate", "dress", "--model", "org/name", "-o", "2.png", env=online)
    assert done.returncode == 0, done.stderr
    assert "using the copy in the Hub's cache" in done.stderr


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_file_of_a_model_in_the_cache_is_fetched_anew_once(
    server: Loopback, cvae: Command, online: dict[str, str], files: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    server.serve_repository("org/name", files)
    assert cvae("generate", "dress", "--model", "org/name", "-o", "1.png", env=online).returncode == 0
    (cached,) = (tmp_path / "hf").rglob(f"snapshots/*/{name}")
    content = bytearray(cached.read_bytes())
    content[-500:-490] = bytes(10)
    cached.write_bytes(content)
    server.requests.clear()
    done = cvae("generate", "dress", "--model", "org/name", "-o", "2.png", env=online)
    assert done.returncode == 0, done.stderr
    assert "downloading org/name again" in done.stderr
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    address = f"/org/name/resolve/{COMMIT}/{name}"
    assert server.asked(address) == [None]
    wrong = {**files, name: bytes(content)}
    server.serve_repository("org/name", wrong, commit=COMMIT[::-1])
    server.requests.clear()
    done = cvae("generate", "dress", "--model", "org/name", "-o", "3.png", env=online)
    assert done.returncode == 4, done.stderr
    assert len(server.asked(f"/org/name/resolve/{COMMIT[::-1]}/{name}")) <= 2
