"""The files that a public host reads."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cvae_cli.version import __version__

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"


def validate(schema: list[str], *paths: Path) -> str:
    main = pytest.importorskip("check_jsonschema").main
    from click.testing import CliRunner

    return CliRunner().invoke(main, [*schema, *map(str, paths)]).stdout


def test_workflows_follow_the_hosts_schema(tmp_path: Path) -> None:
    schema = ["--builtin-schema", "vendor.github-workflows"]
    paths = sorted((GITHUB / "workflows").glob("*.yml"))
    assert len(paths) == 2
    assert "ok -- validation done" in validate(schema, *paths)
    broken = tmp_path / "broken.yml"
    broken.write_text(paths[0].read_text("utf-8").replace("runs-on:", "runs_on:"))
    assert "Schema validation errors" in validate(schema, broken)


def test_a_linter_finds_nothing_in_the_workflows(tmp_path: Path) -> None:
    linter = shutil.which("zizmor") or shutil.which("zizmor", path=Path(sys.executable).parent)
    if linter is None:
        pytest.skip("needs zizmor")

    def lint(workflow: Path) -> str:
        done = subprocess.run([linter, "--offline", "--color=never", workflow], capture_output=True, text=True)
        return done.stdout

    assert lint(GITHUB).startswith("No findings to report")
    unsafe = tmp_path / "unsafe.yml"  # who opens a request chooses its title, which would become a part of the command
    command = '- run: echo "${{ github.event.pull_request.title }}"'
    unsafe.write_text((GITHUB / "workflows" / "check.yml").read_text("utf-8").replace("- run: .ci/run", command))
    assert "template-injection" in lint(unsafe)


def test_the_site_is_built_where_a_warning_is_an_error() -> None:
    command = "sphinx-build -E -n -W --keep-going docs build/site"
    assert f"run: {command}" in (GITHUB / "workflows" / "check.yml").read_text("utf-8")
    assert command.removeprefix("sphinx-build ") in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_wheel_is_tried_on_the_systems_and_pythons_that_are_promised() -> None:
    text = (GITHUB / "workflows" / "check.yml").read_text("utf-8")
    assert "system: [ubuntu-latest, macos-latest, windows-latest]" in text
    assert 'python: ["3.11", "3.12", "3.13"]' in text
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_tag_of_a_release_is_compared_with_the_version() -> None:
    command = re.search(r"run: (grep .*)", (GITHUB / "workflows" / "release.yml").read_text("utf-8"))
    assert command
    for tag, code in {f"v{__version__}": 0, "v9.9.9": 1}.items():
        done = subprocess.run(
            ["bash", "-c", command[1]], cwd=ROOT, env={"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin"}
        )
        assert done.returncode == code


def test_the_citation_follows_its_schema(tmp_path: Path) -> None:
    schema = ["--builtin-schema", "vendor.citation-file-format"]
    assert "ok -- validation done" in validate(schema, ROOT / "CITATION.cff")
    broken = tmp_path / "CITATION.cff"
    broken.write_text((ROOT / "CITATION.cff").read_text("utf-8").replace("authors:", "writers:"))
    assert "Schema validation errors" in validate(schema, broken)


def test_the_forms_of_issues_follow_their_schema() -> None:
    forms = [GITHUB / "ISSUE_TEMPLATE" / name for name in ("problem.yml", "idea.yml")]
    assert "ok -- validation done" in validate(["--builtin-schema", "vendor.github-issue-forms"], *forms)


def test_the_package_has_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert __version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "\nversion:" not in (ROOT / "CITATION.cff").read_text("utf-8")
