"""The worked examples of docs/architecture.md: carried out on a copy of the package, they work."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import FASHION

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"


def examples() -> dict[str, str]:
    """The text of each worked example, by its heading."""
    section = PAGE.read_text(encoding="utf-8").split("## Adding something", 1)[1]
    parts = re.split(r"^### (.*)\n", section, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def carry_out(example: str, package: Path) -> list[str]:
    """Write the new file and insert the new lines, as the page says; return the files that were touched.

    A block begins with the path of a file: a Python block is a new file, a diff block changes one. Its lines that begin
    with a space or a minus sign are in the file, in that order; those with a minus sign are removed, and those with a
    plus sign are inserted there.
    """
    touched = []
    for language, path, content in re.findall(r"```(python|diff)\n# src/cvae_cli/(\S+)\n(.*?)```", example, re.DOTALL):
        file = package / path
        touched.append(path)
        if language == "python":
            assert not file.exists()
            file.write_text(content, encoding="utf-8")
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        position = 0
        for line in content.splitlines():
            mark, text = line[:1], line[1:]
            if mark != "+":
                assert text in lines[position:], f"{path} has no line {text!r}"
                position = lines.index(text, position)
            if mark == "-":
                del lines[position]
                continue
            if mark == "+":
                lines.insert(position, text)
            position += 1
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return touched


RUN = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "cvae_cli"]:
    del sys.modules[name]  # the copy is used, not the package that the interpreter has imported
from cvae_cli.app import app
for line in sys.argv[1:]:
    app(line.split()[1:], standalone_mode=False)
"""


@pytest.mark.parametrize("heading", ["A data set", "A metric", "A likelihood"])
def test_a_worked_example_works(
    heading: str, tmp_path: Path, interpreter: str, clean_environment: dict[str, str], run_folder: Path
) -> None:
    package = Path(shutil.copytree(ROOT / "src" / "cvae_cli", tmp_path / "site" / "cvae_cli"))
    example = examples()[heading]
    touched = carry_out(example, package)
    assert len(touched) == 2
    stated = re.search(r"touches two files: `(.*?)`\s+and\s+`(.*?)`", example)
    assert stated
    assert touched == list(stated.groups())

    shutil.copytree(run_folder, tmp_path / "runs" / "small")
    commands = "".join(re.findall(r"```sh\n(.*?)```", example, re.DOTALL)).replace("DIR", str(FASHION)).splitlines()
    assert commands
    assert all(command.startswith("cvae ") for command in commands)
    done = subprocess.run(
        [interpreter, "-P", "-c", RUN, *commands],
        cwd=tmp_path,
        env=clean_environment | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = re.search(r"prints\n+```\n(.*?)```", example, re.DOTALL)
    if expected:
        pattern = re.escape(expected[1].strip()).replace(re.escape("..."), ".*")
        assert re.fullmatch(pattern, done.stdout.strip())
