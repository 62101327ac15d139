"""Files of version 0.1.0, which later versions must read: runs, models, prepared pictures, folders of drawn pictures.

`data/previous/make.py` says how they were made. They are never made anew: a test that fails is a file that a user has
lost.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA, FASHION, Command
from PIL import Image
from safetensors.torch import load_file

from cvae_cli import CVAE, load_dataset, train
from cvae_cli.events import Summary
from cvae_cli.models.flow_matching import FlowMatching
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import with_conditions

PREVIOUS = DATA / "previous"
EXPECTED = PREVIOUS / "expected"
LEARNED = Path("prior", "model", "model.safetensors")
SIZE = 8  # pixels a side of the pictures, as they were prepared

PROMPTS = ["a red ball", "blue water", "green grass"]
FASHION_PROMPTS = ["a dress", "sneakers", "an ankle boot"]

Restore = Callable[[str], Path]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A copy of the pictures, with times of modification that a checkout does not decide."""
    folder = Path(shutil.copytree(PREVIOUS / "pictures", tmp_path / "pictures"))
    for number, file in enumerate(sorted(folder.iterdir())):
        os.utime(file, ns=(0, 1_700_000_000_123_456_789 + number))
    return folder


@pytest.fixture
def restored(tmp_path: Path, pictures: Path) -> Restore:
    """A function that copies a run, with the paths in its files as if it and its data had always been there."""

    def restore(name: str) -> Path:
        run = Path(shutil.copytree(PREVIOUS / name, tmp_path / name))
        for path in run.rglob("*"):
            if path.suffix in {".toml", ".json"}:
                text = path.read_text()
                for placeholder, place in (("@FASHION@", FASHION), ("@PICTURES@", pictures), ("@RUN@", run)):
                    text = text.replace(placeholder, str(place))
                path.write_text(text)
        return run

    return restore


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def identity(path: Path) -> tuple[int, int, bytes]:
    """Return what changes when a file is written again, even with the same content."""
    about = path.stat()
    return about.st_ino, about.st_mtime_ns, path.read_bytes()


