"""Check the documentation against the code."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_reference_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["reference"]()
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == made, "run docs/make_reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_python_of_the_library_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "cache"))
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(code) >= 3
    names: dict[str, object] = {}
    for block in code:
        exec(block, names)
    assert (tmp_path / "dogs.png").exists()


def test_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "cvae_cli"
    modules = [path for path in package.rglob("*.py") if path.stem not in {"__init__", "__main__"}]
    modules = [path for path in modules if path.parent.name != "commands"]
    assert [path.name for path in modules if path.name not in text] == []


def test_imports_run_downward() -> None:
    """Each module imports its own floor and those below it (docs/architecture.md)."""
    floors = {
        "errors": 1, "paths": 1, "settings": 1, "config": 1, "randomness": 1, "pixels": 1, "pictures": 1,
        "prompts": 1, "interrupt": 1,
        "console": 2, "device": 2, "download": 2, "hub": 2, "weights": 2, "recipes": 2, "data": 2,
        "text": 3, "models": 3, "evaluation": 4, "training": 4, "bulk": 4, "commands": 5, "app": 6,
    }  # fmt: skip
    package = ROOT / "src" / "cvae_cli"
    upward = []
    for path in package.rglob("*.py"):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own not in floors:  # __init__ and __main__ stand above all
            continue
        imported = re.findall(r"from cvae_cli(?:\.(\w+))?\S* import ([\w, ]+)", path.read_text(encoding="utf-8"))
        for module, names in imported:
            parts = [module] if module else [name.strip() for name in names.split(",")]
            upward += [f"{own} -> {part}" for part in parts if floors.get(part, 0) > floors[own]]
    assert upward == []
