"""Check the documentation against the code."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import small_model

from cvae_cli.data.mnist import FAMILY
from cvae_cli.evaluation.features.fashion_cnn import load_fashion_cnn
from cvae_cli.models import pretrained
from cvae_cli.pictures.pixels import to_uint8

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_reference_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["reference"]()
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == made, "run docs/make_reference.py"


def test_what_shells_complete_is_that_of_the_commands() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_completion.py"))
    assert made["FILE"].read_text(encoding="utf-8") == made["content"](), "run docs/make_reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_rows_of_a_table_have_the_cells_of_its_head(page: Path) -> None:
    """A bar that is not escaped begins another cell, in code too, and what is more than the head has is not shown."""
    tables = re.findall(r"(?:^\|.*\n)+", page.read_text(encoding="utf-8"), re.MULTILINE)
    for head, *rows in (table.splitlines() for table in tables):
        assert [row for row in rows if cells(row) != cells(head)] == []


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def test_python_of_the_library_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "cache"))
    for name in ("scenes", "emoji"):  # small models stand for the bundled ones
        small_model("captioned-map-score").save_pretrained(tmp_path / "bundled" / name)
    (tmp_path / "bundled" / "fashion").symlink_to(pretrained.bundled_dir() / "fashion")
    monkeypatch.setattr(pretrained, "bundled_dir", lambda: tmp_path / "bundled")
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(code) >= 3
    names: dict[str, Any] = {}
    for block in code:
        exec(block, names)
    assert (tmp_path / "dogs.png").exists()

    # what the pictures show, according to the classifier of Fashion-MNIST
    def shown(name: str) -> list[str]:
        pictures = to_uint8(names[name]).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
        classes = list(FAMILY["fashion-mnist"].words)
        return [classes[index] for index in load_fashion_cnn(torch.device("cpu")).classify(pictures).argmax(1)]

    assert shown("images") == shown("decoded") == shown("reconstructed") == ["dress", "sneaker"]
    assert shown("dresses") == ["dress"] * 2
    assert shown("morph") == ["dress"] * 8
    assert not torch.equal(names["dresses"][0], names["dresses"][1])


def test_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "cvae_cli"
    modules = [path for path in package.rglob("*.py") if path.stem not in {"__init__", "__main__"}]
    modules = [path for path in modules if path.parent.name != "commands"]
    assert [path.name for path in modules if path.name not in text] == []


def test_imports_run_downward_and_in_no_circle() -> None:
    """The contracts in pyproject.toml, which hold for imports inside functions too (docs/architecture.md)."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert "3 kept, 0 broken" in checked.stdout


def test_walks_name_functions_that_exist() -> None:
    text = " ".join((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    walks = text.split("## Three walks", 1)[1].split("## Contracts", 1)[0]
    named = re.findall(r"`([\w/]+\.py): ([\w.]+)`", walks)
    assert len(named) > 25
    for file, names in named:
        code = (ROOT / "src" / "cvae_cli" / file).read_text(encoding="utf-8")
        for name in names.split("."):
            assert re.search(rf"(def|class) {name}\b", code), f"{file} has no {name}"
    for method in re.findall(r"`(\w+\.\w+)`", walks):
        owner, name = method.split(".")
        if owner[0].isupper():
            assert any(
                f"class {owner}" in code and f"def {name}(" in code
                for code in (path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
            ), f"there is no {method}"


def test_files_fit_the_mind() -> None:
    """No module has more than 260 lines, and a command only translates."""
    package = ROOT / "src" / "cvae_cli"
    lines = {path.relative_to(package): len(path.read_text("utf-8").splitlines()) for path in package.rglob("*.py")}
    most = {Path("commands/generate.py"): 130}
    limit = {path: most.get(path, 120 if path.parts[0] == "commands" else 260) for path in lines}
    assert {path: count for path, count in lines.items() if count > limit[path]} == {}
    assert len(list(package.glob("*.py"))) <= 8
