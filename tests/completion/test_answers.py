"""What is answered to a shell that asks what completes a command line."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import Command

from cvae_cli.completion import answer
from cvae_cli.completion.line import read_line
from cvae_cli.config.catalog import shipped_recipes
from cvae_cli.data.catalog import names
from cvae_cli.evaluation.metrics.catalog import GROUPS, METRICS
from cvae_cli.weights.registry import REGISTRY


def words(*arguments: str) -> list[str]:
    return [line.partition("\t")[0] for line in answer("zsh", list(arguments))[1:]]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def test_names_are_those_of_the_catalogs() -> None:
    assert words("evaluate", "--metric", "") == [*METRICS, *GROUPS]
    assert [each for each in words("train", "") if not each.endswith(":")] == list(shipped_recipes())
    assert words("train", "--data", "") == [name[: name.find(":") + 1] or name for name in names()]
    assert words("download-weights", "") == list(REGISTRY)
    assert words("latents", "--method", "") == ["tsne", "pca"]
    assert words("cache", "cl") == ["clear"]


def test_options_are_those_of_the_command_that_are_free() -> None:
    assert words("generate", "dress", "--sc", "--la") == ["--labels"]
    assert words("generate", "--seed", "3", "--se") == ["--separate"]
    assert words("evaluate", "--model", "fashion", "--mo") == ["--model"]  # it may be repeated
    assert words("models", "push", "--") == ["--private", "--revision", "--json", "--quiet", "--debug", "--help"]
    assert words("generate", "--", "--la") == []


def test_models_are_bundled_cached_and_trained_here(tmp_path: Path) -> None:
    for folder in ("runs/mine", "runs/sweep/seed-1"):
        (tmp_path / folder / "model").mkdir(parents=True)
        (tmp_path / folder / "recipe.toml").touch()
        (tmp_path / folder / "model" / "config.json").touch()
    (tmp_path / "runs/begun").mkdir()
    (tmp_path / "runs/begun/recipe.toml").touch()
    for name, content in {"me--mine": '{"format": 1, "architecture": {}}', "them--other": '{"vocab": 3}'}.items():
        snapshot = tmp_path / f"hub/models--{name}/snapshots/1234"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(content)
    trained = ["runs/mine", "runs/sweep/seed-1"]
    assert words("generate", "--model", "") == ["emoji", "fashion", "scenes", *trained, "me/mine"]
    assert words("train", "--resume", "") == ["runs/begun", *trained]
    assert words("generate", "--model", "ru") == [*trained, "runs/"]


def test_parts_of_names_come_one_after_the_other() -> None:
    assert words("evaluate", "--metric", "kid") == ["kid"]
    assert words("evaluate", "--metric", "kid:c") == ["kid:clip"]
    assert words("train", "fashion", "--set", "training.sched") == ["training.schedule="]
    both = ["training.schedule=constant", "training.schedule=one-cycle"]
    assert words("train", "fashion", "--set", "training.schedule=") == both


def test_paths_of_the_kind_that_is_meant(tmp_path: Path) -> None:
    for name in ("my pictures", "more", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine.toml").touch()
    (tmp_path / "mine.txt").touch()
    assert words("train", "m") == ["mine.toml", "more/", "my pictures/"]
    assert words("train", "folder:m") == ["folder:more/", "folder:my pictures/"]
    assert answer("zsh", ["generate", "--out", ""]) == ["files"]
    assert answer("zsh", ["evaluate", "--data-dir", ""]) == ["folders"]
    assert answer("zsh", ["generate", "-n", ""]) == ["words"]


def test_bash_gets_what_follows_where_it_breaks_words(tmp_path: Path) -> None:
    (tmp_path / "my pictures").mkdir()

    def bash(line: str) -> list[str]:
        return answer("bash", [line, str(len(line)), " \t\n\"'><=;|&(:"])

    assert bash("cvae evaluate --metric frechet:cl") == ["words", "clip"]
    assert bash("cvae generate --model=fas") == ["words", "fashion"]
    assert bash("cvae train fashion --set training.schedule=on") == ["words", "one-cycle"]
    assert bash("cvae train fashion --set training.sched") == ["unfinished", "training.schedule="]
    assert bash("cvae train folder:my") == ["unfinished", r"my\ pictures/"]
    assert answer("bash", ["cvae generate --mod fashion", "19", ":="]) == ["words", "--model"]  # the cursor is within


def test_fish_gets_the_whole_word() -> None:
    assert answer("fish", ["generate", "--model=fas"]) == ["words", "--model=fashion\tbundled"]


def test_a_line_of_bash_is_read_as_bash_reads_it() -> None:
    assert read_line("cvae generate 'two dogs' a\\ b \"x 'y") == (["generate", "two dogs", "a b"], "x 'y", "\"x 'y")
    assert read_line("cvae ") == ([], "", "")


def test_neither_torch_nor_typer_is_imported(clean_environment: dict[str, str]) -> None:
    code = "import sys; from cvae_cli.__main__ import main; main(); print(*sys.modules)"
    asking = clean_environment | {"_CVAE_COMPLETE": "zsh"}
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", "--model", ""], env=asking, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1].startswith("emoji\t")
    modules = set(done.stdout.splitlines()[-1].split())
    assert "cvae_cli.completion.words" in modules
    assert not {"torch", "typer", "rich", "pydantic", "numpy", "cvae_cli.app"} & modules


def test_the_installed_command_answers_before_it_imports_the_rest() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["scripts"] == {"cvae": "cvae_cli.__main__:main"}


def test_installing_twice_writes_one_line(cvae: Command, tmp_path: Path) -> None:
    start = tmp_path / ".zshrc"
    start.write_bytes(b"alias x=y # \xff")  # not text, and without a line break at its end
    for _ in range(2):
        done = cvae("--install-completion", "zsh", env={"HOME": str(tmp_path), "XDG_DATA_HOME": "", "ZDOTDIR": ""})
        assert done.returncode == 0
        assert str(start) in done.stderr
    first, second = start.read_bytes().splitlines()
    assert first == b"alias x=y # \xff"
    assert second.count(done.stdout.strip().encode()) == 2


def test_a_shell_is_found_or_named(cvae: Command) -> None:
    shown = cvae("--show-completion", "fish")
    assert "complete --command cvae" in shown.stdout
    nothing = cvae("--show-completion", "tcsh")
    assert nothing.returncode == 2
    assert nothing.stderr.startswith('cvae: no completion for the shell "tcsh"')
    found = cvae("--show-completion", env={"SHELL": "/usr/bin/zsh"})
    assert found.returncode == 0
    assert "_CVAE_COMPLETE=" in found.stdout


@pytest.mark.parametrize(("shell", "expected"), [("/usr/bin/zsh", "#compdef cvae"), ("", 'for the shell "sh"')])
def test_a_script_of_sh_installs_for_the_shell_of_its_user(
    shell: str, expected: str, installed: str, clean_environment: dict[str, str]
) -> None:
    script = ["sh", "-c", '"$0" --show-completion; true', installed]  # behind it, so that sh stays
    done = subprocess.run(script, env=clean_environment | {"SHELL": shell}, capture_output=True, text=True)
    assert expected in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [[], ["cvae evaluate "], ["cvae evaluate ", "many", ":="], ["generate", "dress"]])
def test_what_is_no_question_of_bash_has_an_empty_answer(arguments: list[str]) -> None:
    assert answer("bash", arguments) == ["words"]
