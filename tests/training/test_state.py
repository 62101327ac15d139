"""The state of a training on disk: damage of any kind is noticed, and the state before is used instead."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from test_train_function import weights

from cvae_cli.errors import CorruptError
from cvae_cli.training import state_file
from cvae_cli.training.state_file import older_state, read_state, write_state

TENSORS = {"model.weight": torch.arange(3000.0).view(30, 100), "optimizer.0.step": torch.tensor(7.0)}
POSITION = '{"epoch": 3, "step": 70}'


def flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_state_is_what_was_written_and_the_one_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_state(path, TENSORS, "older")
    assert not older_state(path).exists()
    for position in ("old", POSITION):
        write_state(path, TENSORS, position)
    position, tensors = read_state(path)
    assert position == POSITION
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert read_state(older_state(path))[0] == "old"
    assert sorted(tmp_path.iterdir()) == [older_state(path), path]


def test_it_is_kept_on_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*paths: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(state_file.os, "link", link)
    for position in ("old", "new"):
        write_state(tmp_path / "state", TENSORS, position)
    assert [read_state(path)[0] for path in (older_state(tmp_path / "state"), tmp_path / "state")] == ["old", "new"]


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_state(path, TENSORS, POSITION)
    content = path.read_bytes()
    header = 8 * (8 + int.from_bytes(content[:8], "little"))
    random = np.random.default_rng(0)
    for bit in [*random.integers(0, 8 * len(content), 16).tolist(), *range(header)]:
        path.write_bytes(flip(content, bit))
        with pytest.raises(CorruptError, match="is damaged"):
            read_state(path)


@pytest.mark.parametrize("damage", ["flipped bit", "torn", "empty", "gone"])
def test_the_command_goes_on_from_the_state_before(
    cvae: Command, run_folder: Path, tmp_path: Path, damage: str
) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    state = run / "state" / "training.safetensors"
    content = state.read_bytes()
    changed = {"flipped bit": flip(content, 5_000_000), "torn": content[:5000], "empty": b""}
    state.unlink()
    if damage != "gone":
        state.write_bytes(changed[damage])
    done = cvae("train", "--resume", run)
    assert done.returncode == 0, done.stderr
    verb = "is gone" if damage == "gone" else "is damaged"
    (said,) = [line for line in done.stderr.splitlines() if "warning" in line]
    assert said.startswith(f"cvae: warning: {state} {verb}")
    assert said.endswith("going on from the state before it, of epoch 1, step 2")
    assert weights(run) == weights(run_folder)
    assert read_state(state)[1].keys() == read_state(run_folder / "state" / "training.safetensors")[1].keys()
