"""What of a run's folder is removed: nothing but the files of a run, in a folder that is known to be one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import DATA, FASHION, Command

from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.errors import UsageError
from cvae_cli.training.run import Run

PREVIOUS = DATA / "previous"
QUICK = ["--data-dir", FASHION, "--limit", "60", "--epochs", "1", "--set", "architecture.network.kind=dense"]
QUICK += ["--set", "architecture.network.width=8", "--batch-size", "30"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def project(folder: Path) -> None:
    """A user's project, which has a recipe."""
    (folder / "model").mkdir(parents=True)
    (folder / "samples").mkdir()
    shutil.copy(PREVIOUS / "run" / "recipe.toml", folder)  # complete, with every setting
    (folder / "model" / "config.json").write_text("{}")
    (folder / "samples" / "epoch-001.png").write_text("mine")
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "step": 9, "train": 1.0, "valid": 2.0, "seconds": 3}\n')
    (folder / "thesis.tex").write_text("years of work")


@pytest.fixture
def again(cvae: Command, tmp_path: Path) -> Callable[..., str]:
    """Train into the folder `run`, expect a refusal that changes nothing, and return what it says."""

    def run(*options: str) -> str:
        before = files(tmp_path)
        done = cvae("train", "fashion-concat", *QUICK, "--out", "run", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert files(tmp_path) == before
        return done.stderr

    return run


def test_a_project_with_a_recipe_is_not_a_run(again: Callable[..., str], cvae: Command, tmp_path: Path) -> None:
    project(tmp_path / "run")
    for options in ([], ["--force"]):
        said = again(*options)
        assert said.startswith("cvae: run exists and is not a run\n")
        assert "--force" not in said
    before = files(tmp_path)
    done = cvae("train", "--resume", "run")
    assert (done.returncode, files(tmp_path)) == (2, before)
    assert "run is not a run" in done.stderr


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("notes.txt", "notes.txt"),
        ("model/notes.txt", "model/notes.txt"),
        ("prior/last/x.safetensors", "prior/last/x.safetensors"),
        ("state/training-mine.safetensors", "state/training-mine.safetensors"),
        ("samples/epoch-1.jpg", "samples/epoch-1.jpg"),
        ("data/1.png", "data"),
        ("recipe.toml.orig", "recipe.toml.orig"),
    ],
)
def test_foreign_files_in_a_run_are_named_and_kept(
    again: Callable[..., str], run_folder: Path, tmp_path: Path, place: str, named: str
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run" / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "run" / place).write_text("mine")
    assert again("--force").startswith(f"cvae: run is not only a run: {named} would be lost\n")


def test_force_removes_the_run_and_leaves_hidden_files(cvae: Command, run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    kept = [".git/x/.mine.tmp", ".mine.tmp", "state/.mine.tmp", "samples/.DS_Store", ".run.json.swp"]
    for place in kept:
        (run / place).parent.mkdir(parents=True, exist_ok=True)
        (run / place).write_text("mine")
    drafts = ["state/.training.safetensors.4711.tmp", f"samples/.epoch-003.png.cvae-{'0a' * 8}.tmp"]
    for place in drafts:
        (run / place).touch()
    done = cvae("train", "fashion-concat", *QUICK, "--out", "run", "--force")
    assert done.returncode == 0, done.stderr
    left = files(run)
    assert all(left[place] == b"mine" for place in kept)
    assert not left.keys() & {*drafts, "samples/epoch-002.png"}  # the earlier run had two epochs
    assert {"run.json", "recipe.toml", "samples/epoch-001.png", "model/config.json"} <= left.keys()


def test_a_training_removes_nothing_but_its_own_drafts(cvae: Command, run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    kept = [".git/x/.mine.tmp", "model/.config.json.tmp", ".notes.17.tmp", f"x/.recipe.toml.cvae-{'0a' * 8}.tmp"]
    for place in kept:
        (run / place).parent.mkdir(parents=True, exist_ok=True)
        (run / place).write_text("mine")
    (run / "last" / f".config.json.cvae-{'0a' * 8}.tmp").touch()
    done = cvae("train", "--resume", "run", "--epochs", "3")
    assert done.returncode == 0, done.stderr
    assert all((run / place).read_text() == "mine" for place in kept)
    assert not (run / "last" / f".config.json.cvae-{'0a' * 8}.tmp").exists()


@pytest.mark.parametrize("gone", [None, "state", "metrics.jsonl"])
@pytest.mark.parametrize("name", ["run", "run-in-prior"])
def test_runs_of_earlier_versions_are_known(tmp_path: Path, name: str, gone: str | None) -> None:
    run = Run(Path(shutil.copytree(PREVIOUS / name, tmp_path / "run")))
    if gone == "state":
        shutil.rmtree(run.folder / gone)
    elif gone:
        (run.folder / gone).unlink()
    run.check_new(force=True)
    (run.folder / "mine.txt").touch()
    with pytest.raises(UsageError, match=r"mine\.txt would be lost"):
        run.check_new(force=True)
    (run.folder / "mine.txt").unlink()
    run.create(load_recipe("fashion-concat"), force=True)
    assert {path.name for path in run.folder.iterdir()} == {"run.json", "recipe.toml"}


@pytest.mark.parametrize("content", ["", "{}", "[]", "{", '{"kind": "cvae run", "format": "1"}', "[" * 100_000])
def test_another_file_of_the_marks_name_is_no_mark(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.toml").touch()
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UsageError, match="not a run"):
        Run(tmp_path).check_new(force=True)


def test_folders_and_links_in_place_of_files_are_foreign(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text("keep")
    run = Run(tmp_path / "run")
    run.create(load_recipe("fashion-concat"), force=False)
    run.kept_model.symlink_to(elsewhere)
    with pytest.raises(UsageError, match="model would be lost"):
        run.create(load_recipe("fashion-concat"), force=True)
    run.kept_model.unlink()
    run.metrics_file.mkdir()
    with pytest.raises(UsageError, match=r"metrics\.jsonl would be lost"):
        run.create(load_recipe("fashion-concat"), force=True)
    assert (elsewhere / "config.json").read_text() == "keep"
