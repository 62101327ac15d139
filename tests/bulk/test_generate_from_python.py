"""Many pictures from Python: on one sheet, or into a folder."""

import json
from pathlib import Path

import pytest
from helpers import Listener, small_model
from PIL import Image

from cvae_cli.bulk.generate import generate_files
from cvae_cli.bulk.grid import generate_grid
from cvae_cli.errors import UsageError
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.pretrained import weights_sha256
from cvae_cli.text.prompts import Prompts

OLD_MANIFEST = """\
{{"model": "fashion", "weights": "{weights}", "seed": 0, "temperature": 1.0, "guidance": null, "n": 2, "format": "png"}}
{{"file": "1-dress.png", "prompt": "dress", "sample": 0}}
{{"file": "2-dress.png", "prompt": "dress", "sample": 1}}
{{"file": "3-bag.png", "prompt": "bag", "sample": 0}}
"""
"""A manifest as version 0.1 has written it."""


def test_a_grid_has_a_row_for_each_prompt(quick_model: Path) -> None:
    listener = Listener()
    grid = generate_grid(quick_model, ["dress", "two bags"], n=40, seed=3, callback=listener)
    assert (grid.sheet.size, grid.size) == ((40 * 30 - 2, 2 * 30 - 2), 28)
    assert (grid.prompts, grid.n) == (["dress", "two bags"], 40)
    assert grid.metadata.items() >= {"model": "fashion", "seed": 3, "temperature": 1.0}.items()
    assert listener.progress == [(done, 80) for done in range(0, 81, 16)]
    (picture,) = CVAE.from_pretrained(quick_model).generate("two bags", seed=3)
    assert grid.sheet.crop((0, 30, 28, 58)).tobytes() == picture.tobytes()


def test_a_model_in_memory_and_a_single_prompt(tmp_path: Path) -> None:
    model = small_model("dense-concat")
    listener = Listener()
    grid = generate_grid(model, "a shirt and jeans", callback=listener)
    assert (grid.sheet.size, grid.prompts) == ((28, 28), ["a shirt and jeans"])
    assert listener.notices == ['"a shirt and jeans" names several classes: drawing shirt, not trouser']
    files = generate_files(model, "a shirt and jeans", tmp_path)
    with Image.open(tmp_path / "1-a-shirt-and-jeans.png") as picture:
        assert picture.tobytes() == grid.sheet.tobytes()
    assert list(files.paths()) == [tmp_path / "1-a-shirt-and-jeans.png"]


def test_a_folder_is_continued_with_more_prompts(quick_model: Path, tmp_path: Path) -> None:
    listener = Listener()
    first = generate_files(quick_model, ["dress"], tmp_path, format="webdataset", n=3, callback=listener)
    assert (first.folder, first.total, first.new) == (tmp_path, 3, 3)
    assert listener.progress == [(0, 3), (1, 3), (2, 3), (3, 3)]
    more = generate_files(quick_model, Prompts(["dress", "bag"]), tmp_path, format="webdataset", n=3)
    assert (more.total, more.new, more.metadata) == (6, 3, first.metadata)
    assert [path.name for path in more.paths()] == ["000000.tar", "000001.tar"]
    assert generate_files(quick_model, ["dress", "bag"], tmp_path, format="webdataset", n=3).new == 0


def test_a_manifest_of_an_earlier_version_is_continued(quick_model: Path, tmp_path: Path) -> None:
    manifest = OLD_MANIFEST.format(weights=weights_sha256(quick_model))
    (tmp_path / "manifest.jsonl").write_text(manifest)
    for name in ("1-dress.png", "2-dress.png"):
        (tmp_path / name).write_text("there, of any size")
    files = generate_files(quick_model, ["dress", "bag"], tmp_path, n=2)
    assert (files.total, files.new) == (4, 2)  # the third is listed and not there
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert (tmp_path / "manifest.jsonl").read_text().startswith("".join(manifest.splitlines(keepends=True)[:3]))
    sizes = [(tmp_path / name).stat().st_size for name in ("3-bag.png", "4-bag.png")]
    assert lines[3:] == [
        {"file": "3-bag.png", "prompt": "bag", "sample": 0, "bytes": sizes[0]},
        {"file": "4-bag.png", "prompt": "bag", "sample": 1, "bytes": sizes[1]},
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "wepb"}, 'no format "wepb". Did you mean "webp"?'),
        ({"guidance": 2.0}, "guidance needs a prior of the kind score"),
    ],
)
def test_wrong_settings_leave_no_folder(
    quick_model: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        generate_files(quick_model, ["dress"], tmp_path / "out", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
