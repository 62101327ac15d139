"""Text to image as a user does it: train on COCO or a folder, generate, reconstruct, evaluate."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Command
from forkserver import KILL
from pictures_data import classes, coco, imagefolder, picture
from PIL import Image
from tiny_clip import save_tiny_clip

from cvae_cli import CVAE
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.batches import Batches
from cvae_cli.events import ignore
from cvae_cli.models.pretrained import read_config
from cvae_cli.paths import bundled_dir
from cvae_cli.text.condition import condition_config
from cvae_cli.text.labels import names_only_classes
from cvae_cli.training.build import build_model, build_objective
from cvae_cli.training.data import load_training_data
from cvae_cli.weights.download import file_sha256

Train = Callable[..., subprocess.CompletedProcess[str]]

SMALL = [
    *("--set", "architecture.network.width=8", "--set", "architecture.latent_dim=8"),
    *("--prior", "none", "--set", "data.epoch_size=1", "--precision", "fp32"),
]
"""Changes to the recipe for folders that make training fast."""
STATIC = [
    *("train", "folder:pictures", "--size", "32", "--condition", "static", "--epochs", "4", "--batch-size", "4"),
    *("--set", "data.epoch_size=1"),
]
RUN_FILES = [
    *(
        "data.json",
        "last/README.md",
        "last/SHA256SUMS",
        "last/config.json",
        "last/model.safetensors",
        "last/samples.png",
    ),
    "metrics.jsonl",
    *("model/README.md", "model/SHA256SUMS", "model/config.json", "model/model.safetensors", "model/samples.png"),
    "recipe.toml",
    *("run.json", "samples/epoch-001.png", "samples/epoch-002.png"),
    *("state/previous-training.safetensors", "state/training.safetensors"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and two CLIP models: `coco`, `pictures` (captions), `animals` (classes), `tiny`, `other`."""
    folder = tmp_path_factory.mktemp("text-to-image")
    coco(folder / "coco")
    imagefolder(folder / "pictures")
    classes(folder / "animals" / "train")
    classes(folder / "animals" / "valid", 8)
    save_tiny_clip(folder / "tiny")
    save_tiny_clip(folder / "other", seed=1)
    return folder


@pytest.fixture(scope="module")
def train(executable: str, clean_environment: dict[str, str], place: Path) -> Train:
    """Run a command in the folder of the data, and check that it succeeds."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [executable, *map(str, arguments)], cwd=place, env=clean_environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def coco_run(train: Train, place: Path) -> Path:
    """A small model of the article's for photographs after two epochs, with a CLIP model given by a relative path."""
    arguments = ["--data-dir", "coco", "--condition", "clip:tiny", "--epochs", "2", "--batch-size", "32"]
    narrow = ["--latent-dim", "32", "--set", "architecture.network.condition_width=32"]
    done = train("train", "coco-64", *arguments, *narrow, "--out", "photo", "--json")
    assert json.loads(done.stdout)["model"] == "photo/model"
    return place / "photo"


@pytest.fixture(scope="module")
def static_run(train: Train, place: Path) -> Path:
    """A small model of a folder with captions, conditioned on the embedded text encoder."""
    assert train(*STATIC, *SMALL, "--out", "static").stdout == "static/model\n"
    return place / "static"


def condition_of(run: Path) -> dict[str, object]:
    return dict(json.loads((run / "model" / "config.json").read_text())["condition"])


