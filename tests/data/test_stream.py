"""Streams: the pictures of shards are read while a training goes on."""

import json
import os
import signal
import sys
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from helpers import Listener, small_model
from pictures_data import shards
from torch.distributions import Independent, Normal

from cvae_cli.config.condition import LabelCondition
from cvae_cli.data.batches import Batch
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.lane import Lane
from cvae_cli.data.shard_reader import Picture
from cvae_cli.data.stream_batches import StreamBatches
from cvae_cli.data.stream_source import open_stream
from cvae_cli.errors import CorruptError, InterruptedRunError, MissingError, UsageError
from cvae_cli.events import Event
from cvae_cli.runtime.distributed import World
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import condition_config, with_conditions
from cvae_cli.training import clock
from cvae_cli.training.events import EpochProgress
from cvae_cli.training.objectives.bound import BoundObjective
from cvae_cli.training.objectives.latent_batches import StreamedLatents
from cvae_cli.training.objectives.prior import PriorObjective
from cvae_cli.training.train import train

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, interpreter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and processes that start at once."""
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "executable", interpreter)


def streamed(place: Path | str, **settings: Any) -> tuple[Dataset, Dataset, list[str]]:
    """Open a stream of pictures with captions or classes, with the conditions that a model gets; and what was said."""
    said: list[Event] = []
    found = open_stream(f"webdataset:{place}", size=8, callback=said.append, **settings)
    encoder = load_encoder("static", said.append, CPU) if not hasattr(found[0].conditions, "classes") else None
    train, validation = (with_conditions(each, encoder, callback=said.append) for each in found)
    return train, validation, [str(event) for event in said]


def batches(data: Dataset, **settings: Any) -> StreamBatches:
    return StreamBatches(data, **{"batch_size": 8, "device": CPU, "seed": 5} | settings)


def greys(read: Iterator[Batch]) -> list[list[int]]:
    """Return the grey values of each batch: the numbers of its pictures."""
    return [(images[:, 0, 0, 0] * 255).round().int().tolist() for images, _ in read]


def chain(read: list[list[int]]) -> list[int]:
    return [number for batch in read for number in batch]


def run_lane(place: Path, steps: int, *, rows: int = 8, **changes: Any) -> list[tuple[dict[str, Any], bytes]]:
    """Read steps as a process of a stream does, in this one."""
    data, _, _ = streamed(place, readers=1)
    assert data.stream is not None
    asked = json.loads(json.dumps(data.stream.request(0, 1, rows, seed=1, epoch=0, start=0, steps=steps))) | changes
    return [(json.loads(json.dumps(told)), content) for told, content in Lane(**asked).run()]


def test_an_epoch_has_each_picture_once_and_resumes_to_the_bit(tmp_path: Path) -> None:
    data, validation, said = streamed(shards(tmp_path / "s", n=4, each=40), readers=2)
    assert (data.pictures, len(validation)) == (128, 16)  # of 160 pictures, 16 are for tests
    assert f"webdataset:{tmp_path}/s: about 128 training pictures, streamed from 4 shards" in said
    serve = batches(data)
    first, second = ([*serve.epoch(number)] for number in (0, 1))
    seen = [sorted(chain(greys(iter(each)))) for each in (first, second)]
    assert len(set(seen[0])) == 128
    assert seen[0] == seen[1]
    assert not set(seen[0]) & set(validation.images[:, 0, 0, 0].tolist())
    assert greys(iter(first)) != greys(iter(second))
    assert chain(greys(iter(first))) != seen[0]
    again = [*islice(batches(data).epoch(0, start=9), 5)]
    for (images, condition), (images_again, condition_again) in zip(first[9:14], again, strict=True):
        assert torch.equal(images, images_again)
        assert torch.equal(condition, condition_again)
    assert torch.unique(first[0][1], dim=0).shape[0] > 1
    assert greys(islice(batches(data, seed=6).epoch(0), 1)) != greys(iter(first[:1]))


def test_processes_share_the_batches_of_one(tmp_path: Path) -> None:
    data, _, _ = streamed(shards(tmp_path / "s", n=3, each=20), readers=2)
    whole = greys(islice(batches(data).epoch(0), 3))
    parts = [greys(islice(batches(data, world=World(rank, 2)).epoch(0), 3)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_classes_and_a_limit(tmp_path: Path) -> None:
    data, validation, _ = streamed(shards(tmp_path / "s", n=6, each=30, ending="cls"), readers=1, limit=50)
    assert (data.pictures, len(validation)) == (45, 5)
    assert isinstance(condition_config(data), LabelCondition)
    read = [*batches(data).epoch(0)]
    for (_, condition), numbers in zip(read, greys(iter(read)), strict=True):
        assert condition.tolist() == [number % 3 for number in numbers]
    assert max(max(each) for each in greys(iter(read))) < 90  # of the first shards


def test_objectives_are_served_from_the_stream_and_a_prior_from_its_posteriors(tmp_path: Path) -> None:
    data, _, _ = streamed(shards(tmp_path / "s", n=2, each=20), readers=1)
    settings: dict[str, Any] = {"batch_size": 8, "device": CPU, "seed": 5}
    for objective, kind in (
        (BoundObjective(small_model("captioned-residual-modulate")), StreamBatches),
        (PriorObjective(small_model("captioned-map-score")), StreamedLatents),
    ):
        listener = Listener()
        served = objective.make_batches(data, callback=listener, **settings)
        assert type(served) is kind
        assert served.callback is listener  # which hears what is lost
        assert (served.batch_size, served.seed) == (8, 5)

    class Doubling:
        def posterior(self, images: torch.Tensor, condition: torch.Tensor) -> Independent:
            assert not torch.is_grad_enabled()
            return Independent(Normal(2 * images, torch.full_like(images, 0.5)), 3)

    ((images, condition),) = islice(batches(data).epoch(0), 1, 2)
    ((moments, same_condition),) = islice(StreamedLatents(Doubling(), data, **settings).epoch(0, 1), 1)  # type: ignore[arg-type]
    assert torch.equal(moments, torch.stack([2 * images, torch.full_like(images, 0.5)], dim=1))
    assert torch.equal(same_condition, condition)


def test_what_is_lost_is_named_counted_and_forgiven_up_to_one_percent(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", n=200, each=4)
    content = bytearray((folder / "000070.tar").read_bytes())
    content[4096:6144] = b"\xff" * 2048
    (folder / "000070.tar").write_bytes(content)
    (folder / "000150.tar").unlink()
    place = f"{folder}/{{000000..000199}}.tar"
    data, _, said = streamed(place, readers=1, holdout=10)
    assert any("4 of 800 pictures cannot be read: 000150.tar (missing); they are left out" in line for line in said)
    notes: list[str] = []
    greys(batches(data, batch_size=64, callback=lambda event: notes.append(str(event))).epoch(0))
    assert "s: 000070.tar is damaged; 2 pictures are left out" in notes
    assert "s: 000150.tar is missing; 4 pictures are left out" in notes
    assert len(notes) == 2

    (folder / "000151.tar").write_bytes(content[:1000])
    with pytest.raises(CorruptError, match="of 800 pictures cannot be read"):
        greys(batches(data, batch_size=64).epoch(0))
    (folder / "000152.tar").unlink()
    (folder / "000153.tar").unlink()
    with pytest.raises(MissingError, match="3 of 200 pictures cannot be read: 000150"):
        streamed(place)


def test_a_damaged_picture_gives_its_place_to_another(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", n=2, each=20)
    for name in ("000000.tar", "000001.tar"):
        content = (folder / name).read_bytes()
        with tarfile.open(folder / name) as tar:
            start = tar.getmember(f"{7 if name == '000000.tar' else 27:09}.png").offset_data
        (folder / name).write_bytes(content[:start] + b"no picture" + content[start + 10 :])
    sound, damaged = (run_lane(folder, 4, buffer=1) for _ in range(2))
    assert [told for told, _ in sound] == [told for told, _ in damaged]
    lost = [each for told, _ in damaged for each in told["lost"]]
    assert {name for name, _, _ in lost} <= {"000000.tar/000000007.png", "000001.tar/000000027.png"}
    assert lost
    assert all(problem == "damaged" and pictures == 1 for _, problem, pictures in lost)
    for told, content in damaged:
        first_pixels = np.frombuffer(content, np.uint8).reshape(8, -1)[:, 0]
        assert [f"number {grey}" for grey in first_pixels] == [texts[1] for texts in told["texts"]]


def test_no_picture_can_be_read(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", n=1, each=20)
    with pytest.raises(CorruptError, match=r"none of the shards .* can be read"):
        run_lane(folder, 1, shards=[["/nowhere.tar", "nowhere.tar"]])
    assert Picture("a", 0, b"", []).texts == []


def test_what_cannot_be_streamed(tmp_path: Path, cvae: Command) -> None:
    folder = shards(tmp_path / "s", n=1, each=20)
    done = cvae("train", "folder:" + str(tmp_path), "--stream", "--dry-run")
    assert done.returncode == 2
    assert "cannot be streamed: only shards can (webdataset:PATTERN)" in done.stderr
    looked = cvae("train", f"webdataset:{folder}", "--stream", "--dry-run")
    assert "1 shard of pictures with captions, which are read while the training goes on" in looked.stderr
    with pytest.raises(UsageError, match="needs prepared pictures"):
        train(f"webdataset:{folder}", stream=True, settings={"data.windows": 128}, out=tmp_path / "run")


class Stopper:
    """Presses Ctrl-C after a step."""

    def __init__(self, epoch: int, step: int) -> None:
        self.moment = epoch, step

    def __call__(self, event: Event) -> None:
        if isinstance(event, EpochProgress) and (event.epoch, event.done) == self.moment:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_training_on_a_stream_resumes_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_REPORT_INTERVAL", 0.0)  # after each step
    folder = shards(tmp_path / "s", n=2, each=30)
    small = {"architecture.network.width": 8, "data.epoch_size": 1, "data.readers": 1}
    small |= {"then.prior.width": 8, "then.prior.blocks": 1, "then.prior.steps": 2, "then.training.epochs": 2}
    arguments: dict[str, Any] = {
        "stream": True, "size": 16, "epochs": 2, "batch_size": 8, "settings": small, "device": "cpu", "prior": "score",
    }  # fmt: skip
    whole = train(f"webdataset:{folder}", **arguments, out=tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        train(f"webdataset:{folder}", **arguments, out=tmp_path / "broken", callback=Stopper(2, 3))
    resumed = train(resume=tmp_path / "broken")
    weights = [(each.run / "prior/last/model.safetensors").read_bytes() for each in (whole, resumed)]
    assert weights[0] == weights[1]
    assert "48 training pictures" in (whole.run / "model/README.md").read_text()
