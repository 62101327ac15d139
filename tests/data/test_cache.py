"""The cache of prepared pictures, also after killed processes, full disks and damaged files."""

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from helpers import Listener
from PIL import Image
from small import captioned, many, save, save_noise

from cvae_cli.config.model import ImageShape
from cvae_cli.data import cache, cache_check, decode, prepared, process
from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.conditions import make_captions
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.listing import Listing
from cvae_cli.errors import CorruptError, CvaeError, UsageError, byte_size
from cvae_cli.events import Event, Progress
from cvae_cli.weights.registry import REGISTRY, AddressWeights

# Loads a data set as a user's script may do, without a main guard.
LOAD = """
import hashlib, json, sys
from cvae_cli import load_dataset
from cvae_cli.events import Notice, Progress
events = []
data = load_dataset(sys.argv[1], "test", size=int(sys.argv[2]), callback=events.append)
notices = [event.text for event in events if isinstance(event, Notice)]
steps = [(event.done, event.total) for event in events if isinstance(event, Progress)]
print(json.dumps([hashlib.sha256(data.pixels).hexdigest(), notices, steps]))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode 10 pictures of 32x32 at a time, as many as of 1024x1024 otherwise."""
    monkeypatch.setattr(decode, "_CHUNK_BYTES", (1 << 25) // 1024)
    assert decode.chunk_length(32) == 10


class Heard(Listener):
    """A callback that records the events of the last load."""

    def load(self, folder: Path, size: int = 8) -> Dataset:
        self.__init__()  # type: ignore[misc]
        return load_dataset(f"folder:{folder}", "test", size=size, callback=self)


def kept(home: Path) -> list[str]:
    """Return the files among the prepared pictures, without locks."""
    return sorted(each.name for each in (home / "prepared").iterdir() if each.suffix != ".lock")


def start(interpreter: str, folder: Path, size: int, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [interpreter, "-c", LOAD, f"folder:{folder}", str(size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def told(process: subprocess.Popen[str]) -> tuple[str, list[str], list[list[int]]]:
    """Return the digest of the pixels, the notices and the progress."""
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    digest, notices, steps = json.loads(stdout)
    return digest, notices, steps


def expected(folder: Path, files: list[str], size: int, times: int = 1) -> str:
    """Return the digest of the pixels that one process prepares, repeated `times` times."""
    pixels, broken = decode.decode(str(folder), files, size)
    assert not broken
    return hashlib.sha256(pixels * times).hexdigest()


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_pictures_are_prepared_once(pictures: Path, home: Path) -> None:
    captioned(pictures / "test", 5)
    heard = Heard()
    data = heard.load(pictures)
    assert heard.progress == [(0, 5), (5, 5)]
    assert data.image_shape == ImageShape(size=8, channels=3)
    assert data.pixels.shape == (5, 8, 8, 3)
    assert not data.pixels.flags.writeable
    assert isinstance(data.pixels.base, np.memmap)
    assert data.cache is not None
    assert data.cache.parent == home / "prepared"
    assert sorted(each.name for each in data.cache.iterdir()) == ["index.json", "pixels.bin"]
    again = heard.load(pictures)
    assert heard.progress == heard.notices == []
    assert (again.pixels == data.pixels).all()
    heard.load(pictures, size=16)
    assert heard.progress
    assert len(kept(home)) == 2


@pytest.mark.parametrize(
    "form",
    [
        {"format": 1},
        {
            "format": 2, "name": "folder:/no/pictures of mine", "split": "train",
            "vouched": hashlib.sha256().hexdigest(),  # of files that are not here
            "chunks": [[2, "804fa33ecd0875e11e4074ecabbc58e5"], [3, "10c987dc285c756b050f429c4f52b688"]],
        },
    ],
    ids=["0.1", "with digests"],
)  # fmt: skip
def test_caches_of_earlier_versions_are_found(home: Path, form: dict[str, Any]) -> None:
    files = ("a.jpg", "b/c.png", "d.webp")
    found = Listing(
        name="folder:/no/pictures of mine",
        split="train",
        root=Path("/no/pictures"),
        files=files,
        conditions=make_captions([["a"], ["c"], ["d"]]),
        licence="not stated",
    )
    folder = home / "prepared" / "folder-no-pictures-of-mine-train-8-7fb7c1c38995ced8"
    folder.mkdir(parents=True)
    (folder / "pixels.bin").write_bytes(bytes(range(192)) * 3)
    index = form | {"size": 8, "broken": {"b/c.png": "b/c.png is not a picture"}, "files": files}
    (folder / "index.json").write_text(json.dumps(index))
    listener = Listener()
    data = cache.prepare(found, 8, callback=listener)
    assert data.cache == folder
    assert data.images.tobytes() == bytes(range(192)) * 2
    assert [data.conditions.text(row) for row in range(len(data))] == ["a", "d"]
    assert listener.notices == ["1 of 3 pictures cannot be read and are left out: b/c.png"]
    assert listener.progress == []


def test_captions_are_read_anew_and_changed_pictures_too(pictures: Path) -> None:
    captioned(pictures / "test", 3)
    heard = Heard()
    heard.load(pictures)
    (pictures / "test" / "01.txt").write_text("another")
    assert heard.load(pictures).conditions.text(1) == "another"
    assert heard.progress == []
    save(pictures / "test" / "01.png", colour=(0, 250, 0))
    assert heard.load(pictures).images[1, 4, 4].tolist() == [0, 250, 0]
    assert heard.progress


def test_the_middle_of_the_short_side_is_kept(pictures: Path) -> None:
    stripes = np.zeros((40, 120, 3), np.uint8)
    stripes[:, 40:80] = 200
    (pictures / "test").mkdir(parents=True)
    Image.fromarray(stripes).save(pictures / "test" / "a.png")
    (pictures / "test" / "a.txt").write_text("stripes")
    images = Heard().load(pictures).images
    assert (images[:, :, 3:5] == 200).all()
    assert images.min() > 150


def test_drafts_of_large_jpegs_look_the_same(tmp_path: Path) -> None:
    x = np.linspace(0, 250, 800)
    picture = np.stack(np.broadcast_arrays(x[None], x[:, None], np.abs(x - 125)[None]), -1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(picture).save(tmp_path / "a.png")
    drafted, exact = (
        np.frombuffer(decode.decode(str(tmp_path), [name], 64)[0], np.uint8).astype(int) for name in ("a.jpg", "a.png")
    )
    assert abs(drafted - exact).max() <= 4


def test_a_few_broken_pictures_are_named_and_left_out(
    pictures: Path, interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)  # that of the processes that decode
    folder = captioned(pictures / "test", 100)
    for number in range(200, 504):  # enough for several processes
        os.link(folder / "07.png", folder / f"x{number}.png")
        (folder / f"x{number}.txt").write_text("more")
    for name in ("03", "50", "51", "99"):
        (folder / f"{name}.png").write_bytes(b"no picture")
    heard = Heard()
    for _ in range(2):
        data = heard.load(pictures)
        assert heard.notices == [
            "4 of 404 pictures cannot be read and are left out: test/03.png, test/50.png, test/51.png, ..."
        ]
    assert len(data) == len(data.conditions) == 400
    assert data.pixels.shape == (404, 8, 8, 3)
    assert [data.conditions.text(row) for row in (2, 3, 48)] == ["shade 2", "shade 4", "shade 49"]
    assert data.images[[2, 3, 48], 4, 4, 0].tolist() == [2, 4, 49]
    save(folder / "03.png", colour=(3, 0, 0))
    assert len(heard.load(pictures)) == 401


def test_many_broken_pictures_are_an_error(pictures: Path, home: Path) -> None:
    folder = captioned(pictures / "test", 20)
    (folder / "03.png").write_bytes(b"no picture")
    with pytest.raises(CorruptError, match=r"more than 1% of the 20 pictures cannot be read: test/03\.png") as caught:
        Heard().load(pictures)
    assert "is not a picture that can be read" in str(caught.value.hint)
    assert kept(home) == []


@pytest.mark.parametrize("damage", ["shorter", "longer", "no pixels", "no index", "no JSON", "other JSON"])
def test_damaged_caches_are_made_anew(pictures: Path, damage: str) -> None:
    captioned(pictures / "test", 3)
    heard = Heard()
    first = heard.load(pictures).images
    place = heard.load(pictures).cache
    assert place is not None
    pixels, index = place / "pixels.bin", place / "index.json"
    match damage:
        case "shorter":
            os.truncate(pixels, 100)
        case "longer":
            pixels.write_bytes(pixels.read_bytes() + b"x")
        case "no pixels":
            pixels.unlink()
        case "no index":
            index.unlink()
        case "no JSON":
            index.write_text("{")
        case "other JSON":
            index.write_text("[1]")
    assert (heard.load(pictures).images == first).all()
    (notice,) = heard.notices
    assert "damaged, and are prepared again" in notice
    heard.load(pictures)
    assert heard.notices == []


class Stop:
    """A callback that interrupts the work."""

    def __init__(self, at: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at = at
        self.error = error

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.done >= self.at:
            raise self.error


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("damage", ["", "half a line", "no whole line", "half a chunk", "lost pixels", "lost journal"])
def test_an_interrupted_build_goes_on(pictures: Path, home: Path, damage: str) -> None:
    folder = captioned(pictures / "test", 25)
    with pytest.raises(KeyboardInterrupt):
        load_dataset(f"folder:{pictures}", "test", size=32, callback=Stop(20))
    (part,) = kept(home)
    pixels, journal = (home / "prepared" / part / name for name in ("pixels.bin", "journal.jsonl"))
    row = 3 * 32 * 32
    begins = 20
    match damage:
        case "half a line":
            journal.write_bytes(journal.read_bytes() + b'{"done": 25, "bro')
        case "no whole line":
            journal.write_bytes(b'{"done": 10, "bro')
            begins = 0
        case "half a chunk":
            pixels.write_bytes(pixels.read_bytes() + bytes(row + 5))
        case "lost pixels":
            os.truncate(pixels, 15 * row)
            begins = 10
        case "lost journal":
            journal.unlink()
            begins = 0
    heard = Heard()
    data = heard.load(pictures, size=32)
    assert heard.progress[0] == (begins, 25)
    assert data.pixels[:, 16, 16, 0].tolist() == list(range(25))
    assert hashlib.sha256(data.pixels).hexdigest() == expected(folder, [f"{n:02}.png" for n in range(25)], 32)
    assert kept(home) == [part.removesuffix(".part")]


@pytest.mark.usefixtures("small_chunks")
def test_an_error_leaves_nothing_behind(pictures: Path, home: Path) -> None:
    captioned(pictures / "test", 25)
    with pytest.raises(RuntimeError):
        load_dataset(f"folder:{pictures}", "test", size=32, callback=Stop(10, RuntimeError))
    assert kept(home) == []


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if fields[1] == str(pid):
            found.append(int(stat.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_killed_builds_take_their_processes_along_and_go_on(pictures: Path, home: Path, interpreter: str) -> None:
    many(pictures / "test", 400, side=400)
    with start(sys.executable, pictures, 256) as process:
        wait_until(lambda: any(b"\n" in path.read_bytes() for path in home.glob("prepared/*.part/journal.jsonl")))
        decoders = children(process.pid)
        process.send_signal(signal.SIGKILL)
    assert decoders
    wait_until(lambda: not any(map(is_running, decoders)))
    (part,) = kept(home)
    assert part.endswith(".part")
    with start(interpreter, pictures, 256) as process:
        digest, notices, steps = told(process)
    assert steps[0][0] >= 128
    assert steps[-1] == [400, 400]
    assert notices == []
    assert kept(home) == [part.removesuffix(".part")]
    assert digest == expected(pictures / "test", ["0000.jpg"], 256, 400)


def test_two_processes_share_one_build(pictures: Path, home: Path, interpreter: str) -> None:
    many(pictures / "test", 400, side=250)
    with start(interpreter, pictures, 128) as first:
        wait_until(lambda: any(home.glob("prepared/*.part")))
        with start(interpreter, pictures, 128) as second:
            one, other = told(first), told(second)
    assert one[0] == other[0] == expected(pictures / "test", ["0000.jpg"], 128, 400)
    assert one[1] == []
    assert other[1] == [f"another process is preparing folder:{pictures}; waiting for it"]
    assert one[2]
    assert other[2] == []
    assert len(kept(home)) == 1


def test_a_decoding_process_that_dies_is_an_error(pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(pictures / "test", 300, side=16)
    monkeypatch.setattr(process, "_START", "import sys; sys.exit(7)")
    with pytest.raises(CvaeError, match=r"has ended \(status 7\) between test/0000\.jpg and test/0127\.jpg"):
        Heard().load(pictures)
    assert kept(home) == []


def test_a_full_disk_is_said_and_leaves_nothing(pictures: Path, home: Path, interpreter: str) -> None:
    captioned(pictures / "test", 100)
    limits = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))}
    with start(interpreter, pictures, 64, **limits) as process:
        _, stderr = process.communicate()
    assert process.returncode == 1
    assert f"OSError: [Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}: '{home}/prepared/" in stderr.splitlines()[-1]
    assert kept(home) == []


def test_too_little_space_is_said_before_anything_is_done(
    pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioned(pictures / "test", 3)
    monkeypatch.setattr("shutil.disk_usage", lambda path: namedtuple("Usage", "free")(10_000_000))
    with pytest.raises(UsageError, match=r"needs 20 MB in .*, 10 MB more than are free there") as caught:
        Heard().load(pictures)
    assert caught.value.hint == "CVAE_HOME puts the cache elsewhere"
    assert kept(home) == []


def test_a_cache_that_cannot_be_written(pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioned(pictures / "test", 2)
    home.write_text("a file")
    with pytest.raises(UsageError, match="a part of the path is a file") as caught:
        Heard().load(pictures)
    assert caught.value.hint == "CVAE_HOME puts the cache elsewhere"
    home.unlink()
    home.mkdir()
    home.chmod(0o500)
    if not os.access(home, os.W_OK):  # not for root, who may write anywhere
        with pytest.raises(UsageError, match="permission denied"):
            Heard().load(pictures)
    home.chmod(0o700)
    first = Heard().load(pictures)
    for path in (first.cache, home / "prepared"):
        assert path is not None
        path.chmod(0o500)  # prepared pictures can still be read
    assert len(Heard().load(pictures)) == 2
    (home / "prepared").chmod(0o700)


def test_decoding_needs_no_torch() -> None:
    code = "import sys; from cvae_cli.data import decode; print(*{'torch', 'pydantic', 'typer'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"\n"


def test_large_noise_is_decoded_in_bounded_chunks(tmp_path: Path) -> None:
    assert decode.chunk_length(64) == 128
    assert decode.chunk_length(1024) * 3 * 1024 * 1024 <= 1 << 25
    save_noise(tmp_path / "a.jpg", 32)
    chunks = list(decode.decode_all(tmp_path, ["a.jpg"] * 21, 1024))
    assert [len(content) // (3 * 1024 * 1024) for content, _ in chunks] == [10, 10, 1]


# ---- digests -----------------------------------------------------------------------------------------------------


def flip(path: Path, at: int) -> None:
    """Flip a bit of a file, and leave its size and times as they were."""
    about = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    with path.open("rb+") as file:
        file.write(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def forget() -> None:
    """Forget what this process has compared, as a new process has."""
    prepared._checked.clear()


def test_a_flipped_bit_is_noticed_and_mended(pictures: Path) -> None:
    captioned(pictures / "test", 30)
    heard = Heard()
    data = heard.load(pictures)
    assert data.cache is not None
    before = data.images
    flip(data.cache / "pixels.bin", 2000)
    forget()
    again = heard.load(pictures)
    assert heard.notices == [f"the prepared pictures in {data.cache} are damaged, and are prepared again"]
    assert (again.pixels == before).all()
    forget()
    heard.load(pictures)
    assert heard.notices == []


@pytest.mark.usefixtures("small_chunks")
def test_pixels_are_compared_once_in_a_process(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioned(pictures / "test", 25)
    heard = Heard()
    compared: list[int] = []
    digest = prepared.pixels_digest
    monkeypatch.setattr(prepared, "pixels_digest", lambda content: (compared.append(len(content)), digest(content))[1])
    heard.load(pictures, size=32).images  # noqa: B018
    assert compared == []  # what was just written needs no look
    forget()
    monkeypatch.setattr(cache, "_CHECKED_AT_ONCE", 0)
    data = heard.load(pictures, size=32)
    assert compared == []
    data.read(np.array([0, 9, 24]))
    assert compared == [10, 5]
    data.take(np.array([3, 10])).images  # noqa: B018
    assert compared == [10, 5, 10]
    heard.load(pictures, size=32).images  # noqa: B018
    assert compared == [10, 5, 10]


@pytest.mark.usefixtures("small_chunks")
def test_damage_among_many_pictures_is_said_when_they_are_read(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioned(pictures / "test", 25)
    heard = Heard()
    before = heard.load(pictures, size=32)
    assert before.cache is not None
    flip(before.cache / "pixels.bin", 15 * 3 * 32 * 32)
    forget()
    monkeypatch.setattr(cache, "_CHECKED_AT_ONCE", 0)
    data = heard.load(pictures, size=32)
    assert heard.notices == []
    batches = Batches(data, batch_size=5, device=torch.device("cpu"))
    monkeypatch.setattr(type(data.conditions), "values", lambda self, rows, uniform: rows)
    seen = batches.in_order()
    for _ in range(2):
        next(seen)
    with pytest.raises(CorruptError, match=r"are damaged \(among pictures 11 to 20\)"):
        next(seen)
    again = heard.load(pictures, size=32)
    assert "damaged, and are prepared again" in heard.notices[0]
    assert again.pixels[15, 16, 16, 0] == 15


def test_a_picture_replaced_by_one_of_equal_size_and_time_is_noticed(pictures: Path) -> None:
    folder = pictures / "test"
    for number in range(3):
        save(folder / f"{number}.bmp", colour=(number, 0, 0))
        (folder / f"{number}.txt").write_text("a shade")
    heard = Heard()
    place = heard.load(pictures).cache
    for name, replace in (("1.bmp", False), ("2.bmp", True)):
        path = folder / name
        about = path.stat()
        save(path.with_suffix(".new.bmp"), colour=(200, 0, 0))
        path.with_suffix(".new.bmp").replace(path) if replace else shutil.copyfile(path.with_suffix(".new.bmp"), path)
        path.with_suffix(".new.bmp").unlink(missing_ok=True)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (about.st_size, about.st_mtime_ns)
        data = heard.load(pictures)
        assert heard.notices == [
            f"the prepared pictures in {place} are of files that have been replaced since, and are prepared again"
        ]
        assert data.images[int(name[0]), 4, 4].tolist() == [200, 0, 0]
    heard.load(pictures)
    assert heard.notices == []


def test_a_cache_of_an_earlier_version_is_believed_unless_pictures_are_newer(pictures: Path) -> None:
    captioned(pictures / "test", 3)
    heard = Heard()
    data = heard.load(pictures)
    assert data.cache is not None
    index = json.loads((data.cache / "index.json").read_text())
    old = {"format": 1, "size": 8, "broken": {}, "files": index["files"]}
    (data.cache / "index.json").write_text(json.dumps(old))
    heard.load(pictures)
    assert heard.notices == heard.progress == []
    time.sleep(0.05)  # clocks of files tick slowly
    (pictures / "test" / "00.png").chmod(0o640)  # a time of change after that of the cache
    assert len(heard.load(pictures)) == 3
    assert "of an earlier version, and older than the pictures, and are prepared again" in heard.notices[0]


def test_cvae_cache_verify_says_what_is_damaged(cvae: Command, pictures: Path, home: Path, tmp_path: Path) -> None:
    where = {"CVAE_HOME": str(home)}
    assert cvae("cache", "path", env=where).stdout == f"{home}\n"
    done = cvae("cache", "verify", env=where)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"there is nothing to verify in {home}\n")
    captioned(pictures / "test", 30)
    heard = Heard()
    small, large = heard.load(pictures), heard.load(pictures, size=16)
    assert small.cache is not None
    assert large.cache is not None
    done = cvae("cache", "verify", env=where)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:5] for row in rows] == [
        ["sound", f"folder:{pictures}", "test", f"{size}x{size}", "30"] for size in (16, 8)
    ]
    before = large.images
    flip(large.cache / "pixels.bin", 100)
    (home / "prepared" / "x.part").mkdir()
    done = cvae("cache", "verify", "--json", env=where)
    assert done.returncode == 4
    assert [(each["state"], each["size"]) for each in json.loads(done.stdout)] == [
        ("damaged", 16), ("sound", 8), ("unfinished", None)
    ]  # fmt: skip
    assert f"damaged: 1 of 3, the first {large.cache}\n" in done.stderr
    forget()
    assert (heard.load(pictures, size=16).pixels == before).all()
    assert "damaged, and are prepared again" in heard.notices[0]
    assert cvae("cache", "verify", env=where).returncode == 0


@pytest.mark.parametrize(
    "change",
    [
        {"format": None}, {"format": 1}, {"size": True}, {"size": "8"}, {"size": 8.0}, {"size": 10**30},
        {"files": None}, {"files": [1]}, {"files": [1, 2, 3]}, {"files": [[], [], []]}, {"files": "abc"},
        {"broken": []}, {"broken": {"test/9.png": "gone"}}, {"broken": {"test/00.png": 1}}, {"vouched": []},
        {"vouched": None}, {"name": {}}, {"chunks": None}, {"chunks": [[3]]}, {"chunks": [["3", "x"]]}, {"chunks": []},
        {"chunks": [[2, "x"]]}, {"chunks": [[3, "x"]]}, {"chunks": [[10**30, "x"]]},
    ],
    ids=str,
)  # fmt: skip
def test_indexes_with_odd_values_are_damaged(pictures: Path, change: dict[str, Any]) -> None:
    captioned(pictures / "test", 3)
    heard = Heard()
    before = heard.load(pictures).images
    place = heard.load(pictures).cache
    assert place is not None
    index = json.loads((place / "index.json").read_text())
    (place / "index.json").write_text(json.dumps(index | change))
    forget()
    assert [each.state for each in cache_check.check_cache()] == ["damaged"]
    assert (heard.load(pictures).images == before).all()
    assert "damaged, and are prepared again" in heard.notices[0]


@pytest.mark.parametrize(
    ("change", "is_whole"),
    [
        ({}, True), ({"size": 0}, False), ({"size": -8}, False), ({"size": 16}, False), ({"files": []}, False),
        ({"format": 3}, False), ({"split": None}, False), ({"broken": {"b": "cut"}}, True),
        ({"broken": {"a": "cut", "c": "cut"}}, False), ({"broken": {"b": None}}, False),
        ({"chunks": [[1, "x"], [2, "y"]]}, True), ({"chunks": [[1, "x"]]}, False), ({"chunks": [[3, "x"]]}, False),
        ({"chunks": [[0, "x"], [2, "y"]]}, False), ({"chunks": [[2, "x"], [2, "y"]]}, False),
        ({"chunks": [[2, "x"], [1, "y"]]}, False), ({"chunks": [[2, 1]]}, False), ({"chunks": [[2, "x", "y"]]}, False),
    ],
    ids=str,
)  # fmt: skip
def test_the_parts_of_an_index_fit_each_other(tmp_path: Path, change: dict[str, Any], is_whole: bool) -> None:
    (tmp_path / prepared.PIXELS).write_bytes(bytes(2 * 3 * 8 * 8))
    index = {"format": 2, "name": "n", "split": "s", "size": 8, "vouched": "v", "chunks": [[2, "x"]]}
    (tmp_path / prepared.INDEX).write_text(json.dumps({**index, "files": ["a", "b"], "broken": {}, **change}))
    if not is_whole:
        with pytest.raises(prepared.UnusableError, match="damaged"):
            prepared.read_prepared(tmp_path)
        return
    found = prepared.read_prepared(tmp_path)
    assert (found.name, found.split, found.size, found.files) == ("n", "s", 8, ("a", "b"))
    assert (found.vouched, found.broken) == ("v", change.get("broken", {}))
    assert found.ends.tolist() == [end for end, _ in change.get("chunks", [[2, "x"]])]
    assert found.map().shape == (2, 8, 8, 3)
    assert not found.checked.any()


@pytest.mark.parametrize("key", ["chunks", "vouched"])
def test_an_index_of_the_first_version_vouches_for_nothing(tmp_path: Path, key: str) -> None:
    (tmp_path / prepared.PIXELS).write_bytes(bytes(3 * 8 * 8))
    index: dict[str, Any] = {"format": 1, "size": 8, "files": ["a"], "broken": {}}
    (tmp_path / prepared.INDEX).write_text(json.dumps(index))
    found = prepared.read_prepared(tmp_path)
    assert (found.name, found.split, found.vouched, found.chunks) == ("", "", None, ())
    (tmp_path / prepared.INDEX).write_text(json.dumps({**index, key: []}))
    with pytest.raises(prepared.UnusableError):
        prepared.read_prepared(tmp_path)


def test_an_empty_file_has_a_digest_too(tmp_path: Path) -> None:
    path = tmp_path / "captions-0.f16"
    path.touch()
    prepared.write_digest(path, path)
    assert prepared.is_as_written(path)
    path.write_bytes(b"x")
    forget()
    assert not prepared.is_as_written(path)


def test_a_file_beside_the_pixels_is_compared_with_its_digest_once(tmp_path: Path) -> None:
    path, draft = tmp_path / "captions-0.f16", tmp_path / "captions-0.f16.part"
    draft.write_bytes(bytes(100))
    prepared.write_digest(draft, path)
    draft.replace(path)
    assert prepared.is_as_written(path)
    flip(path, 50)  # unnoticed by a process that has compared it
    assert prepared.is_as_written(path)
    forget()
    assert not prepared.is_as_written(path)
    assert not prepared.is_as_written(path)
    path.write_bytes(bytes(100))
    os.utime(path, ns=(1, 1))
    assert prepared.is_as_written(path)  # it has been made anew
    path.with_name(path.name + ".digest").unlink()
    forget()
    assert prepared.is_as_written(path)  # an earlier version wrote no digest


@pytest.mark.usefixtures("small_chunks")
def test_all_that_is_known_of_what_lies_in_the_cache_is_told(
    pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioned(pictures / "test", 21)
    place = Heard().load(pictures, size=32).cache
    assert place is not None
    for name, length in (("-bad", 5), ("-bad/deeper", 100), ("~old", 3 * 4**2), ("~x.part", 7)):
        (home / "prepared" / name).mkdir()
        (home / "prepared" / name / "pixels.bin").write_bytes(bytes(length))
    old = {"format": 1, "size": 4, "broken": {}, "files": ["a.png"]}
    (home / "prepared" / "~old" / "index.json").write_text(json.dumps(old))
    (home / "weights").mkdir()
    about = {"use": "", "licence": "", "note": "", "size": 9, "sha256": hashlib.sha256(bytes(9)).hexdigest()}
    entry = AddressWeights(name="own", url="https://localhost/own.pth", **about)  # type: ignore[arg-type]
    monkeypatch.setitem(REGISTRY, "own", entry)
    (home / "weights" / "own.pth").write_bytes(bytes(9))
    listener = Listener()
    found = cache_check.check_cache(listener)
    lengths = [sum(path.stat().st_size for path in home.glob(f"prepared/{name}/*.*")) for name in (place.name, "~old")]
    assert [each.length for each in found] == [5, lengths[0], lengths[1], 7, 9]
    assert [each.row()[:5] for each in found] == [
        ["damaged", "-bad", "", "", ""],
        ["sound", f"folder:{pictures}", "test", "32x32", "21"],
        ["without digests", "~old", "", "4x4", "1"],
        ["unfinished", "~x.part", "", "", ""],
        ["sound", "weights own", "", "", ""],
    ]
    assert [each.folder.name for each in found] == ["-bad", place.name, "~old", "~x.part", "own.pth"]
    assert listener.progress == [*((done * 3 * 32**2, 21 * 3 * 32**2) for done in (10, 20, 21)), (0, None)]
    flip(place / "pixels.bin", -1)  # in the last chunk, which has a single picture
    assert [each.state for each in cache_check.check_cache()][1] == "damaged"


def test_damaged_vectors_make_a_folder_damaged_and_those_without_a_digest_do_not(pictures: Path) -> None:
    captioned(pictures / "test", 3)
    place = Heard().load(pictures).cache
    assert place is not None
    (place / "captions-empty.f16").touch()
    (place / "captions-0.f16").write_bytes(bytes(100))
    prepared.write_digest(place / "captions-0.f16", place / "captions-0.f16")
    (found,) = cache_check.check_cache()
    length = sum(path.stat().st_size for path in place.iterdir())
    assert (found.state, found.folder, found.pictures, found.length) == ("sound", place, 3, length)
    assert found.row() == ["sound", f"folder:{pictures}", "test", "8x8", "3", byte_size(length)]
    for damage in (lambda path: flip(path, 50), lambda path: path.write_bytes(b"")):
        damage(place / "captions-0.f16")
        forget()
        assert [each.state for each in cache_check.check_cache()] == ["damaged"]
