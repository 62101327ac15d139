"""Folders of pictures in the three layouts, and their errors."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from small import captioned, save

from cvae_cli.data.catalog import check_name, evaluation_split, full_name, load_dataset, names
from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.folder import Folder
from cvae_cli.data.listing import Listing
from cvae_cli.errors import CorruptError, CvaeError, MissingError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


def write(path: Path, *lines: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))


def entry(name: str, text: object = "a caption") -> dict[str, object]:
    return {"file_name": name, "text": text}


def read(folder: Path, split: str = "test") -> Listing:
    return Folder(f"folder:{folder}").list_pictures(split)


def captions(found: Listing | Dataset) -> list[list[str]]:
    """Return all captions of each picture."""
    conditions = found.conditions
    assert isinstance(conditions, Captions)
    return [
        list(conditions.sentences[first : first + count])
        for first, count in zip(conditions.first, conditions.count, strict=True)
    ]


def classes(found: Listing | Dataset) -> list[str]:
    assert isinstance(found.conditions, Labels)
    return [each.name for each in found.conditions.classes]


def test_metadata_in_json_lines(pictures: Path) -> None:
    for name in ("b.jpg", "a.png", "deep/er/c.webp", "odd.jfif"):
        save(pictures / "test" / name) if name != "odd.jfif" else save(pictures / "x.jpg").rename(
            pictures / "test" / name
        )
    write(
        pictures / "test" / "metadata.jsonl",
        "\ufeff" + json.dumps(entry("b.jpg", ["  one ", "two\nlines", " "])),
        "",
        entry("./a.png", "an \u2028 a"),
        entry("deep/er/c.webp", "deep"),
        entry("odd.jfif"),
        entry("b.jpg", "three"),
    )
    found = read(pictures)
    assert found.files == ("test/a.png", "test/b.jpg", "test/deep/er/c.webp", "test/odd.jfif")
    assert captions(found) == [["an a"], ["one", "two lines", "three"], ["deep"], ["a caption"]]
    assert (found.split, found.root, found.notes) == ("test", pictures, ())


def test_metadata_in_csv(pictures: Path) -> None:
    for name in ("a, b.jpg", "c.jpg"):
        save(pictures / "test" / name)
    (pictures / "test" / "metadata.csv").write_bytes(
        b'\xef\xbb\xbfid,file_name,text\r\n1,"a, b.jpg","says ""hello"",\r\ntwice"\r\n2,c.jpg,c\xc3\xa9\r\n'
    )
    found = read(pictures)
    assert captions(found) == [['says "hello", twice'], ["cé"]]


def test_metadata_in_the_root_serves_all_splits(pictures: Path) -> None:
    for name in ("train/a.jpg", "test/a.jpg", "test/b.jpg"):
        save(pictures / name)
    write(pictures / "metadata.jsonl", *(entry(f"{name}.jpg", name) for name in ("train/a", "test/a", "test/b")))
    assert captions(read(pictures, "train")) == [["train/a"]]
    assert captions(read(pictures, "test")) == [["test/a"], ["test/b"]]


def test_texts_beside_pictures(pictures: Path) -> None:
    for name in ("a.jpg", "b.tar.PNG", "c.jpg", "sub/d.jpg", ".hidden.jpg", "silent.jpg"):
        save(pictures / "val" / name)
    for name, text in {
        "a": "one\n\n  two \r\n",
        "b.tar": "\ufeffbee",
        "c": "\n \n",
        "sub/d": "dee",
        "README": "hello",
    }.items():
        (pictures / "val" / f"{name}.txt").write_text(text)
    found = read(pictures, "val")
    assert found.files == ("val/a.jpg", "val/b.tar.PNG", "val/sub/d.jpg")
    assert captions(found) == [["one", "two"], ["bee"], ["dee"]]
    assert found.notes == (
        "1 text without a picture is left out: val/README.txt",
        "2 pictures without a caption are left out, the first val/c.jpg",
    )


def test_classes(pictures: Path) -> None:
    for name in ("train/hot_dog/a.jpg", "train/hot_dog/more/b.jpg", "train/cat/c.jpg", "train/stray.jpg"):
        save(pictures / name)
    save(pictures / "dev" / "Bull-Terrier" / "deep" / "d.gif")
    (pictures / "train" / "empty").mkdir()
    (pictures / "train" / "cat" / "notes.txt").write_text("not a caption")
    train, val = read(pictures, "train"), read(pictures, "val")
    assert classes(train) == classes(val) == ["Bull-Terrier", "cat", "hot_dog"]
    assert isinstance(train.conditions, Labels)
    assert isinstance(val.conditions, Labels)
    assert [each.words for each in train.conditions.classes] == [("Bull Terrier",), ("cat",), ("hot dog",)]
    assert train.files == ("train/cat/c.jpg", "train/hot_dog/a.jpg", "train/hot_dog/more/b.jpg")
    assert train.conditions.indices.tolist() == [1, 2, 2]
    assert val.conditions.indices.tolist() == [0]
    assert train.notes == ("1 picture beside the folders of classes is left out: train/stray.jpg",)


def test_one_class_is_said_to_decide_nothing(pictures: Path) -> None:
    for split in ("train", "test"):
        save(pictures / split / "cat" / "a.jpg")
    (note,) = read(pictures).notes
    assert "cat is the only class" in note
    assert "architecture.conditioning=none" in note


def test_a_class_may_be_called_train(pictures: Path) -> None:
    for name in ("train/a.jpg", "plane/b.jpg", "ship/c.jpg"):
        save(pictures / name)
    assert classes(read(pictures)) == ["plane", "ship", "train"]
    captioned(pictures / "train", 3)
    found = read(pictures)
    assert len(captions(found)) == 1
    assert found.notes[0] == "2 folders of pictures that are not splits are left out, the first plane"


def test_folders_that_are_no_splits_are_named(pictures: Path) -> None:
    for name in ("train/cat/a.jpg", "test/cat/a.jpg", "extra/b.jpg", ".thumbnails/c.jpg"):
        save(pictures / name)
    assert read(pictures).notes[0] == "1 folder of pictures that is not a split is left out: extra"


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev"])
def test_all_names_of_the_validation_split_mean_the_same(pictures: Path, name: str) -> None:
    captioned(pictures / "train", 2)
    captioned(pictures / name, 3)
    named = f"folder:{pictures}"
    assert Folder(named).find_splits() == ("train", "val")
    assert evaluation_split(named) == "val"
    for asked in ("val", "valid", "validation", "dev"):
        data = load_dataset(named, asked, size=8)
        assert (len(data), data.split) == (3, "val")


def test_a_folder_without_splits_is_divided_by_names_alone(pictures: Path) -> None:
    captioned(pictures, 40)
    named = f"folder:{pictures}"
    assert Folder(named).find_splits() == ("train", "test")
    assert evaluation_split(named) == "test"
    train, test = read(pictures, "train"), read(pictures, "test")
    assert (len(train.files), len(test.files)) == (36, 4)
    assert sorted(train.files + test.files) == [f"{number:02}.png" for number in range(40)]
    assert test.files == ("02.png", "03.png", "06.png", "33.png")  # the split never changes
    assert captions(test) == [["shade 2"], ["shade 3"], ["shade 6"], ["shade 33"]]
    moved = pictures.rename(pictures.with_name("moved"))
    assert read(moved, "test").files == test.files


def test_train_alone_is_divided_too(pictures: Path) -> None:
    captioned(pictures / "train", 3)
    assert Folder(f"folder:{pictures}").find_splits() == ("train", "test")
    assert [len(read(pictures, split).files) for split in ("train", "test")] == [2, 1]


def test_names_are_recorded_absolute(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioned(pictures, 4)
    monkeypatch.chdir(pictures.parent)
    assert full_name("folder:pictures/") == f"folder:{pictures}"
    assert full_name("mnist") == "mnist"
    assert load_dataset("folder:pictures", "test", size=8).name == f"folder:{pictures}"
    assert names()[-3:] == ["coco", "folder:PATH", "webdataset:PATTERN"]


def test_links_are_followed_but_not_in_circles(pictures: Path, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "a.jpg")
    (pictures / "test" / "cat").mkdir(parents=True)
    (pictures / "test" / "cat" / "up").symlink_to(pictures)
    (pictures / "test" / "dog").symlink_to(tmp_path / "elsewhere")
    assert read(pictures).files == ("test/dog/a.jpg",)


def test_pictures_reach_the_data_set_with_their_captions(pictures: Path) -> None:
    captioned(pictures / "test", 12)
    Image.new("RGBA", (40, 10), (0, 0, 0, 0)).save(pictures / "test" / "99.webp")
    (pictures / "test" / "99.txt").write_text("clear")
    data = load_dataset(f"folder:{pictures}", "test", size=8)
    assert data.images.shape == (13, 8, 8, 3)
    assert data.images[:12, 4, 4].tolist() == [[number, 0, 0] for number in range(12)]
    assert data.images[12].min() == 255
    part = data.take(data.rows[[12, 3]])
    assert [part.conditions.text(row) for row in (0, 1)] == ["clear", "shade 3"]
    assert part.cache == data.cache


METADATA = {
    "not JSON": (['{"file_name": "a.jpg",'], r"metadata\.jsonl, line 1: not JSON"),
    "deep": (["[" * 100_000], "line 1: not JSON"),
    "second line": ([entry("a.jpg"), "", "x"], "line 3: not JSON"),
    "list": (["[1]"], "line 1: not an object"),
    "no name": ([{"text": "x"}], 'metadata.jsonl has no column "file_name"'),
    "no name in a line": ([entry("a.jpg"), {"text": "x"}], 'line 2: no "file_name"'),
    "no text": ([{"file_name": "a.jpg"}], 'metadata.jsonl has no column "text"'),
    "number": ([entry("a.jpg", 3)], 'line 1: "text" is not a caption'),
    "mixed": ([entry("a.jpg", ["x", 3])], 'line 1: "text" is not a caption'),
    "up": ([entry("../a.jpg")], 'line 1: file_name "../a.jpg" is not a file inside'),
    "up within": ([entry("x/../../a.jpg")], "not a file inside"),
    "up on Windows": ([entry("x\\..\\..\\a.jpg")], "not a file inside"),
    "absolute": ([entry("/etc/passwd")], "not a file inside"),
    "drive": ([entry("C:a.jpg")], "not a file inside"),
    "empty name": ([entry("")], "not a file inside"),
    "nothing": ([], "names no pictures"),
}


@pytest.mark.parametrize(("lines", "message"), METADATA.values(), ids=METADATA)
def test_malformed_metadata(pictures: Path, lines: list[object], message: str) -> None:
    save(pictures / "test" / "a.jpg")
    write(pictures / "test" / "metadata.jsonl", *lines)
    with pytest.raises(CorruptError, match=message):
        read(pictures)


CSV = {
    "no text": (b"file_name\na.jpg\n", 'metadata.csv has no column "text"'),
    "no name": (b"name,text\na.jpg,x\n", 'no column "file_name"'),
    "empty": (b"", "names no pictures"),
    "no name in a line": (b"file_name,text\na.jpg,x\n,y\n", 'line 3: no "file_name"'),
    "comma": (b"file_name,text\na.jpg,no hat, but a shoe\n", "line 2: 3 fields, where the first line has 2"),
    "comma at the end": (b"file_name,text\na.jpg,x\na.jpg,x,\n", "line 3: 3 fields"),
    "semicolons": (b"file_name;text\na.jpg;x\n", 'no column "file_name"'),
    "open quote": (b'file_name,text\na.jpg,"x\n', "not CSV"),
    "huge field": (b"file_name,text\na.jpg," + b"x" * 200_000, "not CSV"),
    "latin-1": (b"file_name,text\na.jpg,caf\xe9\n", r"metadata.csv is not UTF-8 text \(byte 24\)"),
}


@pytest.mark.parametrize(("content", "message"), CSV.values(), ids=CSV)
def test_malformed_csv(pictures: Path, content: bytes, message: str) -> None:
    save(pictures / "test" / "a.jpg")
    (pictures / "test" / "metadata.csv").write_bytes(content)
    with pytest.raises(CorruptError, match=message):
        read(pictures)


def test_a_text_that_is_not_utf8_is_named(pictures: Path) -> None:
    captioned(pictures / "test", 2)
    (pictures / "test" / "01.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(CorruptError, match=r"01\.txt is not UTF-8"):
        read(pictures)


def test_metadata_without_its_pictures(pictures: Path) -> None:
    save(pictures / "test" / "a.jpg")
    named = [entry(f"{number}.jpg") for number in range(100)]
    write(pictures / "test" / "metadata.jsonl", entry("a.jpg"), *named)
    with pytest.raises(
        MissingError, match=r"names 101 pictures, and 100 of them are not there, the first test/0\.jpg"
    ) as caught:
        read(pictures)
    assert caught.value.hint == "check that the copy is complete"
    for number in range(99):
        save(pictures / "test" / f"{number}.jpg", size=(2, 2))
    found = read(pictures)
    assert len(found.files) == 100
    assert found.notes == ("1 picture that metadata.jsonl names is not there and is left out: test/99.jpg",)


def test_pictures_without_metadata(pictures: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        save(pictures / "test" / name)
    write(pictures / "test" / "metadata.jsonl", entry("a.jpg"), entry("b.jpg", "  "))
    found = read(pictures)
    assert found.files == ("test/a.jpg",)
    assert found.notes == ("2 pictures without a caption are left out, the first test/b.jpg",)
    write(pictures / "test" / "metadata.jsonl", entry("a.jpg", []), entry("b.jpg", "  "))
    with pytest.raises(UsageError, match="not one of 3 pictures has a caption"):
        read(pictures)


def test_what_no_folder_can_be(pictures: Path) -> None:
    captioned(pictures / "here", 1)
    cases: list[tuple[str, type[CvaeError], str]] = [
        ("folder:", UsageError, "names no folder"),
        (f"folder:{pictures}/absent", MissingError, "no folder .*absent"),
        (f"folder:{pictures}/{'x' * 5000}", MissingError, "no folder"),
        (f"folder:{pictures}/here/00.png", UsageError, "is not a folder"),
        (f"folder:{pictures}/here", UsageError, "a single picture"),
    ]
    for name, kind, message in cases:
        with pytest.raises(kind, match=message):
            load_dataset(name, "train")


def test_folders_that_tell_nothing(pictures: Path) -> None:
    (pictures / "test").mkdir(parents=True)
    with pytest.raises(UsageError, match="has no pictures") as caught:
        read(pictures)
    assert ".webp" in str(caught.value.hint)
    save(pictures / "test" / "a.jpg")
    with pytest.raises(UsageError, match="neither captions nor classes") as caught:
        read(pictures)
    assert "metadata.jsonl" in str(caught.value.hint)
    for name in ("metadata.jsonl", "metadata.csv"):
        write(pictures / "test" / name)
    with pytest.raises(UsageError, match="both metadata"):
        read(pictures)


def test_two_folders_of_one_split(pictures: Path) -> None:
    for split in ("val", "validation"):
        captioned(pictures / split, 1)
    found = read(pictures, "val")
    assert found.files == ("val/00.png", "validation/00.png")
    assert found.notes == ("the split val is made of val, validation",)


def test_a_class_that_no_prompt_can_name(pictures: Path) -> None:
    save(pictures / "test" / "dog" / "a.jpg")
    save(pictures / "test" / "_-_" / "a.jpg")
    assert classes(read(pictures)) == ["_-_", "dog"]
    if os.name == "posix":
        (pictures / "test" / "_-_").rename(pictures / "test" / "caf\udce9")
        with pytest.raises(UsageError, match=r"'caf\\udce9', which .* not valid text"):
            read(pictures)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX systems only")
def test_names_that_are_not_text(pictures: Path) -> None:
    captioned(pictures / "test", 1)
    for suffix in ("png", "txt"):
        (pictures / "test" / f"00.{suffix}").rename(pictures / "test" / f"caf\udce9.{suffix}")
    data = load_dataset(f"folder:{pictures}", "test", size=8)
    assert len(load_dataset(f"folder:{pictures}", "test", size=8)) == len(data) == 1


def test_names_splits_and_sizes_that_cannot_be(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioned(pictures / "train", 2)
    captioned(pictures / "test", 1)
    named = f"folder:{pictures}"
    with pytest.raises(UsageError, match='no split "val"') as caught:
        check_name(named, "val")
    assert caught.value.hint == "splits: train, test"
    with pytest.raises(UsageError, match=f'Did you mean "folder:{pictures}"'):
        check_name(str(pictures), "train")
    with pytest.raises(UsageError, match='Did you mean "coco"'):
        check_name("cocoa", "train")
    with pytest.raises(UsageError, match="path is in its name"):
        load_dataset(named, "train", data_dir=pictures)
    for size in (7, 1025):
        with pytest.raises(UsageError, match="from 8 to 1024"):
            load_dataset(named, "train", size=size)
    with pytest.raises(UsageError, match="fashion-mnist has pictures of 28x28"):
        load_dataset("fashion-mnist", "train", size=64)