def tiles(path: Path, size: int, columns: int, count: int) -> list[bytes]:
    """Split a grid into its pictures."""
    step = size + 2
    with Image.open(path) as sheet:
        corners = [((index % columns) * step, (index // columns) * step) for index in range(count)]
        return [sheet.crop((x, y, x + size, y + size)).tobytes() for x, y in corners]


# ---- COCO and CLIP -----------------------------------------------------------------------------------------------


def test_coco_is_learned_with_a_clip_model(coco_run: Path, place: Path) -> None:
    files = sorted(str(path.relative_to(coco_run)) for path in coco_run.rglob("*") if path.is_file())
    assert [file for file in files if file != ".lock"] == RUN_FILES
    lines = [json.loads(line) for line in (coco_run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[1]["train"]["distortion"] < lines[0]["train"]["distortion"]
    digest = file_sha256(place / "tiny" / "open_clip_model.safetensors")
    assert condition_of(coco_run) == {"kind": "clip", "model": "tiny", "width": 16, "sha256": digest}
    card = (coco_run / "model" / "README.md").read_text()
    assert "54 training pictures of 64x64" in card  # a tenth are validation pictures
    assert "captions through CLIP's text tower" in card
    with Image.open(coco_run / "samples" / "epoch-002.png") as sheet:  # 6 pictures, 6 reconstructions, 4 samples
        assert sheet.width == 6 * 130 - 2 + 16 + 102  # twice as large, with a border and the names of the rows
        assert sheet.height > 6 * 130 - 2 + 16  # with captions above the pictures


def test_a_run_with_a_clip_folder_goes_on_from_anywhere(cvae: Command, coco_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(coco_run, tmp_path / "copy")
    done = cvae("train", "--resume", run, "--epochs", "3", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["last"]["epoch"] == 3


def test_a_long_sentence_is_said_once_and_long_texts_are_none(cvae: Command, coco_run: Path, tmp_path: Path) -> None:
    text = " ".join(["Two dogs play on a sunny beach by the blue sea." for _ in range(20)])
    sentence = "a dog " + " ".join(["and another one that plays in the sand by the sea" for _ in range(20)])
    prompts = ["a dog", text, sentence]
    done = cvae("generate", *prompts, "-n", "2", "--seed", "4", "--model", coco_run, "-o", "rows.png")
    assert (done.returncode, done.stdout) == (0, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith('cvae: warning: "a dog and another one')
    assert "75 tokens" in line
    rows = tiles(tmp_path / "rows.png", 64, 2, 6)
    assert len(set(rows)) == 6
    pictures = CVAE.from_pretrained(coco_run).generate("a dog", n=1, seed=4)
    assert pictures[0].tobytes() == rows[0]


def test_coco_pictures_are_reconstructed_by_their_captions(cvae: Command, coco_run: Path, place: Path) -> None:
    known = {
        caption["caption"]
        for caption in json.loads((place / "coco/annotations/captions_val2017.json").read_text())["annotations"]
    }
    from_coco = ["--dataset", "coco", "--data-dir", place / "coco", "-n", "3"]
    done = cvae("reconstruct", *from_coco, "--model", coco_run, "-o", "pairs.png", "--json")
    assert done.returncode == 0, done.stderr
    images = json.loads(done.stdout)["images"]
    assert [each["image"] for each in images] == ["coco val 1", "coco val 2", "coco val 3"]
    assert {each["prompt"] for each in images} <= known
    assert all(0 < each["mse_per_pixel"] < 0.5 for each in images)


def test_a_picture_is_reconstructed_by_a_prompt(cvae: Command, coco_run: Path, tmp_path: Path) -> None:
    photo = picture(tmp_path / "x.jpg", "beach", 7, (200, 100))
    done = cvae("reconstruct", photo, "--prompt", "a dog on a beach", "--model", coco_run, "-o", "pair.png")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{photo}: centre-cropped to 100x100, resized from 100x100\n"
    image, mean = (line.split("\t") for line in done.stdout.splitlines())
    assert image[:2] == [str(photo), "a dog on a beach"]
    assert mean[2:] == image[2:]
    with Image.open(tmp_path / "pair.png") as pair:
        assert (pair.size, pair.mode) == ((130, 64), "RGB")


def test_reconstruction_asks_what_a_picture_shows(cvae: Command, coco_run: Path, tmp_path: Path) -> None:
    done = cvae("reconstruct", picture(tmp_path / "x.jpg", "snow", 7), "--model", coco_run)
    assert (done.returncode, done.stdout) == (2, "")
    assert "x.jpg shows" in done.stderr
    assert "--prompt" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "pairs.png").exists()


def test_default_metrics_need_no_download(cvae: Command, coco_run: Path, place: Path) -> None:
    done = cvae("evaluate", "--model", coco_run, "--data-dir", place / "coco", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        *("mse", "mae", "ssim", "ssim-wang", "psnr", "elbo", "rate", "distortion", "active-units")
    ]


def test_a_clip_model_that_conditioned_the_model_is_warned_about(
    cvae: Command, coco_run: Path, place: Path, tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(place / "tiny", tmp_path / "moved")  # identified by its weights, not by its path
    by_clip = ["--metric", "clip-score", "--metric", "retrieval", "--data-dir", place / "coco"]
    done = cvae("evaluate", "--model", coco_run, *by_clip, "--clip", elsewhere, "--quiet")
    assert done.returncode == 0, done.stderr
    assert [line.split(" of ")[0] for line in done.stderr.splitlines()] == [
        "cvae: warning: clip-score",
        "cvae: warning: retrieval",
    ]
    assert done.stderr.count("circular") == 2
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["clip-score", "retrieval"]


def test_another_clip_model_is_not_and_json_has_the_protocol(cvae: Command, coco_run: Path, place: Path) -> None:
    chosen = ["--metric", "mse", "--metric", "clip-score", "--metric", "retrieval", "--clip", place / "other"]
    done = cvae("evaluate", "--model", coco_run, *chosen, "--data-dir", place / "coco", "--seed", "5", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    (scored,) = result["models"]
    assert list(scored["scores"]) == ["mse", "clip-score", "retrieval"]
    assert 0 <= scored["scores"]["clip-score"] <= 100
    assert 0 <= scored["scores"]["retrieval"] <= 1
    assert scored["retrieval by chance"] == pytest.approx(1 / 12)
    assert {"clip-score of real pictures", "retrieval of real pictures"} <= scored.keys()
    protocol = result["protocol"]
    asked = ("dataset", "split", "image_size", "real_images", "generated_images", "seed")
    assert [protocol[key] for key in asked] == ["coco", "val", 64, 12, 12, 5]
    digest = file_sha256(place / "other" / "open_clip_model.safetensors")
    assert protocol["features"].keys() == {"clip-score", "retrieval"}
    for features in protocol["features"].values():
        assert (features["clip"], features["clip_sha256"]) == (str(place / "other"), digest)
        assert features["clip_resize"].startswith("32x32, bicubic")


def test_larger_photographs(train: Train, place: Path) -> None:
    few = ["--epochs", "1", "--limit", "4", "--batch-size", "2", "--latent-dim", "4", "--precision", "fp32"]
    train("train", "coco-128", "--data-dir", "coco", "--condition", "clip:tiny", *few, "--out", "coco-128")
    model = CVAE.from_pretrained(place / "coco-128")
    assert (model.config.name, model.config.image.size) == ("coco-128", 128)
    (drawn,) = model.generate("a dog")
    assert (drawn.size, drawn.mode) == ((128, 128), "RGB")
    shutil.rmtree(place / "coco-128")


def test_the_largest_photographs_are_learned_and_drawn(place: Path) -> None:
    """One step, without the gigabyte of files that a training writes."""
    settings = {"data.dir": str(place / "coco"), "data.condition": f"clip:{place / 'tiny'}", "data.limit": 4}
    recipe = load_recipe("coco-256-add", settings | {"architecture.latent_dim": 4})
    data, validation = load_training_data(recipe, torch.device("cpu"), callback=ignore)
    assert (len(data), len(validation)) == (3, 1)
    model = build_model(recipe, data.name, data.image_shape, condition_config(data))
    assert (model.config.name, model.config.image.size) == ("coco-256-add", 256)
    objective = build_objective(recipe, model)
    objective.train_mode()
    images, condition = next(Batches(data, batch_size=2, device=torch.device("cpu")).epoch(0))
    objective.total(objective.losses(images, condition), 1.0).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    (drawn,) = model.eval().generate("a dog")
    assert (drawn.size, drawn.mode) == ((256, 256), "RGB")


# ---- folders and the embedded text encoder -----------------------------------------------------------------------


def test_a_folder_with_captions_is_learned(static_run: Path, place: Path) -> None:
    condition = condition_of(static_run)
    assert (condition["kind"], condition["width"]) == ("static", 256)
    config = json.loads((static_run / "model" / "config.json").read_text())
    assert (config["name"], config["dataset"]) == ("pictures", "folder:pictures")
    assert "embedded text encoder" in (static_run / "model" / "README.md").read_text()


def weights(run: Path) -> list[bytes]:
    return [(run / folder / "model.safetensors").read_bytes() for folder in ("model", "last")]


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "the training ended before it was to be stopped"
        time.sleep(0.005)


def test_killed_training_resumes_to_the_same_bits(
    executable: str, clean_environment: dict[str, str], static_run: Path, place: Path, cvae: Command, tmp_path: Path
) -> None:
    run, where = tmp_path / "run", place
    command = [executable, *STATIC, *SMALL, "--out", str(run)]
    for moment in ("state/training.safetensors", "samples/epoch-002.png"):
        with subprocess.Popen(command, cwd=where, env=clean_environment, stderr=subprocess.DEVNULL) as process:
            wait_for(run / moment, process)
            process.send_signal(KILL)
        command, where = [executable, "train", "--resume", str(run)], tmp_path
    done = cvae("train", "--resume", run)
    assert done.returncode == 0, done.stderr
    assert weights(run) == weights(static_run)
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 4
    assert not list(run.rglob("*.tmp"))


def test_a_folders_own_split_is_measured(cvae: Command, static_run: Path, place: Path) -> None:
    done = cvae("evaluate", "--model", static_run, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    protocol = result["protocol"]
    asked = ("dataset", "split", "image_size", "real_images")
    assert [protocol[key] for key in asked] == [f"folder:{place / 'pictures'}", "test", 32, 6]  # a tenth of 60
    assert list(result["models"][0]["scores"]) == [
        *("mse", "mae", "ssim", "ssim-wang", "psnr", "elbo", "rate", "distortion", "active-units")
    ]


def test_same_picture_whatever_else_is_drawn(cvae: Command, static_run: Path, tmp_path: Path) -> None:
    cvae("generate", "a dog on a beach", "--seed", "5", "--model", static_run, "-o", "one.png")
    others = ["snow", "a dog on a beach", "a very long prompt about " + "food and tables and " * 50]
    done = cvae("generate", *others, "-n", "18", "--seed", "5", "--model", static_run, "-o", "rows.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (first,) = tiles(tmp_path / "one.png", 32, 1, 1)
    rows = tiles(tmp_path / "rows.png", 32, 18, 54)
    assert rows[18] == first
    assert len(set(rows)) == 54
    pictures = CVAE.from_pretrained(static_run).generate("a dog on a beach", n=18, seed=5)
    assert [each.tobytes() for each in pictures] == rows[18:36]


# ---- folders of classes ------------------------------------------------------------------------------------------


def test_a_folder_of_classes_is_learned_by_labels(train: Train, place: Path, cvae: Command, tmp_path: Path) -> None:
    train("train", "folder:animals", "--size", "16", "--epochs", "1", *SMALL, "--out", "labels")
    condition = condition_of(place / "labels")
    assert condition["kind"] == "labels"
    assert {each["name"]: each["words"] for each in condition["classes"]} == {  # type: ignore[attr-defined]
        "bus": ["bus"],
        "hot-dog": ["hot dog"],
        "polar_bear": ["polar bear"],
        "zebra": ["zebra"],
    }
    model = CVAE.from_pretrained(place / "labels")
    assert model.condition(["two Polar Bears", "the hot-dog"]).tolist() == [2, 1]
    done = cvae("generate", "a bus", "a zebbra", "--model", place / "labels", "-o", "none.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'no class of this model in "a zebbra". Did you mean "zebra"?' in done.stderr
    assert "polar_bear: polar bear" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_classes_is_learned_by_their_names(train: Train, place: Path, cvae: Command) -> None:
    few = ["--size", "16", "--epochs", "1", "--condition", "static"]
    train("train", "folder:animals", *few, *SMALL, "--out", "names")
    assert condition_of(place / "names")["kind"] == "static"
    done = cvae("reconstruct", "--dataset", f"folder:{place / 'animals'}", "-n", "8", "--model", place / "names")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()[:-1]]
    assert [row[0] for row in rows] == [f"animals val {number}" for number in range(1, 9)]  # its own split
    assert {row[1] for row in rows} == {"bus", "hot-dog", "polar_bear", "zebra"}
    assert CVAE.from_pretrained(place / "names").generate("a striped horse")[0].size == (16, 16)


# ---- the hint about clothes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("sneaker", True),
        ("a dress", True),
        ("ankle boots", True),
        ("A pair of Ankle-Boots!", True),
        ("shirts and bags", True),
        ("the T-shirt", True),
        ("a red dress", False),
        ("two dogs on a beach", False),
        ("a man in a coat", False),
        ("dresses for dogs", False),
        ("coats of arms", False),
        ("the", False),
        ("", False),
        (" ", False),
        ("👗", False),
    ],
)
def test_prompts_that_name_clothes_and_nothing_else(prompt: str, expected: bool) -> None:
    condition = read_config(bundled_dir() / "fashion").condition
    assert condition.kind == "labels"
    assert names_only_classes(prompt, condition.classes) is expected


@pytest.mark.parametrize("unit", ["dress ", "ankle boots and ", "t-shirt ", "a ", "x"])
def test_long_prompts_are_judged_in_time(unit: str) -> None:
    condition = read_config(bundled_dir() / "fashion").condition
    assert condition.kind == "labels"
    started = time.process_time()  # other programs on the machine do not count
    names_only_classes(unit * (100_000 // len(unit)) + "x", condition.classes)
    assert time.process_time() - started < 5
