"""The program takes the commands of the documentation, whose pieces of code are those of the package."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Command
from helpers import small_model
from PIL import Image

from cvae_cli.app import app
from cvae_cli.config.catalog import shipped_recipes
from cvae_cli.config.recipe_files import parse_assignment
from cvae_cli.data.catalog import is_place
from cvae_cli.evaluation.metrics.catalog import check_names
from cvae_cli.training.plan import plan_training

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUPS = {"all", "reconstructions", "bound", "samples"}  # names that stand for several metrics
PROGRAMS = {
    *(
        "cut",
        "cvae",
        "display",
        "du",
        "echo",
        "exit",
        "export",
        "git",
        "jq",
        "pip",
        "pytest",
        "python",
        "python3",
        "tensorboard",
        "torchrun",
    ),
}


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Yield the contents of the page's blocks of code in these languages."""
    for language, body in re.findall(
        r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        if language in languages:
            yield body


def lines(page: Path) -> Iterator[str]:
    """Yield the lines that a user types, in order: those after `$` in a console, and all of a shell script."""
    for body in blocks(page, "console"):
        yield from (line[2:] for line in body.replace("\\\n", " ").splitlines() if line.startswith("$ "))
    for body in blocks(page, "sh"):  # a loop over several lines is one
        loops = re.sub(r"; do\n\s*(.*)\ndone", r"; do \1; done", body.replace("\\\n", " "))
        yield from loops.splitlines()


def commands(line: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a line; a loop is taken at its first value."""
    loop = re.match(r"for (\w+) in (\S+).*?; do (.*); done$", line)
    if loop:
        name, first, line = loop.groups()
        line = re.sub(rf"\${name}\b", first, line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";|&"):
            yield words
            words = []
        else:
            words.append(word)


def own_commands(page: Path) -> list[list[str]]:
    """The arguments of each `cvae` of a page, without redirections."""
    found = []
    for line in lines(page):
        for words in commands(line):
            if words and words[0].rpartition("/")[2] == "cvae":
                redirections = [i for i, word in enumerate(words) if word in {">", "<", ">>"}]
                found.append(words[1 : redirections[0]] if redirections else words[1:])
    return found


cvae_command = cache(typer.main.get_command)
"""What Typer makes of an application takes long to build."""


def parse(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse arguments as the program does; return the name of the command and its options."""
    command, name, rest = cvae_command(app), "cvae", arguments
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name, *rest = rest
        command = command.commands[name]
    if rest and hasattr(command, "commands"):  # an option like --version, which does its work while it is parsed
        assert any(rest[0] in each.opts for each in command.params), f"no option {rest[0]}"
        return name, {}
    return name, command.make_context(name, list(rest)).params


# tests/test_worked_examples.py runs those of the architecture, which are about things that are yet to be added
EXAMPLES = [page for page in PAGES if own_commands(page) and page.name != "architecture.md"]


def test_words_of_a_line() -> None:
    assert list(commands("cvae evaluate --fail-if 'a>1' | cut -f2 > x # y")) == [
        ["cvae", "evaluate", "--fail-if", "a>1"],
        ["cut", "-f2", ">", "x"],
    ]
    assert list(commands('for r in vae add; do cvae train fashion-$r --set "a=b c"; done')) == [
        ["cvae", "train", "fashion-vae", "--set", "a=b c"]
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_program_is_known(page: Path) -> None:
    for line in lines(page):
        for words in commands(line):
            assert not words or words[0].rpartition("/")[2] in PROGRAMS, line


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.name)
def test_the_program_takes_every_command(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and their values are parsed, recipes and settings are planned, and names of metrics are looked up."""
    monkeypatch.chdir(tmp_path)
    for arguments in own_commands(page):
        try:
            name, options = parse(arguments)
            if name == "train":
                check_training(options)
            if name == "evaluate":
                check_names([name for name in options["metrics"] or [] if name not in GROUPS])
        except Exception as error:
            raise AssertionError(f"cvae {shlex.join(arguments)}: {error!r}") from error


def check_training(options: dict[str, Any]) -> None:
    """Plan a training whose data or models need not be there."""
    recipe, changes = options["recipe"], dict(map(parse_assignment, options["changes"] or []))
    if options["list_"] or options["resume"]:
        return
    if recipe in shipped_recipes() and not options["model"]:
        names = ("data", "size", "condition", "epochs", "minutes", "batch_size", "latent_dim", "beta", "seed", "prior")
        given = {name: options[name] for name in names if options[name] is not None}
        plan_training(recipe, settings=changes, out=Path("new"), learning_rate=options["lr"], **given)
    else:
        assert options["model"] or is_place(recipe) or recipe.endswith(".toml"), recipe


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_of_benchmarks_take_their_options(page: Path) -> None:
    for line in lines(page):
        for words in commands(line):
            script = next((ROOT / word for word in words if re.fullmatch(r"(benchmarks|docs)/\w+\.py", word)), None)
            if script is not None:
                code = script.read_text(encoding="utf-8")
                missing = [word for word in words if word.startswith("--") and f'"{word}"' not in code]
                assert missing == [], line


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "architecture.md"], ids=lambda page: page.name)
def test_functions_that_a_page_names_are_there(page: Path) -> None:
    text = " ".join(page.read_text(encoding="utf-8").split())
    for file, name in re.findall(r"`((?:\w+/)+\w+\.py): ([\w.]+)`", text):
        assert resolve(file, name) is not None


def resolve(file: str, name: str) -> Any:
    """Return the thing of this name in a module of the package."""
    found = import_module("cvae_cli." + file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        found = getattr(found, part)
    return found


def test_code_of_the_tutorial_is_that_of_the_package() -> None:
    pieces = list(blocks(ROOT / "docs" / "tutorial.md", "python"))
    assert len(pieces) > 10
    for piece in pieces:
        head, body = piece.split("\n", 1)
        place = re.fullmatch(r"# ([\w/]+\.py): ([\w.]+)", head)
        assert place, head
        code = source_lines(resolve(*place.groups()))
        for part in re.split(r"^\.\.\.\n", body, flags=re.MULTILINE):
            wanted = [line.strip() for line in textwrap.dedent(part).strip().splitlines()]
            starts = range(len(code) - len(wanted) + 1)
            assert any(code[i : i + len(wanted)] == wanted for i in starts), f"{head} has no longer:\n{part}"


def source_lines(thing: Any) -> list[str]:
    import inspect

    thing = thing.fget if isinstance(thing, property) else thing
    return [line.strip() for line in inspect.getsource(thing).splitlines()]


@pytest.fixture(scope="session")
def drawing_folder(quick_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that the examples read, and with small models in place of the bundled ones."""
    folder = tmp_path_factory.mktemp("drawing")
    (folder / "prompts.txt").write_text("snow\na beach\n")
    (folder / "prompts.jsonl").write_text('{"prompt": "snow"}\n')
    for name in ("scenes", "emoji"):
        small_model("captioned-map-score").save_pretrained(folder / "small" / name)
    (folder / "small" / "fashion").symlink_to(quick_model)
    return folder


@pytest.mark.parametrize("name", ["README.md", "docs/index.md", "docs/draw.md", "docs/scripts.md"])
def test_drawing_works(name: str, cvae: Command, drawing_folder: Path) -> None:
    """The commands that draw do so, with small models."""
    drawn = 0
    for arguments in own_commands(ROOT / name):
        if arguments[0] != "generate" or "--gpus" in arguments:
            continue
        _, options = parse(arguments)
        if not (drawing_folder / "small" / options["model"]).exists():
            continue  # a model that the reader has trained
        small = ["--model", str(drawing_folder / "small" / options["model"]), "-n", str(min(options["n"], 2))]
        done = cvae(*arguments, *small, cwd=drawing_folder, binary=True)
        assert done.returncode == 0, (arguments, done.stderr)
        drawn += 1
        out = options["output"]
        if str(out) == "-":
            assert done.stdout[1:4] == b"PNG"
        elif out and not str(out).endswith("/"):
            with Image.open(drawing_folder / out) as picture:
                picture.load()
    assert drawn


def test_the_quick_start_leads_through(cvae: Command, drawing_folder: Path, tmp_path: Path) -> None:
    """Steps 2 to 5 of the first page, one after another, in a folder with a dozen small captioned pictures.

    The trainings take one epoch, the first from a small model; every other word is the page's.
    """
    (tmp_path / "my-pictures").mkdir()
    for number in range(1, 13):
        picture = Image.effect_noise((16, 16), 80).convert("RGB")
        picture.save(tmp_path / "my-pictures" / f"{number}.jpg")
        (tmp_path / "my-pictures" / f"{number}.txt").write_text("a red kite" if number % 2 else "a blue ball")
    start = str(drawing_folder / "small" / "scenes")
    short = ["--epochs", "1", "--batch-size", "4", "--set", "data.epoch_size=1"]
    small = {"folder:my-pictures": ["--model", start, "--set", "then.training.epochs=1"], "coco-64": ["--size", "16"]}
    done = []
    for arguments in own_commands(ROOT / "docs" / "index.md"):
        if not any("my-pictures" in word for word in arguments) or arguments[0] in {"explore", "models"}:
            continue
        if "--minutes" in arguments:
            at = arguments.index("--minutes")
            arguments = arguments[:at] + arguments[at + 2 :] + short + small[arguments[1]]
        result = cvae(*arguments, cwd=tmp_path)
        assert result.returncode == 0, (arguments, result.stderr)
        done.append(arguments[0])
    assert done == ["train", "train", "generate", "train", "evaluate", "latents", "latents", "reconstruct"]
    for name in ("mine.png", "report.html", "latents.png", "morph.gif", "pairs.png"):
        assert (tmp_path / name).stat().st_size > 500, name


def test_variables_are_all_documented() -> None:
    """Each environment variable that the code reads or sets is on the page about them."""
    page = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    names: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        names |= set(re.findall(r'environ(?:\.get\(|\.setdefault\(|\.pop\(|\[)\s*"(\w+)"', code))
        names |= set(re.findall(r'"((?:CVAE|HF|TORCHELASTIC)_[A-Z_]+)"', code))
        names |= set(re.findall(r"\b(CVAE_[A-Z_]+)\b", code))
    assert {"CVAE_HOME", "CVAE_TIMEOUT", "NO_COLOR", "RANK", "CVAE_EXIT_CODE_FILE"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_exit_codes_are_all_documented() -> None:
    from cvae_cli.errors import ExitCode

    page = (ROOT / "docs" / "scripts.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.*?) \| ", page, re.MULTILINE))
    said = {code: text.replace("\\|", "|").replace("`--fail-if`", "--fail-if") for code, text in rows.items()}
    assert said == {f"{code:d}": code.describe() for code in ExitCode}
