"""The same folders, read here and by the imagefolder builder of Hugging Face's `datasets`.

They agree on pictures, splits, labels and captions, or the layout is in the table of docs/folders.md.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from layouts import LAYOUTS
from read_imagefolder import ERROR

from cvae_cli.data.conditions import Labels
from cvae_cli.data.folder import Folder
from cvae_cli.errors import CvaeError

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "folders.md"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each layout."""
    made = tmp_path_factory.mktemp("layouts")
    for name, make in LAYOUTS.items():
        (made / name).mkdir()
        make(made / name)
    return {name: made / name for name in LAYOUTS}


@pytest.fixture(scope="module")
def there(folders: dict[str, Path], programs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the builder reads in each folder, without a network and with an empty cache.

    All workers of xdist share it: to import the builder takes seconds.
    """
    file = programs / "imagefolder.json"
    with FileLock(programs / "imagefolder.lock"):
        if not file.exists():
            cache = tmp_path_factory.mktemp("hf")
            environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cache), "USE_TORCH": "0", "USE_TF": "0"}
            command = [sys.executable, "-W", "ignore", HERE / "read_imagefolder.py", *folders.values()]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            read = json.loads(done.stdout)
            file.write_text(json.dumps({name: read[str(folder)] for name, folder in folders.items()}))
    shared: dict[str, Any] = json.loads(file.read_text())
    return shared


def documented() -> set[str]:
    """Return the layouts in the table of differences."""
    table = PAGE.read_text(encoding="utf-8").partition("## Where imagefolder reads something else")[2]
    return set(re.findall(r"^\| ([^|]+?) +\|", table, re.MULTILINE)) - {"layout", "---"}


def read_here(root: Path) -> Any:
    """Return what this program reads, as `read_imagefolder.read` does. What it divides itself counts as one split."""
    source = Folder(f"folder:{root}")
    rows: list[Any] = []
    try:
        for split in source.find_splits():
            found = source.list_pictures(split)
            name = "train" if "of them for tests" in found.summary else split
            for row, file in enumerate(found.files):
                if isinstance(found.conditions, Labels):
                    rows.append([name, file, found.conditions.text(row), []])
                else:
                    first, count = found.conditions.first[row], found.conditions.count[row]
                    rows.append([name, file, None, list(found.conditions.sentences[first : first + count])])
    except CvaeError:
        return ERROR
    return rows


def in_order(rows: Any) -> Any:
    """Return rows sorted, with captions on one line as this program shows them to a model."""
    if rows == ERROR:
        return rows
    return sorted(
        ([split, file, label, [" ".join(text.split()) for text in captions]] for split, file, label, captions in rows),
        key=repr,
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_both_read_the_same_or_the_difference_is_documented(
    folders: dict[str, Path], there: dict[str, Any], name: str
) -> None:
    here, other = in_order(read_here(folders[name])), in_order(there[name])
    assert (here != other) == (name in documented()), f"\nhere:  {here}\nthere: {other}"


def test_the_table_of_differences_names_layouts_that_are_tested() -> None:
    assert documented() <= LAYOUTS.keys()
    assert len(LAYOUTS) >= 60
    assert len(LAYOUTS.keys() - documented()) >= 35
