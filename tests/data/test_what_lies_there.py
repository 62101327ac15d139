"""What lies in a folder of pictures: names of splits, captions in any place and form, and what is said of the rest."""

import json
import shutil
import sys
import unicodedata
from pathlib import Path

import pytest
from small import captioned, save

from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.data.folder import Folder
from cvae_cli.data.folder_splits import split_of
from cvae_cli.data.listing import Listing
from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.pictures import kinds


def put(root: Path, *names: str) -> Path:
    for name in names:
        save(root / name)
    return root


def jsonl(path: Path, **texts: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"file_name": file, "text": text}) + "\n" for file, text in texts.items()))


def read(root: Path, split: str = "test") -> Listing:
    return Folder(f"folder:{root}").list_pictures(split)


def splits(root: Path) -> tuple[str, ...]:
    return Folder(f"folder:{root}").find_splits()


def captions(found: Listing) -> dict[str, str]:
    assert isinstance(found.conditions, Captions)
    return {file: found.conditions.text(row) for row, file in enumerate(found.files)}


def classes(found: Listing) -> dict[str, str]:
    assert isinstance(found.conditions, Labels)
    return {file: found.conditions.text(row) for row, file in enumerate(found.files)}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(name, "train") for name in ("train", "training", "Train", "train2017", "my-train_set", "hats.training 2")],
        *[(name, "val") for name in ("val", "valid", "validation", "dev", "VALIDATION", "val2017", "x-dev")],
        *[(name, "test") for name in ("test", "testing", "eval", "evaluation", "test_images", "1 test", "00-eval-00")],
        *[(name, None) for name in ("trainer", "valley", "contest", "testament", "device", "cat", "train_test", "")],
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_training_and_testing_are_no_classes(tmp_path: Path) -> None:
    put(tmp_path, "training/0/a.png", "training/1/b.png", "testing/0/c.png", "testing/1/d.png")
    assert splits(tmp_path) == ("train", "test")
    assert classes(read(tmp_path, "train")) == {"training/0/a.png": "0", "training/1/b.png": "1"}
    assert classes(read(tmp_path, "test")) == {"testing/0/c.png": "0", "testing/1/d.png": "1"}
    found = read(tmp_path, "train")
    assert found.summary == "train: 2 pictures in 2 classes (0: 1, 1: 1) · test: 2 pictures"
    assert found.notes == ()


@pytest.mark.parametrize(
    "names",
    [
        ("trainset/{}.png", "testset/{}.png"),
        ("TrainA/{}.png", "ValB/{}.png", "TestC/{}.png"),
        ("trn/{}.png", "tst/{}.png"),
        ("test_negative/{}.png", "test_positive/{}.png"),
        ("cat/train/{}.png", "cat/test/{}.png", "cat/{}.png"),
        ("cat/test/{}.png", "dog/{}.png"),
        ("test/{}.png", "cat/{}.png", "dog/{}.png"),
        ("train/{}.png", "tram/{}.png"),
    ],
)
def test_what_looks_like_splits_and_is_taken_for_classes_is_said(tmp_path: Path, names: tuple[str, ...]) -> None:
    put(tmp_path, *(name.format(number) for name in names for number in range(4)))
    found = read(tmp_path, "train")
    assert isinstance(found.conditions, Labels)
    note = next(note for note in found.notes if "look like splits" in note or "looks like a split" in note)
    assert "taken for " in note
    assert names[0].split("/")[-2] in note


@pytest.mark.parametrize("names", [("trousers", "tennis"), ("value", "deer"), ("contest", "cat")])
def test_other_names_are_not_said_to_look_like_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    put(tmp_path, *(f"{name}/{number}.png" for name in names for number in range(3)))
    found = read(tmp_path, "train")
    assert isinstance(found.conditions, Labels)
    assert [each.name for each in found.conditions.classes] == sorted(names)
    assert found.notes == ()


