"""The noise of a picture comes from the seed, its prompt and its number, whatever stands beside it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FASHION, Command
from helpers import Listener, small_model
from PIL import Image

from cvae_cli import CVAE
from cvae_cli.bulk.generate import generate_files
from cvae_cli.bulk.grid import generate_grid
from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import load_dataset
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.streams import samples
from cvae_cli.pictures.grid import to_pil
from cvae_cli.runtime.randomness import noise

Draw = Callable[..., list[np.ndarray]]


@pytest.fixture
def model(quick_model: Path) -> CVAE:
    return CVAE.from_pretrained(quick_model)


@pytest.fixture
def draw(cvae: Command, quick_model: Path, tmp_path: Path) -> Draw:
    """A function that draws prompts into one grid, and returns its tiles in order."""

    def run(*prompts: str, n: int = 1, options: tuple[str, ...] = ()) -> list[np.ndarray]:
        sheet = ["-n", str(n), "--columns", str(n), "--model", str(quick_model), "-o", "sheet.png"]
        done = cvae("generate", *prompts, *sheet, *options)
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / "sheet.png") as picture:
            sheet_pixels = np.asarray(picture)
        return [sheet_pixels[30 * i : 30 * i + 28, 30 * j : 30 * j + 28] for i in range(len(prompts)) for j in range(n)]

    return run


def equal(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return len(some) == len(others) and all(np.array_equal(*pair) for pair in zip(some, others, strict=True))


def arrays(pictures: list[Image.Image]) -> list[np.ndarray]:
    return [np.asarray(picture) for picture in pictures]


def opened(paths: list[Path]) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in paths]


def test_the_rule_is_the_same_in_grids_files_and_the_library(
    draw: Draw, cvae: Command, model: CVAE, quick_model: Path, tmp_path: Path
) -> None:
    alone = draw("sneaker", n=2)
    assert equal(draw("dress", "a red dress", "sneaker", n=2)[4:], alone)
    assert equal(draw("sneaker", n=5)[:2], alone)
    assert equal(arrays(model.generate("sneaker", n=2)), alone)
    condition = model.condition(["dress", "sneaker", "sneaker"])
    assert equal(arrays(to_pil(model.sample(condition)))[1:], alone)  # a class stands for its name
    (tmp_path / "prompts.txt").write_text("bag\nsneaker\n")
    done = cvae("generate", "--from", "prompts.txt", "-n", "2", "--separate", "-o", "out", "--model", quick_model)
    assert done.returncode == 0, done.stderr
    assert equal(opened([tmp_path / "out" / f"{number}-sneaker.png" for number in (3, 4)]), alone)


def test_prompts_do_not_share_their_noise_unless_asked_to(draw: Draw, model: CVAE, tmp_path: Path) -> None:
    """Both prompts mean the same class, so only the noise can tell their pictures apart."""
    own = draw("dress", "a red dress")
    assert not np.array_equal(*own)
    assert np.array_equal(*draw("dress", "a red dress", options=("--same-noise",)))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.text["same_noise"] == "True"
    condition = model.condition(["dress", "a red dress"])
    texts = ["dress", "a red dress"]
    assert equal(arrays(to_pil(model.sample(condition, prompts=texts))), own)
    one, other = model.sample(condition, prompts=texts, same_noise=True)
    assert torch.equal(one, other)
    same = [model.generate(text, n=2, same_noise=True) for text in texts]
    assert equal(arrays(same[0]), arrays(same[1]))


def test_the_same_noise_is_that_of_seed_and_number(model: CVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    quick = model.prior.from_noise
    monkeypatch.setattr(
        model.prior, "from_noise", lambda noise, *rest, **kw: seen.append(noise) or quick(noise, *rest, **kw)
    )
    condition = model.condition(["dress", "bag", "bag"])
    model.sample(condition, seed=4, same_noise=True)
    assert torch.equal(seen[0][:3], noise(4, [0, 0, 1], model.latent_shape))
    model.sample(condition, seed=4)
    assert len(seen[1][:3].unique(dim=0)) == 3
    assert torch.equal(seen[1][:3], noise(4, [0, 0, 1], model.latent_shape, names=["dress", "bag", "bag"]))


def test_equal_prompts_continue_each_other(draw: Draw, cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    four = draw("dress", n=4)
    assert len({tile.tobytes() for tile in four}) == 4
    tiles = draw("dress", "bag", "dress", n=2)
    assert equal([*tiles[:2], *tiles[4:]], four)
    (tmp_path / "captions.txt").write_text("dress\nbag\ndress\ndress\ndress\n")
    done = cvae("generate", "--from", "captions.txt", "--separate", "-o", "out", "--model", quick_model, "--json")
    paths = [tmp_path / name for name in json.loads(done.stdout)["files"]]
    assert equal(opened([paths[0], *paths[2:]]), four)
    lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [(line["prompt"], line["sample"]) for line in lines[1:]] == [
        ("dress", 0), ("bag", 0), ("dress", 1), ("dress", 2), ("dress", 3)
    ]  # fmt: skip
    with Image.open(paths[4]) as picture:
        assert picture.text["sample"] == "3"


def test_an_interrupted_folder_with_equal_prompts_is_finished_with_the_same_pictures(
    quick_model: Path, tmp_path: Path
) -> None:
    prompts = ["dress", "bag", "dress", "dress"]
    whole, part = tmp_path / "whole", tmp_path / "part"
    generate_files(quick_model, prompts, whole, n=3)
    generate_files(quick_model, prompts, part, n=3)
    lines = (part / "manifest.jsonl").read_text().splitlines(keepends=True)
    (part / "manifest.jsonl").write_text("".join(lines[:9]))  # stopped within the second "dress"
    for path in sorted(part.glob("*.png"))[8:]:
        path.unlink()
    assert generate_files(quick_model, prompts, part, n=3).new == 4
    assert (part / "manifest.jsonl").read_bytes() == (whole / "manifest.jsonl").read_bytes()
    for path in whole.glob("*.png"):
        assert (part / path.name).read_bytes() == path.read_bytes()


def test_equal_prompts_at_the_same_noise_are_said_to_be_equal(model: CVAE, tmp_path: Path) -> None:
    for draw in (generate_grid, lambda *given, **options: generate_files(*given, tmp_path, **options)):
        listener = Listener()
        draw(model, ["dress", "bag", "dress"], same_noise=True, callback=listener)
        assert listener.notices == [
            "a prompt occurs more than once: at the same noise its pictures are the same each time"
        ]
    one, _, other = opened(sorted(tmp_path.glob("*.png")))
    assert np.array_equal(one, other)


def test_a_folder_keeps_its_kind_of_noise(cvae: Command, quick_model: Path) -> None:
    arguments = ["generate", "dress", "--model", quick_model, "--separate", "-o", "out"]
    assert cvae(*arguments).returncode == 0
    done = cvae(*arguments, "--same-noise")
    assert done.returncode == 2
    assert "out holds pictures of same_noise false, not true" in done.stderr


def test_samples_that_are_measured_are_those_that_are_drawn(model: CVAE) -> None:
    """Sample j of a class is picture j of its name, in the order of the data set, across batches."""
    data = load_dataset("fashion-mnist", "test", data_dir=FASHION).limit(40)
    batches = Batches(data, batch_size=128, device=torch.device("cpu"))
    (batch,) = samples(model, batches, Context(torch.device("cpu")))
    texts = [data.conditions.text(row) for row in range(40)]
    for name in ("dress", "sneaker"):
        rows = [row for row, text in enumerate(texts) if text == name]
        assert len(rows) > 1
        drawn = model.generate(name, n=len(rows))
        assert equal([batch.generated.images[row, 0].numpy() for row in rows], arrays(drawn))


def test_conditions_without_a_text_have_a_noise_of_their_own() -> None:
    """Vectors stand for themselves, by their signs: rounding elsewhere changes the last bits only."""
    model = small_model("captioned-map-score")
    condition = model.condition(["snow", "a beach"])
    both, beach = model.sample(condition), model.sample(condition[1:])
    assert torch.equal(both[1:], beach)
    rounded = model.sample(condition.half().float())
    assert (both - rounded).abs().max() < 0.05
    assert not torch.allclose(both, model.sample(condition, same_noise=True), atol=0.05)
