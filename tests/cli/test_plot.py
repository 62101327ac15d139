"""`cvae plot`: the numbers of `metrics.jsonl` in one picture."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA, Command
from PIL import Image

from cvae_cli.errors import CorruptError
from cvae_cli.evaluation.curves import draw_curves
from cvae_cli.evaluation.history import read_histories

TWO_STAGES = DATA / "previous" / "expected" / "run"


def epoch(number: int, rate: float, distortion: float, **train: float) -> dict[str, Any]:
    valid = {"negative_elbo": rate + distortion, "rate": rate, "distortion": distortion}
    train = train or {"rate": rate + 1, "distortion": distortion - 2}
    return {"epoch": number, "step": 10 * number, "train": train, "skipped": 0, "valid": valid, "seconds": 60 * number}


def write_run(folder: Path, epochs: list[dict[str, Any]], likelihood: str = "bernoulli") -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "recipe.toml").write_text(f'[architecture.likelihood]\nkind = "{likelihood}"\n')
    if epochs:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in epochs))
    return folder


def drawn(axes: Any) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """The lines of a panel by colour and style; a dot is a line of one point."""
    return {
        (line.get_color(), "dot" if line.get_markersize() == 6 else line.get_linestyle()): list(
            zip(line.get_xdata(), line.get_ydata(), strict=True)
        )
        for line in axes.get_lines()
    }


def test_runs_with_one_and_two_stages_are_drawn_and_summed_up(cvae: Command, tmp_path: Path) -> None:
    write_run(tmp_path / "one", [epoch(1, 10, 300), epoch(2, 12, 240), epoch(3, 13, 241)])
    done = cvae("plot", "one", TWO_STAGES, "one/", "-o", "curves.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["one", "model", "3", "252", "2", "12", "240"],
        ["run", "model", "2", "425.78", "2", "45.834", "379.95"],
        ["run", "prior", "2", "1100.6", "2", "720.69", "379.95"],
    ]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height > 800  # two rows of panels
        assert json.loads(picture.text["runs"].replace("'", '"')) == ["one", str(TWO_STAGES)]
    said = json.loads(cvae("plot", "one", TWO_STAGES, "--over", "minutes", "--json").stdout)
    assert (said["file"], said["over"]) == ("curves-2.png", "minutes")
    for stage, file in (("model", "metrics.jsonl"), ("prior", "prior/metrics.jsonl")):
        lines = [json.loads(line) for line in (TWO_STAGES / file).read_text().splitlines()]
        assert said["runs"][1][stage] == [{k: v for k, v in line.items() if k != "skipped"} for line in lines]
    bytes_of_picture = cvae("plot", "one", "-o", "-", binary=True).stdout
    assert Image.open(io.BytesIO(bytes_of_picture)).format == "PNG"
    assert cvae("plot", "one", "-o", "out/").returncode == 0
    assert (tmp_path / "out" / "curves.png").exists()
    assert cvae("plot", "one", "-o", "curves.svg").returncode == 0
    assert b"<svg" in (tmp_path / "curves.svg").read_bytes()


def test_lines_have_the_values_of_the_epochs(tmp_path: Path) -> None:
    slow = write_run(tmp_path / "slow", [epoch(1, 10, 300), epoch(2, 12, 240), epoch(3, 13, 241)])
    fast = write_run(tmp_path / "_$fast", [epoch(1, 20, 200)])
    prior = write_run(tmp_path / "_$fast" / "prior", [epoch(1, 19, 200, **{"prior loss": 0.5})])
    sheet = draw_curves(read_histories([slow, fast]), over="steps")
    panels = {axes.get_title(): axes for axes in sheet.axes}
    assert list(panels) == [
        "-ELBO · model", "rate · model", "distortion · model", "-ELBO · prior", "rate · prior", "prior loss · prior"
    ]  # fmt: skip
    blue, orange = "#1f77b4", "#ff7f0e"
    assert drawn(panels["-ELBO · model"]) == {
        (blue, "-"): [(10, 310), (20, 252), (30, 254)],
        (blue, "--"): [(10, 309), (20, 251), (30, 253)],
        (blue, "dot"): [(20, 252)],
        (orange, "-"): [(10, 220)],
        (orange, "--"): [(10, 219)],
        (orange, "dot"): [(10, 220)],
    }
    assert drawn(panels["rate · model"])[blue, "--"] == [(10, 11), (20, 13), (30, 14)]
    assert drawn(panels["distortion · model"])[blue, "-"] == [(10, 300), (20, 240), (30, 241)]
    assert drawn(panels["rate · prior"]) == {(orange, "-"): [(10, 19)]}
    assert drawn(panels["prior loss · prior"]) == {(orange, "--"): [(10, 0.5)]}
    assert [text.get_text() for text in sheet.legends[0].get_texts()] == ["slow", "_$fast"]
    # the folder of the second stage alone, and a prior that was fitted to a finished model
    assert [axes.get_title() for axes in draw_curves(read_histories([prior])).axes] == ["-ELBO", "rate", "prior loss"]


def test_a_high_start_does_not_flatten_the_rest(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [epoch(n, 10, 5000 if n == 1 else 240 - n) for n in range(1, 31)])
    bottom, top = draw_curves(read_histories([run])).axes[0].get_ylim()
    assert bottom < 220
    assert 248 < top < 260
    short = write_run(tmp_path / "short", [epoch(1, 10, 5000), epoch(2, 10, 240)])
    assert draw_curves(read_histories([short])).axes[0].get_ylim()[1] > 5000


def test_runs_of_different_likelihoods_are_drawn_with_a_warning(cvae: Command, tmp_path: Path) -> None:
    write_run(tmp_path / "a", [epoch(1, 10, 300)])
    write_run(tmp_path / "b", [epoch(1, 10, -300)], likelihood="gaussian")
    done = cvae("plot", "a", "b")
    assert done.returncode == 0
    assert "cvae: warning: the runs have different likelihoods: their -ELBOs and distortions cannot" in done.stderr
    shutil.rmtree(tmp_path / "b")
    write_run(tmp_path / "b", [epoch(1, 10, -300)])
    assert "warning" not in cvae("plot", "a", "b").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "RUN"),
        (["nothing"], 2, "cvae: nothing is not a run"),
        (["run", "run/model"], 2, "it lies in one:"),
        (["run/metrics.jsonl"], 2, "run/metrics.jsonl is not a run"),
        (["new"], 2, "cvae: new has no finished epoch yet"),
        (["damaged"], 4, "damaged/metrics.jsonl, line 2, is not the metrics of an epoch"),
        (["run", "-o", "curves.txt"], 2, 'no picture format ".txt"'),
        (["run", "-o", "run"], 2, "it is a folder"),
        (["run", "-o", "-", "--json"], 2, "both write to stdout"),
        (["run", "--over", "hours"], 2, "--over"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    cvae: Command, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    write_run(tmp_path / "run", [epoch(1, 10, 300)])
    (tmp_path / "run" / "model").mkdir()
    write_run(tmp_path / "new", [])
    write_run(tmp_path / "damaged", [epoch(1, 10, 300)])
    with (tmp_path / "damaged" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    before = sorted(tmp_path.rglob("*"))
    done = cvae("plot", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("line", ["[]", '{"epoch": 1}', "null", '{"valid": NaN}', "\udcff", '{"kind": "other"}'])
def test_a_file_of_something_else_is_no_history(tmp_path: Path, line: str) -> None:
    run = write_run(tmp_path / "run", [])
    (run / "metrics.jsonl").write_bytes(line.encode(errors="surrogateescape"))
    with pytest.raises(CorruptError, match="line 1, is not the metrics of an epoch"):
        read_histories([run])