def test_a_picture_beside_the_folders_of_splits_is_said_to_be_left_out(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/a.png", "val/cat/b.png", "stray.png")
    found = read(tmp_path, "val")
    assert found.notes[0] == "1 picture beside the folders of splits is left out: stray.png"


def test_splits_in_a_folder_in_classes_and_in_names_of_files(tmp_path: Path) -> None:
    put(tmp_path / "a", "images/train/cat/1.png", "images/test/cat/2.png", "images/test/dog/3.png")
    (tmp_path / "a" / "labels").mkdir()
    (tmp_path / "a" / "labels" / "1.txt").write_text("0 0.5 0.5 1 1")
    assert classes(read(tmp_path / "a")) == {"images/test/cat/2.png": "cat", "images/test/dog/3.png": "dog"}
    put(tmp_path / "b", "cat/train/1.png", "cat/test/2.png", "dog/train/3.png", "dog/test/4.png")
    assert classes(read(tmp_path / "b")) == {"cat/test/2.png": "cat", "dog/test/4.png": "dog"}
    put(tmp_path / "c", "cat/train_1.png", "cat/test_2.png", "dog/train_3.png")
    assert splits(tmp_path / "c") == ("train", "test")
    assert classes(read(tmp_path / "c")) == {"cat/test_2.png": "cat"}


def test_metadata_in_any_folder_is_read(tmp_path: Path) -> None:
    put(tmp_path / "a", "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    for name in ("cat", "dog"):
        jsonl(tmp_path / "a" / name / "metadata.jsonl", **{"1.png": f"one {name}", "2.png": f"a {name}"})
    both = captions(read(tmp_path / "a", "train")) | captions(read(tmp_path / "a", "test"))
    assert both == {"cat/1.png": "one cat", "cat/2.png": "a cat", "dog/1.png": "one dog", "dog/2.png": "a dog"}
    assert read(tmp_path / "a").summary.startswith("4 pictures with captions from 2 files metadata.jsonl")
    put(tmp_path / "b", "test/images/1.png")
    jsonl(tmp_path / "b" / "test" / "images" / "Metadata.JSONL", **{"1.png": "a hat"})
    assert captions(read(tmp_path / "b")) == {"test/images/1.png": "a hat"}


@pytest.mark.parametrize("ending", ["txt", "TXT", "caption", "Caption", "png.txt"])
def test_texts_with_other_endings_are_captions(tmp_path: Path, ending: str) -> None:
    put(tmp_path, "test/a/1.PNG", "test/b/Café.png".replace("é", "e\u0301"))
    (tmp_path / "test" / "a" / f"1.{ending}").write_text("a hat")
    (tmp_path / "test" / "b" / f"café.{ending}").write_text("a shoe")
    found = read(tmp_path)
    assert list(captions(found).values()) == ["a hat", "a shoe"]
    assert found.notes == ()
    assert "not read" not in found.summary


def test_texts_and_captions_beside_one_picture_are_both_read(tmp_path: Path) -> None:
    captioned(tmp_path / "test", 1)
    (tmp_path / "test" / "00.caption").write_text("a red square")
    found = read(tmp_path)
    assert isinstance(found.conditions, Captions)
    assert found.conditions.sentences == ("shade 0", "a red square")
    assert found.summary == "test: 1 picture with captions from .txt and .caption files beside them"


@pytest.mark.parametrize("column", ["caption", "prompt", "Text", "captions", "description"])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_the_only_column_that_can_have_captions_is_taken_with_a_note(tmp_path: Path, column: str, kind: str) -> None:
    put(tmp_path, "test/1.png", "test/2.png")
    path = tmp_path / "test" / f"metadata.{kind}"
    rows = [{"file_name": f"{number}.png", "id": "x", column: f"hat {number}"} for number in (1, 2)]
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif kind == "csv":
        path.write_text("\n".join([f"file_name, id, {column}", *(",".join(row.values()) for row in rows)]))
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    found = read(tmp_path)
    assert captions(found) == {"test/1.png": "hat 1", "test/2.png": "hat 2"}
    assert found.notes == (f'the column "{column}" of metadata.{kind} is taken for "text"',)


def test_parquet_without_pyarrow_and_damaged_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "test/1.png")
    (tmp_path / "test" / "metadata.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(CorruptError, match=r"metadata\.parquet is not Parquet"):
        read(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow") as caught:
        read(tmp_path)
    assert caught.value.hint == 'pip install "cvae-cli[parquet]"'


def test_two_columns_that_can_have_captions_are_an_error_and_text_decides(tmp_path: Path) -> None:
    put(tmp_path, "test/1.png")
    path = tmp_path / "test" / "metadata.csv"
    path.write_text("file_name,caption,prompt\n1.png,a,b\n")
    with pytest.raises(UsageError, match='no column "text", but caption and prompt'):
        read(tmp_path)
    path.write_text("file_name,caption,prompt,text\n1.png,a,b,c\n")
    assert captions(read(tmp_path)) == {"test/1.png": "c"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.jsonl", '{"file_name": "1.png", "text": "a"}\n{"file_name": "2.png", "text": null}\n'),
        ("metadata.jsonl", '{"file_name": "1.png", "text": "a"}\n{"file_name": "2.png"}\n'),
        ("metadata.jsonl", '{"file_name": "1.png", "text": ["a", null]}\n{"file_name": "2.png", "text": [null]}\n'),
        ("metadata.csv", "file_name,text\n1.png,a\n2.png,\n"),
        ("metadata.csv", "file_name,text\n1.png,a\n2.png\n"),
        ("metadata.csv", "file_name,text\n1.png,a\n2.png,null\n"),
        ("metadata.csv", "file_name,text\n1.png,a\n2.png,NaN\n"),
    ],
)
def test_null_and_missing_texts_are_left_out_with_a_note(tmp_path: Path, name: str, content: str) -> None:
    put(tmp_path, "test/1.png", "test/2.png")
    (tmp_path / "test" / name).write_text(content)
    found = read(tmp_path)
    assert captions(found) == {"test/1.png": "a"}
    assert found.notes == ("1 picture without a caption is left out: test/2.png",)


@pytest.mark.parametrize(
    "name", ["img\\Hat.png", "./img/Hat.png", "img//Hat.png", "IMG/hat.PNG", "x/../img/Hat.png", "img/Hat.png"]
)
def test_names_that_differ_in_form_only_are_found(tmp_path: Path, name: str) -> None:
    put(tmp_path, "test/img/Hat.png", "test/img/" + unicodedata.normalize("NFD", "café.png"))
    jsonl(
        tmp_path / "test" / "metadata.jsonl", **{name: "a hat", "img\\" + unicodedata.normalize("NFC", "café.png"): "x"}
    )
    assert sorted(captions(read(tmp_path)).values()) == ["a hat", "x"]


@pytest.mark.parametrize("name", ["1.jpg", "photos/1.png", "img/1", "img/11.png"])
def test_the_near_name_of_a_missing_picture_is_said(tmp_path: Path, name: str) -> None:
    put(tmp_path, "test/img/1.png", "test/img/2.png")
    jsonl(tmp_path / "test" / "metadata.jsonl", **{name: "a hat"})
    with pytest.raises(MissingError, match="names 1 pictures, and 1 of them are not there") as caught:
        read(tmp_path)
    assert caught.value.hint == 'Did you mean "test/img/1.png"?'


def test_of_two_names_that_differ_in_case_none_is_guessed(tmp_path: Path) -> None:
    put(tmp_path, "test/a.png", "test/A.png")
    if len(list((tmp_path / "test").iterdir())) == 1:
        pytest.skip("this file system does not tell capitals apart")
    jsonl(tmp_path / "test" / "metadata.jsonl", **{"a.png": "small", "A.png": "large"})
    assert captions(read(tmp_path)) == {"test/A.png": "large", "test/a.png": "small"}
    jsonl(tmp_path / "test" / "metadata.jsonl", **{"a.PNG": "which?"})
    with pytest.raises(MissingError, match=r"the first test/a\.PNG"):
        read(tmp_path)


def test_what_is_not_read_is_counted_by_its_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_readable", lambda: kinds.PILLOW)
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.ppm", "dog/2.ppm")
    for name in ("bird/1.HEIC", "bird/2.heic", "cat/3.avif", "labels.json", "dog/raw.dng", "dog/raw2.dng", "more.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("README.md", "LICENSE", "cat/Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    found = read(tmp_path, "train")
    assert found.summary == (
        "4 pictures in 2 classes (cat: 2, dog: 2) · 1 of them for tests · not read: "
        '2 .heic (for these:  pip install "cvae-cli[heif]"), 2 .dng, 1 .avif (for these:  pip install "pillow>=11.3"), '
        "1 .json, 1 .zip"
    )
    shutil.rmtree(tmp_path / "cat")
    shutil.rmtree(tmp_path / "dog")
    with pytest.raises(UsageError, match="has no pictures") as caught:
        read(tmp_path, "train")
    assert '2 .heic (for these:  pip install "cvae-cli[heif]")' in str(caught.value.hint)


def test_captions_that_are_not_read_are_said(tmp_path: Path) -> None:
    root = put(tmp_path, "test/cat/1.png", "test/cat/2.png", "test/cat/3.png", "test/dog/1.png")
    for name in ("cat/1.txt", "cat/2.json", "captions.json"):
        (root / "test" / name).write_text("a cat")
    found = read(root)  # one text beside four pictures makes no captions
    assert set(classes(found).values()) == {"cat", "dog"}
    assert found.summary.endswith(" · not read: 2 .json, 1 .txt")
    jsonl(root / "test" / "metadata.jsonl", **{"cat/1.png": "a hat", "dog/1.png": "a shoe"})
    found = read(root)
    assert captions(found) == {"test/cat/1.png": "a hat", "test/dog/1.png": "a shoe"}
    assert found.summary.endswith(" · not read: 2 .json, 1 .txt")
    assert found.notes == ("2 pictures without a caption are left out, the first test/cat/2.png",)
    for name in ("labels.csv", "metadata.jsonl"):  # the metadata of the split counts, not that above it
        (root / name).write_text("x")
    assert read(root).summary.endswith(" · not read: 2 .json, 1 .txt, 1 .csv, 1 .jsonl")


def test_a_single_caption_says_how_many_pictures_have_none(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number}.png" for number in range(12)))
    (tmp_path / "0.txt").write_text("a hat")
    with pytest.raises(UsageError, match="a single picture that can be used") as caught:
        read(tmp_path, "train")
    assert caught.value.hint == "11 pictures without a caption are left out, the first 1.png"


def test_the_summary_of_many_classes_is_short(tmp_path: Path) -> None:
    put(tmp_path, *(f"test/{name:02}/{number}.png" for name in range(14) for number in range(1 + name % 3)))
    assert read(tmp_path).summary == (
        "test: 27 pictures in 14 classes (00: 1, 01: 2, 02: 3, 03: 1, 04: 2, 05: 3, 06: 1, 07: 2, 08: 3, 09: 1, ...; "
        "1 to 3 pictures in each)"
    )