@pytest.fixture
def noise_of_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bound of a score prior draw its noise from the latent, as in 0.1.0."""
    log_prob = FlowMatching.log_prob
    monkeypatch.setattr(
        FlowMatching, "log_prob", lambda self, z, condition, *, noise=None: log_prob(self, z, condition)
    )


@pytest.mark.usefixtures("noise_of_latents")
@pytest.mark.parametrize("name", ["run", "run-in-prior"])
def test_runs_go_on_to_what_they_would_have_come_to(
    restored: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run, expected = restored(name), EXPECTED / name
    before = lines(run / "metrics.jsonl")
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "home"))
    train(resume=run, device="cpu")
    assert lines(run / "metrics.jsonl")[: len(before)] == before
    for stage in (".", "prior"):
        ours, theirs = (lines(each / stage / "metrics.jsonl") for each in (run, expected))
        for key in ("epoch", "step", "skipped"):
            assert [line[key] for line in ours] == [line[key] for line in theirs]
        for our, their in zip(ours, theirs, strict=True):
            for key in ("train", "valid"):
                assert our[key] == pytest.approx(their[key], rel=1e-5)
    weights = load_file(run / LEARNED)
    for key, tensor in load_file(expected / LEARNED).items():
        # The same bits with the same torch on the same processor. Elsewhere rounding differs, and it alone decides what
        # biases learn before a normalisation, which removes them again.
        if name != "run" or not key.endswith("bias"):
            torch.testing.assert_close(weights[key], tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "prompts", "options"),
    [
        ("model/captions", PROMPTS, ["--guidance", "3", "--temperature", "2"]),
        ("model/labels", PROMPTS, []),
        ("run", FASHION_PROMPTS, ["--temperature", "0.7"]),
        ("run-in-prior", PROMPTS, []),
    ],
)
def test_models_draw_what_they_drew(
    cvae: Command, tmp_path: Path, model: str, prompts: list[str], options: list[str]
) -> None:
    sheet = ["-n", "2", "--seed", "3", "--same-noise", "--device", "cpu", "-o", "sheet.png"]
    done = cvae("generate", *prompts, "--model", PREVIOUS / model, *options, *sheet)
    assert done.returncode == 0, done.stderr
    drawn = EXPECTED / f"{Path(model).name}.png"
    assert abs(pixels(tmp_path / "sheet.png") - pixels(drawn)).max() <= 1
    with Image.open(tmp_path / "sheet.png") as ours, Image.open(drawn) as theirs:
        # it had the number for each prompt, and knew no other noise
        changed = {"software": "", "n": "2", "pictures": str(2 * len(prompts)), "same_noise": "True"}
        assert {**theirs.text, **changed} == {**ours.text, "software": ""}


@pytest.mark.usefixtures("noise_of_latents")
@pytest.mark.parametrize("name", ["captions", "labels"])
def test_models_say_of_pictures_what_they_said(name: str) -> None:
    model = CVAE.from_pretrained(PREVIOUS / "model" / name)
    shown = np.fromfile(PREVIOUS / "cache" / "pixels.bin", np.uint8).reshape(-1, SIZE, SIZE, 3)[: len(PROMPTS)]
    images = torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        noise = torch.zeros(len(PROMPTS), *model.latent_shape)
        bound = model.elbo(images, model.condition(PROMPTS), noise=noise)
    expected = json.loads((EXPECTED / "bounds.json").read_text())[name]
    assert bound.rate.tolist() == pytest.approx(expected["rate"], rel=1e-4)
    assert bound.distortion.tolist() == pytest.approx(expected["distortion"], rel=1e-4)


def test_prepared_pictures_and_vectors_are_used_as_they_are(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "home"))
    place = Path(shutil.copytree(PREVIOUS / "cache", prepared(pictures, tmp_path / "home")))
    before = {path.name: identity(path) for path in place.iterdir()}
    (vectors,) = place.glob("captions-*.f16")
    heard: list[object] = []
    data = load_dataset(f"folder:{pictures}", "train", size=SIZE, callback=heard.append)
    data = with_conditions(data, load_encoder("static"), callback=heard.append)
    assert [type(each) for each in heard] == [Summary]  # nothing is prepared or encoded
    assert data.images.tobytes() == (place / "pixels.bin").read_bytes()
    assert data.conditions.vectors.tobytes() == vectors.read_bytes()
    assert {path.name: identity(path) for path in place.iterdir() if path.suffix != ".lock"} == before
    assert [path for path in place.parent.iterdir() if path.suffix != ".lock"] == [place]


def prepared(pictures: Path, home: Path) -> Path:
    """Return the folder where version 0.1.0 keeps the prepared pictures."""
    index = json.loads((PREVIOUS / "cache" / "index.json").read_text())
    digest = hashlib.sha256(f"1 {SIZE} ".encode() + bytes(pictures))
    for name in index["files"]:
        about = (pictures / name).stat()
        digest.update(f"\0{name}\0{about.st_size} {about.st_mtime_ns}".encode())
    slug = re.sub(r"[^A-Za-z0-9]+", "-", f"folder:{pictures}")[-40:].strip("-")
    return home / "prepared" / f"{slug}-train-{SIZE}-{digest.hexdigest()[:16]}"


def test_a_folder_of_drawn_pictures_is_finished(cvae: Command, tmp_path: Path) -> None:
    whole = PREVIOUS / "manifest"
    shutil.copytree(PREVIOUS / "model", tmp_path / "model")  # the manifest has the digest of its weights
    shutil.copy(whole / "prompts.txt", tmp_path)
    folder = tmp_path / "pictures-of-prompts"
    folder.mkdir()
    settings, *drawn = (whole / "manifest.jsonl").read_text().splitlines(keepends=True)
    names = [json.loads(line)["file"] for line in drawn]
    (folder / "manifest.jsonl").write_text(settings + "".join(drawn[:3]))  # stopped between two of a prompt
    for name in names[:3]:
        shutil.copy(whole / name, folder)
        os.utime(folder / name, ns=(0, 0))
    before = [identity(folder / name) for name in names[:3]]
    options = ["--model", "model/labels", "-n", "2", "--seed", "5", "--format", "png", "--device", "cpu", "--json"]
    done = cvae("generate", "--from", "prompts.txt", *options, "-o", folder)
    assert done.returncode == 0, done.stderr
    assert [identity(folder / name) for name in names[:3]] == before
    assert "begun by version 0.1, where all prompts have the same noise: it is finished that way" in done.stderr
    lines = (folder / "manifest.jsonl").read_text().splitlines(keepends=True)
    assert lines[:4] == [settings, *drawn[:3]]
    sizes = [{"bytes": (folder / name).stat().st_size} for name in names[3:]]
    assert [json.loads(line) for line in lines[4:]] == [
        json.loads(line) | size for line, size in zip(drawn[3:], sizes, strict=True)
    ]
    assert sorted(path.name for path in folder.glob("*.png")) == names
    for name in names[3:]:
        assert abs(pixels(folder / name) - pixels(whole / name)).max() <= 1
    refused = cvae("generate", "--from", "prompts.txt", *options, "--temperature", "0.5", "-o", folder)
    assert refused.returncode == 2  # the manifest is of another temperature
