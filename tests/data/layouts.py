"""Folders of pictures in the layouts that users have. `LAYOUTS` has a function for each that makes it."""

import json
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from small import save

LAYOUTS: dict[str, Callable[[Path], object]] = {}
"""The function that makes each layout in an empty folder, by a name in words."""


def layout(make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Add a layout under the name of its function."""
    LAYOUTS[make.__name__.strip("_").replace("_", " ")] = make
    return make


def put(root: Path, *names: str) -> None:
    for name in names:
        save(root / name, size=(8, 8))


def classes(root: Path, n: int = 2, names: tuple[str, ...] = ("cat", "dog"), ending: str = "png") -> None:
    put(root, *(f"{name}/{i}.{ending}" for name in names for i in range(n)))


def jsonl(path: Path, *rows: tuple[str, object], column: str = "text") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"file_name": file, column: text}) + "\n" for file, text in rows))


def flat(root: Path, n: int = 3) -> list[tuple[str, object]]:
    put(root, *(f"{i}.png" for i in range(n)))
    return [(f"{i}.png", f"hat {i}") for i in range(n)]


# ---- classes -----------------------------------------------------------------------------------------------------


@layout
def folders_of_classes(root: Path) -> None:
    classes(root)


@layout
def names_with_spaces_and_letters_of_all_kinds(root: Path) -> None:
    classes(root, names=("hot dog", "café", "犬", "T-shirt & top"))


@layout
def endings_in_capitals(root: Path) -> None:
    classes(root, ending="PNG")


@layout
def kinds_of_pictures(root: Path) -> None:
    put(root, "cat/1.bmp", "cat/2.gif", "cat/3.tif", "cat/4.webp", "cat/5.jpeg", "cat/6.jfif", "cat/7.ppm")
    put(root, "dog/1.tga", "dog/2.jp2", "dog/3.pgm", "dog/4.ico", "dog/5.pcx", "dog/6.dds", "dog/7.sgi", "dog/8.apng")


@layout
def hidden_files(root: Path) -> None:
    classes(root)
    put(root, ".trash/1.png", "cat/.ipynb_checkpoints/1-checkpoint.png", "cat/._0.png", "__MACOSX/cat/0.png")


@layout
def other_files(root: Path) -> None:
    classes(root)
    for name in ("README.md", "cat/Thumbs.db", "labels.json", "dog/notes.doc"):
        (root / name).write_text("x")


@layout
def a_folder_around_the_classes(root: Path) -> None:
    classes(root / "data" / "images")


@layout
def pictures_beside_the_classes(root: Path) -> None:
    classes(root)
    put(root, "stray.png")


@layout
def classes_of_different_depth(root: Path) -> None:
    put(root, "cat/1.png", "dog/old/2.png", "dog/3.png")


@layout
def folders_in_classes(root: Path) -> None:
    put(root, "animal/cat/1.png", "animal/dog/2.png", "vehicle/car/3.png", "vehicle/bus/4.png")


@layout
def a_single_class(root: Path) -> None:
    classes(root, 3, ("cat",))


@layout
def no_classes_and_no_captions(root: Path) -> None:
    flat(root)


@layout
def heic_and_avif(root: Path) -> None:
    classes(root)
    Image.new("RGB", (64, 64)).save(root / "cat" / "photo.avif")


@layout
def postscript(root: Path) -> None:
    classes(root)
    put(root, "cat/drawing.eps")


@layout
def a_zip_archive(root: Path) -> None:
    classes(root)
    save(root / "inside.png")
    with zipfile.ZipFile(root / "more.zip", "w") as archive:
        archive.write(root / "inside.png", "dog/inside.png")
    (root / "inside.png").unlink()


# ---- splits ------------------------------------------------------------------------------------------------------


@layout
def train_and_test(root: Path) -> None:
    classes(root / "train", 3)
    classes(root / "test")


@layout
def train_val_and_test(root: Path) -> None:
    for split in ("train", "val", "test"):
        classes(root / split)


@layout
def training_and_testing(root: Path) -> None:
    classes(root / "training")
    classes(root / "testing")


@layout
def training_validation_and_evaluation(root: Path) -> None:
    for split in ("training", "validation", "evaluation"):
        classes(root / split)


@layout
def train_dev_and_eval(root: Path) -> None:
    for split in ("train", "dev", "eval"):
        classes(root / split)


@layout
def names_with_separators(root: Path) -> None:
    for split in ("train_images", "my-valid set", "hats.test"):
        classes(root / split)


@layout
def names_with_years(root: Path) -> None:
    classes(root / "train2017")
    classes(root / "val2017")


@layout
def names_that_only_begin_like_splits(root: Path) -> None:
    classes(root / "trainer", names=("a", "b"))
    classes(root / "testament", names=("c", "d"))
    for file in list(root.rglob("*.png")):
        file.rename(file.parent.parent / f"{file.parent.name}{file.name}")
        if not list(file.parent.iterdir()):
            file.parent.rmdir()


@layout
def several_folders_of_a_split(root: Path) -> None:
    put(root, "train-1/cat/1.png", "train-2/dog/2.png", "test/cat/3.png", "test/dog/4.png")


@layout
def val_and_validation(root: Path) -> None:
    for split in ("train", "val", "validation"):
        put(root, f"{split}/cat/{split}.png", f"{split}/dog/{split}.png")


@layout
def a_folder_around_the_splits(root: Path) -> None:
    classes(root / "images" / "train")
    classes(root / "images" / "test")


@layout
def other_folders_beside_the_splits(root: Path) -> None:
    classes(root / "train")
    classes(root / "test")
    classes(root / "unlabelled")
    put(root, "stray.png")


@layout
def classes_in_some_splits_only(root: Path) -> None:
    classes(root / "train")
    classes(root / "test", names=("cat",))


@layout
def splits_in_the_names_of_files(root: Path) -> None:
    names = ["train_1.png", "train_2.png", "val-1.png", "test 1.png"]
    put(root, *names)
    jsonl(root / "metadata.jsonl", *((name, name) for name in names))


@layout
def one_file_with_the_name_of_a_split(root: Path) -> None:
    classes(root)
    put(root, "cat/test shot.png")


@layout
def splits_in_capitals(root: Path) -> None:
    classes(root / "Train")
    classes(root / "TEST")


@layout
def splits_in_classes(root: Path) -> None:
    put(root, "cat/train/1.png", "cat/test/2.png", "dog/train/3.png", "dog/test/4.png")


@layout
def a_class_called_train(root: Path) -> None:
    classes(root, names=("plane", "ship", "train"))


@layout
def a_class_called_toy_train(root: Path) -> None:
    classes(root, names=("plane", "toy train"))


@layout
def classes_of_test_results(root: Path) -> None:
    classes(root, names=("test_negative", "test_positive"))


# ---- captions ----------------------------------------------------------------------------------------------------


@layout
def metadata_in_json_lines(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *flat(root))


@layout
def metadata_in_csv(root: Path) -> None:
    flat(root)
    (root / "metadata.csv").write_text(
        'file_name,text\n0.png,"no hat, but a shoe"\n1.png,"a ""hat"""\n2.png,a\u2028b\n'
    )


