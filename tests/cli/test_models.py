"""`cvae models`: the models on this machine, their cards and their digests."""

import json
import os
import pty
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import FASHION, Command
from helpers import small_model
from huggingface_hub import ModelCard
from PIL import Image

from cvae_cli.models.checksums import SUMS
from cvae_cli.models.pretrained import CARD, CONFIG, FILES, SAMPLES, WEIGHTS, bundled_models, read_digests
from cvae_cli.models.verify import check_folder
from cvae_cli.paths import bundled_dir


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of a small run, which the test may change."""
    return Path(shutil.copytree(run_folder, tmp_path / "runs" / "small"))


def test_list_names_what_is_bundled_and_what_is_trained_here(cvae: Command, run: Path, model_folder: Path) -> None:
    listed = json.loads(cvae("models", "list", run, model_folder.parent, "--json").stdout)
    assert [each["name"] for each in listed] == ["emoji", "fashion", "scenes", str(run), str(model_folder)]
    assert [each["place"] for each in listed] == ["bundled"] * 3 + ["trained here"] * 2
    found = listed[3]
    assert found["folder"] == str(run / "model")
    assert found["config"]["dataset"] == "fashion-mnist"
    assert [found["sha256"]] == read_digests(run / "model")
    assert sorted(found["files"]) == sorted(FILES)
    assert found["length"] == sum(found["files"].values())
    assert [each["metric"] for each in found["scores"]] == ["elbo", "rate", "distortion"]
    rows = [line.split("\t") for line in cvae("models", "list").stdout.splitlines()]  # runs/ in the working folder
    assert rows[3][:5] == ["runs/small", "trained here", "fashion-mnist", "28x28", "strict"]
    assert rows[2][4] == "hybrid"
    shown = dict(line.split("\t") for line in cvae("models", "show", run).stdout.splitlines())
    assert shown["kind"] == "strict"
    assert shown["elbo"].split()[0] == f"{found['scores'][0]['value']:.4g}"


def test_a_training_writes_a_card_that_the_hub_can_read(run: Path) -> None:
    text = (run / "model" / CARD).read_text(encoding="utf-8")
    card = ModelCard(text)
    assert card.data.license == "mit"
    assert card.data.datasets == ["zalando-datasets/fashion_mnist"]
    assert {"cvae", "strict-cvae"} <= set(card.data.tags)
    assert card.data.library_name == "cvae-cli"
    valid = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["valid"]
    results = {each.metric_type: each for each in card.data.eval_results}
    assert results["elbo"].metric_value == pytest.approx(valid["negative_elbo"], rel=1e-4)
    assert results["elbo"].dataset_split == "validation"
    assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()
    for title in ("What it is", "What it learned from", "Samples", "Draw with it", "Scores", "Limits", "Citation"):
        assert f"\n## {title}\n" in text
    epochs = [(run / "samples" / f"epoch-{epoch:03d}.png").read_bytes() for epoch in (1, 2)]
    assert (run / "model" / SAMPLES).read_bytes() in epochs
    assert (run / "last" / SAMPLES).read_bytes() == epochs[-1]
    with Image.open(run / "last" / SAMPLES) as picture:
        assert picture.width > 500
    assert subprocess.run(["sha256sum", "--quiet", "-c", SUMS], cwd=run / "model").returncode == 0


def test_one_flipped_bit_is_noticed_in_any_file(tmp_path: Path) -> None:
    folder, chance = tmp_path / "model", random.Random(5)
    Image.new("L", (28, 28)).save(tmp_path / "samples.png")
    small_model("dense-concat").save_pretrained(folder, samples=tmp_path / "samples.png")
    assert check_folder(folder) == []
    for name in (CONFIG, WEIGHTS, CARD, SAMPLES, SUMS):
        sound = (folder / name).read_bytes()
        bits = range(len(sound) * 8)
        for bit in [0, bits[-1], *chance.sample(bits, 200 if name == SUMS else 8)]:
            damaged = bytearray(sound)
            damaged[bit // 8] ^= 1 << bit % 8
            (folder / name).write_bytes(damaged)
            problems = check_folder(folder)
            assert problems, (name, bit)
            assert name == SUMS or problems[0].startswith(name)
        (folder / name).unlink()
        assert check_folder(folder) == ([f"{name} is missing"] if name != SUMS else [])
        (folder / name).write_bytes(sound)
    assert check_folder(folder) == []


def test_verify_names_the_file_and_an_edited_card_can_be_accepted(cvae: Command, run: Path) -> None:
    done = cvae("models", "verify", "--json")
    assert done.returncode == 0, done.stderr
    assert {each["name"]: each["state"] for each in json.loads(done.stdout)}["runs/small"] == "sound"
    card = run / "model" / CARD
    card.write_text(card.read_text() + "\nMore.\n")
    done = cvae("models", "verify", run)
    assert done.returncode == 4
    assert done.stdout == f"damaged\t{run}\tREADME.md does not have its digest\n"
    assert "cvae models verify NAME --accept" in done.stderr
    assert cvae("models", "verify", run, "--accept").returncode == 0
    assert cvae("models", "verify", run).stdout == f"sound\t{run}\t\n"
    (run / "model" / SUMS).unlink()  # as an earlier version left it
    assert cvae("models", "verify", run).stdout == f"without digests\t{run}\t\n"
    weights = run / "model" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert cvae("models", "verify", run, "--accept").returncode == 4
    assert cvae("models", "verify", run).returncode == 4
    assert cvae("models", "verify", "fashion", "--accept").returncode == 2


def test_evaluate_writes_its_scores_into_the_card(cvae: Command, run: Path) -> None:
    card = run / "model" / CARD
    card.write_text(card.read_text().replace("## Limits\n", "## Limits\n\n- My own words.\n"))
    assert cvae("models", "verify", run, "--accept").returncode == 0
    options = ["evaluate", "--model", run, "--data-dir", FASHION, "--metric", "mse", "--card", "--json"]
    scores = [json.loads(cvae(*options, "--samples", n).stdout)["models"][0]["scores"]["mse"] for n in ("20", "30")]
    results = [each for each in ModelCard(card.read_text()).data.eval_results if each.metric_type == "mse"]
    assert [each.metric_value for each in results] == [pytest.approx(scores[-1], rel=1e-4)]  # the first is replaced
    assert (results[0].dataset_name, results[0].dataset_split) == ("fashion-mnist", "test")
    assert results[0].metric_args["protocol"].startswith("30 real pictures")
    text = card.read_text()
    assert f"| {scores[-1]:.4g} | fashion-mnist, test | 30 real pictures" in text
    assert "- My own words." in text
    assert text.count("\n## Scores\n") == 1
    assert check_folder(run / "model") == []
    for model in ("fashion", "org/name"):
        done = cvae("evaluate", "--model", model, "--metric", "mse", "--card")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--card cannot change {model}" in done.stderr


def test_a_card_with_a_header_that_is_no_yaml_is_an_error(cvae: Command, run: Path) -> None:
    card = run / "model" / CARD
    card.write_text("---\ntags: [a\n---\n# A model\n")
    assert cvae("models", "verify", run, "--accept").returncode == 0
    done = cvae("evaluate", "--model", run, "--data-dir", FASHION, "--metric", "mse", "--samples", "9", "--card", "-q")
    assert done.returncode == 4
    assert done.stderr.startswith("cvae: the header of the model card cannot be read: ")
    assert card.read_text().startswith("---\ntags: [a\n")
    assert check_folder(run / "model") == []


def test_remove_asks_and_removes_nothing_else(cvae: Command, run: Path, model_folder: Path) -> None:
    done = cvae("models", "remove", run)
    assert (done.returncode, done.stdout) == (2, "")
    assert "add --yes to answer yes" in done.stderr
    (run / "notes.txt").write_text("mine")
    done = cvae("models", "remove", run, "--yes")
    assert done.returncode == 2
    assert "notes.txt would be lost" in done.stderr
    assert (run / "model" / WEIGHTS).exists()
    (run / "notes.txt").unlink()
    done = cvae("models", "remove", run, "--yes")
    assert done.returncode == 0, done.stderr
    assert not run.exists()
    assert cvae("models", "remove", model_folder, "--yes").returncode == 0
    assert not model_folder.exists()
    assert cvae("models", "remove", "fashion", "--yes").returncode == 2
    assert cvae("models", "remove", run.name, "--yes").returncode == 2


@pytest.mark.parametrize(("answer", "is_removed"), [("y\n", True), ("\n", False), ("no\n", False)])
def test_a_person_at_a_terminal_is_asked(
    executable: str, clean_environment: dict[str, str], model_folder: Path, answer: str, is_removed: bool
) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    command = [executable, "models", "remove", str(model_folder)]
    done = subprocess.run(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=clean_environment, text=True
    )
    asked = ""
    while "[y/N]" not in asked:  # what was typed comes back first
        asked += os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    assert f"remove the model {model_folder} (" in asked
    assert model_folder.exists() != is_removed
    assert done.stdout.startswith("removed" if is_removed else "nothing was removed")


@pytest.mark.parametrize("name", bundled_models())
def test_a_bundled_model_is_as_it_was_packed_and_has_a_card(name: str) -> None:
    folder = bundled_dir() / name
    assert check_folder(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    card = ModelCard((folder / CARD).read_text(encoding="utf-8"))
    assert card.data.license in {"mit", "cc-by-4.0", "other"}
    assert "mse" in {each.metric_type for each in card.data.eval_results}
    assert f'CVAE.from_pretrained("{name}")' in card.text


def test_a_mistyped_folder_is_told_from_a_name_on_the_hub(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "article").symlink_to(quick_model)
    for command in (["generate", "dress", "--model"], ["evaluate", "--model"], ["models", "verify"]):
        done = cvae(*command, "runs/articel", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith('cvae: no folder "runs/articel". Did you mean "runs/article"?'), command
