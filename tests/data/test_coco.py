"""COCO captions, from an existing copy and from a local server with small archives of the same layout."""

import errno
import hashlib
import io
import json
import os
import re
import resource
import subprocess
import threading
import time
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import Listener
from loopback import Cut, Loopback, Page, loopback
from PIL import Image
from small import save

from cvae_cli.data import coco
from cvae_cli.data.catalog import evaluation_split, load_dataset
from cvae_cli.data.conditions import Captions
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.published import unpack_zip
from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.events import Event, Progress, ignore

IDS = [139, 285, 632]
BRING = """
import dataclasses, json, sys
from cvae_cli.data import coco
from cvae_cli import load_dataset
coco._BASE, changes = sys.argv[1], json.loads(sys.argv[2])
for name, change in changes.items():
    coco._ARCHIVES[name] = dataclasses.replace(coco._ARCHIVES[name], **change)
events = []
data = load_dataset("coco", "val", size=8, callback=events.append)
print(json.dumps([len(data), [str(event) for event in events if hasattr(event, "text")]]))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that COCO is downloaded to."""
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "datasets" / "coco"


def content(split: str) -> dict[str, Any]:
    """Three pictures in reverse order: two with two captions, one with one. Captions have spaces around them."""
    annotations = [
        {"id": number, "image_id": image, "caption": f" {split} {image} {number}\n"}
        for number, image in enumerate([632, 139, 285, 139, 632])
    ]
    images = [{"id": image, "file_name": f"{image:012}.jpg"} for image in reversed(IDS)]
    return {"info": {}, "images": images, "annotations": annotations}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Make a copy in the published layout."""
    folder = tmp_path / "copy"
    (folder / "annotations").mkdir(parents=True)
    for split in coco.Coco.splits:
        (folder / "annotations" / f"captions_{split}2017.json").write_text(json.dumps(content(split)))
        for image in IDS:
            save(folder / f"{split}2017" / f"{image:012}.jpg", colour=(image // 4, 0, 0))
    return folder


def rewrite(copy: Path, change: dict[str, Any]) -> Path:
    """Replace entries in the file of validation captions."""
    path = copy / "annotations" / "captions_val2017.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return copy


def load(copy: Path | None, split: str = "val", notices: list[str] | None = None) -> Dataset:
    listener = Listener()
    try:
        return load_dataset("coco", split, size=8, data_dir=copy, callback=listener)
    finally:
        if notices is not None:
            notices += listener.notices


def captions(data: Dataset) -> list[list[str]]:
    assert isinstance(data.conditions, Captions)
    found = data.conditions
    return [list(found.sentences[first : first + n]) for first, n in zip(found.first, found.count, strict=True)]


@pytest.mark.parametrize("split", ["train", "val", "validation"])
def test_a_copy_is_read_in_the_order_of_ids(copy: Path, split: str) -> None:
    notices: list[str] = []
    data = load(copy, split, notices)
    name = "train" if split == "train" else "val"
    assert (data.name, data.split) == ("coco", name)
    assert captions(data) == [[f"{name} 139 1", f"{name} 139 3"], [f"{name} 285 2"], [f"{name} 632 0", f"{name} 632 4"]]
    assert [abs(int(red) - image // 4) < 3 for red, image in zip(data.images[:, 4, 4, 0], IDS, strict=True)] == [
        True
    ] * 3
    assert "CC BY 4.0" in data.licence
    assert notices == []
    assert evaluation_split("coco") == "val"


def test_what_is_left_out_is_said(copy: Path) -> None:
    notices: list[str] = []
    images = content("val")["images"] + [
        {"id": number, "file_name": f"{number:012}.jpg"} for number in range(1000, 1200)
    ]
    for number in range(1001, 1200):
        (copy / "val2017" / f"{number:012}.jpg").symlink_to(copy / "val2017" / "000000000139.jpg")
    annotations = content("val")["annotations"]
    annotations += [{"image_id": number, "caption": "more"} for number in range(1000, 1199)]
    annotations += [{"image_id": 1199, "caption": "  "}, {"image_id": 7, "caption": "stranger"}]
    data = load(rewrite(copy, {"images": images, "annotations": annotations}), "val", notices)
    assert len(data) == 3 + 198
    assert notices == [
        "coco: 1 picture that captions_val2017.json names is not there and is left out: 000000001000.jpg",
        "coco: 1 picture without a caption is left out: 000000001199.jpg",
        'coco: 1 caption of an unknown picture is left out: "stranger"',
    ]


def test_a_copy_without_its_pictures(copy: Path) -> None:
    (copy / "val2017" / "000000000285.jpg").unlink()
    with pytest.raises(MissingError, match=r"names 3 pictures, and 1 of them are not there, the first 000000000285"):
        load(copy)


@pytest.mark.parametrize("gone", ["annotations/captions_val2017.json", "val2017"])
def test_a_copy_that_is_not_whole(copy: Path, gone: str) -> None:
    (copy / gone).rename(copy / "aside")
    with pytest.raises(MissingError, match=f"has no {gone}") as caught:
        load(copy)
    assert "--data-dir takes" in str(caught.value.hint)


MALFORMED = {
    "a list": ([], 'no list of "images"'),
    "no images": ({"annotations": []}, 'no list of "images"'),
    "no annotations": ({"images": []}, 'no list of "annotations"'),
    "an image's id": ({"images": [{"id": "1", "file_name": "a.jpg"}]}, r'images\[0\] has no "id"'),
    "an image's name": ({"images": [{"id": 1}]}, r'images\[0\] has no "file_name"'),
    "no image": ({"images": [3]}, r'images\[0\] has no "id"'),
    "a caption": ({"images": [], "annotations": [{"image_id": 1, "caption": 3}]}, r'annotations\[0\] has no "caption"'),
    "a way out": ({"images": [{"id": 1, "file_name": "../a.jpg"}], "annotations": []}, "not a file inside"),
    "nothing": ({"images": [], "annotations": []}, "no captions of pictures"),
}


@pytest.mark.parametrize(("content", "message"), MALFORMED.values(), ids=MALFORMED)
def test_captions_of_another_form(copy: Path, content: Any, message: str) -> None:
    (copy / "annotations" / "captions_val2017.json").write_text(json.dumps(content))
    with pytest.raises(CorruptError, match=r"captions_val2017\.json") as caught:
        load(copy)
    with pytest.raises(CorruptError, match=message):
        raise caught.value


@pytest.mark.parametrize("damaged", [b"", b'{"images": [', b"\xff\xfe", b"[" * 100_000], ids=range(4))
def test_captions_that_are_not_json(copy: Path, damaged: bytes) -> None:
    (copy / "annotations" / "captions_val2017.json").write_bytes(damaged)
    with pytest.raises(CorruptError, match=r"captions_val2017\.json is not JSON"):
        load(copy)


def archive_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def jpeg(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (red, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def archives() -> dict[str, bytes]:
    """The content of COCO on a small scale."""
    made = {
        "annotations": archive_of(
            {
                "annotations/instances_val2017.json": b"{}",
                "annotations/captions_train2017.json": json.dumps(content("train")).encode(),
                "annotations/captions_val2017.json": json.dumps(content("val")).encode(),
            }
        )
    }
    for split in coco.Coco.splits:
        folder = f"{split}2017"
        made[folder] = archive_of(
            {f"{folder}/": b""} | {f"{folder}/{image:012}.jpg": jpeg(image // 4) for image in IDS}
        )
    return made


class Server:
    """Serves archives in place of COCO's server."""

    def __init__(self, loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loopback = loopback
        self._monkeypatch = monkeypatch
        self.changes: dict[str, dict[str, object]] = {}
        monkeypatch.setattr(coco, "_BASE", loopback.url)
        for name, body in archives().items():
            self.serve(name, body)

    def serve(self, name: str, body: bytes) -> Page:
        """Serve an archive, and register its size and digest."""
        archive = coco._ARCHIVES[name]
        page = Page(body=body)
        self.loopback.serve(f"/{archive.url}", page)
        self.changes[name] = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "unpacked": 10_000}
        self._monkeypatch.setitem(coco._ARCHIVES, name, replace(archive, **self.changes[name]))
        return page

    def asked(self) -> list[str]:
        return [request.path for request in self.loopback.requests]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with loopback() as running:
        yield Server(running, monkeypatch)


