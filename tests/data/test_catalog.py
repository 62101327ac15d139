"""The catalog of data sets, and what a new source needs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cvae_cli.config.model import ImageShape
from cvae_cli.data import catalog
from cvae_cli.data.conditions import Labels, make_classes
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.data.source import ArraySource, Source
from cvae_cli.errors import MissingError, UsageError
from cvae_cli.events import Callback


def loaded_modules(code: str) -> set[str]:
    """Return the top-level modules that are loaded after running `code` in a new process."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_names_cost_nothing_and_descriptions_no_torch() -> None:
    heavy = {"torch", "torchvision", "numpy", "PIL", "pydantic"}
    assert loaded_modules("from cvae_cli.data import catalog; catalog.names()") & heavy == set()
    describe = "[(source.name, source.description, source.splits) for source in catalog.all_sources()]"
    assert loaded_modules(f"from cvae_cli.data import catalog; {describe}") & {"torch", "torchvision"} == set()


@pytest.mark.parametrize("source", catalog.all_sources(), ids=lambda source: source.name)
def test_every_source_describes_itself_in_a_line(source: Source) -> None:
    assert source.name in catalog.names()
    assert 10 < len(source.description) < 80
    assert source.description.isprintable()
    assert source.splits[0] == "train"
    assert source.has_sizes == catalog.has_sizes(source.name)


def test_names_are_found_exactly() -> None:
    assert catalog.names() == [
        "fashion-mnist",
        "mnist",
        "kmnist",
        "cifar-10",
        "coco",
        "folder:PATH",
        "webdataset:PATTERN",
    ]
    for name in ("folder", "mnist:", "mnist:x", "other:x", "PATH", ""):
        with pytest.raises(UsageError, match=f'no data set "{name}"'):
            catalog.check_name(name, "train")
    with pytest.raises(MissingError, match="no folder"):  # a path like any other
        catalog.check_name("folder:PATH", "train")


def test_names_that_are_not_known_stay_as_they_are() -> None:
    assert catalog.full_name("unknown") == catalog.short_name("unknown") == "unknown"
    assert catalog.full_name("folder:/a/b/../c") == "folder:/a/c"
    assert catalog.short_name("folder:/a/b") == "b"


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("mnist", None, ImageShape(size=28, channels=1)),
        ("mnist", 28, ImageShape(size=28, channels=1)),
        ("cifar-10", None, ImageShape(size=32, channels=3)),
        ("coco", None, ImageShape(size=64, channels=3)),
        ("coco", 256, ImageShape(size=256, channels=3)),
    ],
)
def test_shapes_are_known_without_files(name: str, size: int | None, shape: ImageShape) -> None:
    assert catalog.shape_of(name, size) == shape


def test_sources_know_whether_they_have_classes() -> None:
    assert [catalog.has_classes(name) for name in ("kmnist", "cifar-10", "coco")] == [True, True, False]


class Stripes(ArraySource):
    """Pictures of horizontal or vertical stripes."""

    description = "generated stripes, 8x8, in two directions"
    splits = ("train", "test")
    shape = ImageShape(size=8, channels=1)

    def read(self, split: str, *, data_dir: Path | None, callback: Callback) -> Dataset:
        rows = np.arange(8) % 2 * np.full((8, 1), 255)
        labels = np.arange(10) % 2
        pixels = np.stack([rows, rows.T])[labels].astype(np.uint8)[..., None]  # (10, 8, 8, 1)
        classes = make_classes({"vertical": "vertical, upright", "horizontal": "horizontal, level"})
        return dataset_from_pixels(self.name, split, pixels, Labels(labels, classes), "public domain")


def test_a_new_source_needs_a_class_and_a_line_in_the_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.SOURCES, "stripes", f"{__name__}:Stripes")
    assert "stripes" in catalog.names()
    data = catalog.load_dataset("stripes", "test", limit=4)
    assert (data.name, data.split, data.images.shape) == ("stripes", "test", (4, 8, 8, 1))
    assert data.conditions.text(1) == "horizontal"
    assert catalog.evaluation_split("stripes") == "test"
    assert catalog.has_classes("stripes")
    with pytest.raises(UsageError, match="stripes has pictures of 8x8"):
        catalog.load_dataset("stripes", "test", size=16)
    with pytest.raises(UsageError, match='stripes has no split "validation"'):
        catalog.load_dataset("stripes", "validation")
    with pytest.raises(UsageError, match=r'no data set "strips"\. Did you mean "stripes"'):
        catalog.load_dataset("strips", "train")