@layout
def metadata_in_parquet(root: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    files, texts = zip(*flat(root), strict=True)
    parquet.write_table(pyarrow.table({"file_name": files, "text": texts}), root / "metadata.parquet")


@layout
def metadata_with_other_columns(root: Path) -> None:
    flat(root, 2)
    (root / "metadata.csv").write_text("id,text,file_name,caption\n1,a hat,0.png,x\n2,a shoe,1.png,y\n")


@layout
def several_captions_of_a_picture(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *((file, [f"{text} a", f"{text} b"]) for file, text in flat(root)))


@layout
def pictures_that_metadata_does_not_name(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *flat(root)[:2])


@layout
def metadata_in_each_class(root: Path) -> None:
    classes(root)
    for name in ("cat", "dog"):
        jsonl(root / name / "metadata.jsonl", ("0.png", f"one {name}"), ("1.png", f"a {name}"))


@layout
def metadata_in_a_folder_of_images(root: Path) -> None:
    jsonl(root / "images" / "metadata.jsonl", *flat(root / "images"))


@layout
def metadata_above_the_pictures(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *((f"images/{file}", text) for file, text in flat(root / "images")))


@layout
def metadata_in_each_split(root: Path) -> None:
    for split in ("train", "validation", "test"):
        jsonl(root / split / "metadata.jsonl", *flat(root / split))


@layout
def metadata_in_the_folders_of_splits(root: Path) -> None:
    for split in ("train", "test"):
        jsonl(root / split / "images" / "metadata.jsonl", *flat(root / split / "images"))


@layout
def backslashes_in_names(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *((f"img\\{file}", text) for file, text in flat(root / "img")))


@layout
def dots_in_names(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *((f"./img/../img//{file}", text) for file, text in flat(root / "img")))


@layout
def names_outside_of_the_folder(root: Path) -> None:
    flat(root / "pictures")
    save(root / "secret.png")
    jsonl(root / "pictures" / "metadata.jsonl", ("0.png", "a hat"), ("../secret.png", "a secret"))


@layout
def absolute_names(root: Path) -> None:
    flat(root)
    jsonl(root / "metadata.jsonl", (str(root / "0.png"), "a hat"))


@layout
def a_comma_without_quotes(root: Path) -> None:
    flat(root)
    (root / "metadata.csv").write_text("file_name,text\n0.png,a hat\n1.png,no hat, but a shoe\n2.png,a shoe\n")


@layout
def metadata_above_the_splits(root: Path) -> None:
    rows = [(f"{split}/{file}", text) for split in ("train", "test") for file, text in flat(root / split)]
    jsonl(root / "metadata.jsonl", *rows)


@layout
def names_in_another_form(root: Path) -> None:
    put(root, "Hat.PNG", unicodedata.normalize("NFD", "café.png"))
    jsonl(root / "metadata.jsonl", ("hat.png", "a hat"), (unicodedata.normalize("NFC", "café.png"), "a café"))


@layout
def texts_that_are_null(root: Path) -> None:
    rows = flat(root)
    jsonl(root / "metadata.jsonl", *rows[:2], ("2.png", None))


@layout
def empty_cells(root: Path) -> None:
    flat(root)
    (root / "metadata.csv").write_text("file_name,text\n0.png,a hat\n1.png,\n2.png,null\n")


@layout
def captions_in_a_column_caption(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *flat(root), column="caption")


@layout
def metadata_in_capitals(root: Path) -> None:
    jsonl(root / "Metadata.JSONL", *flat(root))


@layout
def two_lines_for_a_picture(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *flat(root), ("0.png", "another hat"))


@layout
def two_kinds_of_metadata(root: Path) -> None:
    jsonl(root / "a" / "metadata.jsonl", *flat(root / "a"))
    flat(root / "b", 1)
    (root / "b" / "metadata.csv").write_text("file_name,text\n0.png,a shoe\n")


@layout
def metadata_without_captions(root: Path) -> None:
    jsonl(root / "metadata.jsonl", *flat(root), column="number")


@layout
def text_files(root: Path) -> None:
    for file, text in flat(root):
        (root / file).with_suffix(".txt").write_text(str(text))


@layout
def caption_files(root: Path) -> None:
    for folder in ("10_hat", "10_shoe"):
        for file, text in flat(root / folder):
            (root / folder / file).with_suffix(".caption").write_text(str(text))


@layout
def text_files_named_after_the_whole_picture(root: Path) -> None:
    for file, text in flat(root):
        (root / f"{file}.txt").write_text(str(text))