def kept(home: Path) -> list[str]:
    return sorted(each.name for each in home.iterdir() if each.suffix != ".lock")


def test_a_split_is_fetched_once_and_alone(server: Server, home: Path) -> None:
    notices: list[str] = []
    data = load(None, notices=notices)
    assert captions(data)[1] == ["val 285 2"]
    assert data.images[:, 4, 4, 0].tolist() == pytest.approx([image // 4 for image in IDS], abs=2)
    assert server.asked() == ["/annotations/annotations_trainval2017.zip", "/zips/val2017.zip"]
    assert kept(home) == ["annotations", "val2017"]  # the archives are deleted
    assert sorted(path.name for path in (home / "annotations").iterdir()) == [
        "captions_train2017.json",
        "captions_val2017.json",
    ]
    (notice,) = notices
    assert re.fullmatch(rf"downloading [1-9][\d.]* kB of COCO once, into {re.escape(str(home))}", notice)
    load(None, notices=notices)
    assert len(notices) == 1
    load(None, "train")
    assert server.asked()[2:] == ["/zips/train2017.zip"]
    assert load_dataset("coco", "val", size=8, data_dir=home).cache == data.cache


def test_a_broken_connection_is_resumed(server: Server) -> None:
    body = archives()["val2017"]
    server.serve("val2017", body).troubles.append(Cut(500))
    assert len(load(None)) == 3
    assert server.loopback.asked("/zips/val2017.zip") == [None, "bytes=500-"]


def test_progress_is_told(server: Server) -> None:
    events: list[Event] = []
    load_dataset("coco", "val", size=8, callback=events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    downloaded = [event.done for event in progress if event.unit == "B"]
    steps = [(event.task, event.done, event.total) for event in progress if event.unit != "B"]
    assert len(archives()["val2017"]) in downloaded
    assert ("unpacking val2017.zip", 3, 3) in steps
    assert steps[-1] == ("preparing coco", 3, 3)


def test_sizes_are_those_that_coco_has() -> None:
    assert {name: archive.size for name, archive in coco._ARCHIVES.items()} == {
        "annotations": 252_907_541,
        "train2017": 19_336_861_798,
        "val2017": 815_585_330,
    }


def test_too_little_space_is_said_before_a_byte_is_fetched(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(coco._ARCHIVES["val2017"], size=800_000_000, unpacked=900_000_000)
    monkeypatch.setitem(coco._ARCHIVES, "val2017", changed)
    monkeypatch.setattr("shutil.disk_usage", lambda path: namedtuple("Usage", "free")(1_500_000_000))
    with pytest.raises(UsageError, match=r"needs 1\.8 GB in .*, 254 MB more than are free there"):
        load(None)
    assert server.asked() == []
    assert not home.exists()


def test_offline_nothing_is_promised(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notices: list[str] = []
    with pytest.raises(MissingError, match="HF_HUB_OFFLINE"):
        load(None, notices=notices)
    assert notices == server.asked() == []


def test_an_archive_with_another_digest_is_refused(server: Server, home: Path) -> None:
    body = archives()["val2017"]
    server.serve("val2017", body).body = body[:-1] + b"x"
    with pytest.raises(CorruptError, match="sha256"):
        load(None)
    assert kept(home) == ["annotations"]


def spoiled(body: bytes) -> bytes:
    """Return a zip in which one picture does not match its checksum."""
    middle = body.index(b"val2017/000000000285.jpg") + 60
    return body[:middle] + bytes(200) + body[middle + 200 :]


HOSTILE = {
    "../../escaped.jpg": b"x",
    "/escaped.jpg": b"x",
    "val2017/../../000000000001.jpg": b"x",
    "val2017/x.sh": b"x",
}
DAMAGED = {
    "no zip": b"not an archive" * 100,
    "cut": archives()["val2017"][:-100],
    "spoiled": spoiled(archives()["val2017"]),
    "empty": archive_of({}),
    "something else": archive_of(HOSTILE),
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
def test_damaged_archives_are_removed(server: Server, home: Path, body: bytes) -> None:
    server.serve("val2017", body)
    with pytest.raises(CorruptError, match=r"val2017\.zip"):
        load(None)
    assert kept(home) == ["annotations"]
    server.serve("val2017", archives()["val2017"])
    assert len(load(None)) == 3


def test_hostile_archives_write_nowhere_else(server: Server, home: Path, tmp_path: Path) -> None:
    pictures = {f"val2017/{image:012}.jpg": jpeg(image // 4) for image in IDS}
    server.serve("val2017", archive_of(HOSTILE | pictures))
    assert len(load(None)) == 3
    assert sorted(each.name for each in (home / "val2017").iterdir()) == [f"{image:012}.jpg" for image in IDS]
    assert not list(tmp_path.rglob("escaped*"))


def test_an_archive_of_other_files_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "val2017.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no pictures")
    with pytest.raises(CorruptError, match=r"val2017\.zip has none of the files that it should have, and was removed"):
        unpack_zip(path, tmp_path / "val2017", r"val2017/.*\.jpg", ignore)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_was_not_unpacked_is_not_fetched_again(server: Server, home: Path) -> None:
    home.mkdir(parents=True)
    (home / "val2017.zip").write_bytes(archives()["val2017"])
    (home / "val2017.part").mkdir()  # left by a killed process
    (home / "val2017.part" / "000000000007.jpg").write_bytes(b"half")
    assert len(load(None)) == 3
    assert server.asked() == ["/annotations/annotations_trainval2017.zip"]
    assert kept(home) == ["annotations", "val2017"]


def test_a_full_disk_while_unpacking_keeps_the_archive_only(server: Server, home: Path) -> None:
    load(None, "train")
    (home / "val2017.zip").write_bytes(archives()["val2017"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            load(None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept(home) == ["annotations", "train2017", "val2017.zip"]
    assert len(load(None)) == 3


def test_a_place_that_cannot_be_written(server: Server, home: Path) -> None:
    home.parent.parent.write_text("a file")
    with pytest.raises(UsageError, match="a part of the path is a file") as caught:
        load(None)
    assert caught.value.hint == "CVAE_HOME puts the cache elsewhere"
    assert server.asked() == []


def test_two_processes_fetch_once(server: Server, interpreter: str) -> None:
    page = server.serve("annotations", archives()["annotations"])
    page.gate = threading.Event()
    command = [interpreter, "-c", BRING, server.loopback.url, json.dumps(server.changes)]
    processes = []
    for _ in range(2):
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        while not server.asked():
            assert processes[0].poll() is None
            time.sleep(0.02)
    time.sleep(2)
    page.gate.set()
    told = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        told.append(json.loads(stdout))
    assert [n for n, _ in told] == [3, 3]
    assert sorted(server.asked()) == ["/annotations/annotations_trainval2017.zip", "/zips/val2017.zip"]
    waits = [{notice for notice in notices if "another process" in notice} for _, notices in told]
    assert not waits[0] & waits[1]  # what one process waits for, the other one does
    assert not any("annotations" in notice for notice in waits[0])  # it has begun with them
