"""The table from exceptions to exit codes."""

import errno
import subprocess
from difflib import SequenceMatcher
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from conftest import Command
from typer.models import OptionInfo

from cvae_cli.app import _as_cvae_error, app
from cvae_cli.errors import CvaeError, ExitCode, did_you_mean
from cvae_cli.runtime import launch


def caught(code: str) -> Exception:
    try:
        exec(code, {"torch": torch, "errno": errno})
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("torch.empty(2**50)", ExitCode.OUT_OF_MEMORY, "out of memory"),
        ("bytearray(2**60)", ExitCode.OUT_OF_MEMORY, "out of memory"),
        ("raise OSError(errno.ENOSPC, 'No space left on device')", ExitCode.UNEXPECTED, "no space left on the device"),
        ("open('/nowhere/at/all')", ExitCode.UNEXPECTED, "no such file or directory: /nowhere/at/all"),
        (
            "raise ImportError('libtorch_cpu.so: failed to map segment from shared object')",
            ExitCode.OUT_OF_MEMORY,
            "torch",
        ),
        ("raise OSError(errno.EMFILE, 'Too many open files', 'x')", ExitCode.UNEXPECTED, "too many open files"),
        ("1 / 0", ExitCode.UNEXPECTED, "unexpected ZeroDivisionError: division by zero"),
    ],
)
def test_errors_of_others_get_a_line_and_a_code(code: str, exit_code: ExitCode, said: str) -> None:
    error = _as_cvae_error(caught(code))
    assert error.exit_code == exit_code
    assert said in error.message


def test_our_own_errors_stay_what_they_are() -> None:
    error = CvaeError("something", hint="do this")
    assert _as_cvae_error(error) is error


def test_reader_that_goes_away_is_not_an_error_to_talk_about(
    executable: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        f"'{executable}' train --list | true", shell=True, env=clean_environment, cwd=tmp_path, capture_output=True
    )
    assert done.stderr == b""


def test_debug_shows_where_an_error_came_from(
    executable: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    command = [executable, "train", "nonsense", "--debug"]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-2].startswith('cvae: no recipe "nonsense"')


@pytest.mark.parametrize(("rank", "size"), [("", "abc"), ("x", "2"), ("", "2"), ("-1", "4"), ("0", "1")])
def test_an_environment_that_is_not_torchruns_means_one_process(
    monkeypatch: pytest.MonkeyPatch, rank: str, size: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    assert launch.rank_and_size() == (0, 1)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launch.rank_and_size() == (1, 2)


def test_no_option_has_a_metavar_that_typer_would_take_for_its_name() -> None:
    """Typer 0.27 calls an option --MODEL that is called `model`, has the metavar MODEL, and no name of its own."""
    checked = 0
    for command in app.registered_commands:
        assert command.callback is not None
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            for option in getattr(hint, "__metadata__", ()):
                if isinstance(option, OptionInfo):
                    checked += 1
                    is_its_name = (option.metavar or "").replace("_", "-").lower() == name.replace("_", "-")
                    has_names = isinstance(option.default, str) or option.param_decls  # the first is in `default`
                    assert has_names or not is_its_name, f"{command.name}: {name}"
    assert checked > 50


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("generate x -n abc", '-n must be a whole number of at least 1, not "abc"'),
        ("generate x --temperature warm", '--temperature must be a number from 0 to 100, not "warm"'),
        ("generate x --resample foo", '--resample: "foo" is none of nearest, lanczos'),
        ("generat x", 'no command "generat". Did you mean "generate"?'),
        ("generate x --seed -1", '--seed must be a whole number from 0 to 4,294,967,295, not "-1"'),
        ("generate x --guidance nan", '--guidance must be a number from 0 to 100, not "nan"'),
        ("latents --temperature 1e999", '--temperature must be a number from 0 to 100, not "1e999"'),
        ("train fashion --beta nan", '--beta must be a number of at least 0, not "nan"'),
        ("train fashion --beta inf", '"training.beta" must be a finite number, not inf'),
        ("train fashion --lr -1", '"training.learning_rate" must be above 0, not -1.0'),
        ("train fashion --set training.epochs=many", '"training.epochs" must be a whole number, not "many"'),
        ("train fashion --minutes nan", "--minutes must be a number above 0, not nan"),
        ("train fashion --seeds 1001", "--seeds must be from 1 to 1,000, not 1,001"),
        ("plot", "RUN is missing"),
        ("generate x --modle y", "no option --modle. Did you mean --model?"),
        ("generate x --model", "--model needs a value"),
        ("generate x --json=1", "--json takes no value"),
        ("doctor now", "too many arguments: now"),
    ],
)
def test_the_parser_speaks_as_all_other_messages_do(cvae: Command, arguments: str, said: str) -> None:
    done = cvae(*arguments.split())
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"cvae: {said}"


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("generate", "x --model"),
        ("latents", "--interpolate dress"),
        ("models show", "--json=1"),
        ("plot", ""),
        ("train", "--nope"),
    ],
)
def test_a_mistake_of_the_parser_names_the_help_of_its_command(cvae: Command, command: str, rest: str) -> None:
    assert cvae(*command.split(), *rest.split()).stderr.splitlines()[1].strip() == f"see  cvae {command} --help"


def test_help_marks_nothing_that_must_be_given_and_says_defaults_with_their_ranges(cvae: Command) -> None:
    for words, usage in [("models push", "MODEL ORG/NAME"), ("plot", "RUN..."), ("models verify", "[MODEL]")]:
        assert cvae(*words.split(), "--help").stdout.startswith(f"Usage: cvae {words} [OPTIONS] {usage}\n")
    said = " ".join(cvae("generate", "--help").stdout.split())
    for default in ("[default: the model's own; 0 to 100]", "[default: 1.0; 0 to 100]", "[1 or more]"):
        assert default in said
    assert "] [" not in said.partition("Options:")[2]


def test_the_word_that_was_meant_is_the_most_similar_of_all() -> None:
    known = ["ankle boot", "Bag", "coat", "coats", "dress", "sandal", "shirt", "sneaker", "T-shirt", "trouser"]
    said = set()
    for word in ("snaeker", "SHRIT", "tshirt", "bags", "coast", "dresss", "ankle-boots", "underwear", "toast", "x", ""):
        similarity = {each: SequenceMatcher(None, word.casefold(), each.casefold()).ratio() for each in known}
        nearest = max(known, key=lambda each: (similarity[each], each))
        said.add(expected := f' Did you mean "{nearest}"?' if similarity[nearest] >= 0.6 else "")
        assert did_you_mean(word, known) == did_you_mean(["zebra", word], known) == expected
    assert len(said) > 6


def test_messages_end_without_a_full_stop(cvae: Command) -> None:
    for words in ("evaluate --metric zzz", "generate x --model zzz", "train zzz", "train --data zzz fashion", "zzz"):
        line = cvae(*words.split()).stderr.splitlines()[0]
        assert line.startswith("cvae: no ")
        assert line.endswith(' "zzz"')


def test_help_and_names_need_no_environment(executable: str, tmp_path: Path) -> None:
    """Without HOME, TERM, LANG and PATH, as under cron."""
    for arguments in (["--help"], ["train", "--list"], ["models", "list"], ["evaluate", "--help"]):
        done = subprocess.run([executable, *arguments], env={}, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert done.stdout
