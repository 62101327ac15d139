"""Model folders: what is checked before a model is loaded, and what a saved one tells."""

import json
import resource
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Command
from helpers import VARIANTS, same, small_model
from safetensors.torch import load_file, save_file

from cvae_cli.config.condition import ClipCondition
from cvae_cli.config.model import ModelConfig
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.models import pretrained, save
from cvae_cli.models.card.scores import add_results, make_result
from cvae_cli.models.cvae import CVAE


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_is_loaded_as_it_was_saved_and_draws_no_random_numbers(variant: str, tmp_path: Path) -> None:
    model = small_model(variant)
    model.save_pretrained(tmp_path)
    before = torch.random.get_rng_state()
    loaded = CVAE.from_pretrained(tmp_path)
    assert torch.random.get_rng_state().equal(before)
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(same(ours[name], theirs[name]) for name in ours)
    assert loaded.config == model.config
    assert all(parameter.requires_grad for parameter in loaded.parameters())


# ---- digests -----------------------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_in_the_weights_is_noticed(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(quick_model, tmp_path / "model"))
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    header = int.from_bytes(content[:8], "little") + 8
    for place in range(header, len(content), len(content) // 5):
        damaged = bytearray(content)
        damaged[place] ^= 1
        weights.write_bytes(damaged)
        done = cvae("generate", "dress", "--model", folder)
        assert (done.returncode, done.stdout) == (4, "")
        assert "model.safetensors" in done.stderr
    weights.write_bytes(content)
    assert cvae("generate", "dress", "--model", folder, "-o", "dress.png").returncode == 0


def test_every_bundled_model_has_its_digest() -> None:
    for name in pretrained.bundled_models():
        folder = pretrained.find_model(name)
        assert pretrained.read_digests(folder) == [pretrained.weights_sha256(folder)]


def test_a_model_without_a_digest_stays_readable(quick_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(quick_model, tmp_path / "model"))
    values = json.loads((folder / "config.json").read_text())
    del values["weights_sha256"]
    (folder / "config.json").write_text(json.dumps(values))
    CVAE.from_pretrained(folder)


@pytest.mark.parametrize("value", [3, {"a": 1}, [3], "0" * 64, ["0" * 64]])
def test_a_digest_that_is_none_or_another(quick_model: Path, tmp_path: Path, value: object) -> None:
    folder = Path(shutil.copytree(quick_model, tmp_path / "model"))
    edit(folder, weights_sha256=value)
    with pytest.raises(CorruptError, match="digest"):
        CVAE.from_pretrained(folder)


def test_a_model_can_be_loaded_at_every_moment_of_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = small_model("dense-concat"), small_model("dense-concat")
    with torch.no_grad():
        for parameter in second.parameters():
            parameter += 0.1
    first.save_pretrained(tmp_path)
    loaded = []
    for name in ("write_text", "write_bytes"):
        write = getattr(save, name)

        def observed(path: Path, content: object, write: object = write) -> None:
            write(path, content)  # type: ignore[operator]
            loaded.append(CVAE.from_pretrained(tmp_path))

        monkeypatch.setattr(save, name, observed)
    second.save_pretrained(tmp_path)
    assert len(loaded) >= 4
    weights = [next(model.parameters()) for model in loaded]
    assert same(weights[0].detach(), next(first.parameters()).detach())
    assert same(weights[-1].detach(), next(second.parameters()).detach())
    assert pretrained.read_digests(tmp_path) == [pretrained.weights_sha256(tmp_path)]


# ---- before anything is allocated --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "architecture",
    [
        {"network": {"kind": "dense", "width": 65_536, "layers": 9}},
        {"network": {"kind": "residual", "width": 8_192, "blocks": 9}},
        {"network": {"kind": "residual", "width": 16, "blocks": 1_000}},
        {"network": {"kind": "article", "label_width": 65_536}},
        {"network": {"kind": "article"}, "latent_dim": 65_536},
        {"prior": {"kind": "flow", "layers": 1_000, "width": 65_536}},
        {"prior": {"kind": "score", "width": 65_536, "blocks": 200}},
    ],
    ids=["dense", "residual", "blocks", "label", "latent", "flow", "score"],
)
def test_settings_that_promise_far_more_than_the_weights_hold_cost_no_memory(
    cvae: Command, quick_model: Path, tmp_path: Path, architecture: dict[str, object]
) -> None:
    folder = Path(shutil.copytree(quick_model, tmp_path / "model"))
    edit(folder, architecture=json.loads((folder / "config.json").read_text())["architecture"] | architecture)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = cvae("generate", "dress", "--model", folder)
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "model.safetensors does not fit its settings" in done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < max(before * 1.1, 1_000_000)  # kilobytes


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float64", "float8_e4m3fn", "float8_e5m2", "complex64", "int32"]
)
def test_weights_of_other_types(quick_model: Path, tmp_path: Path, dtype: str) -> None:
    folder = Path(shutil.copytree(quick_model, tmp_path / "model"))
    edit(folder, **{pretrained.DIGEST: []})
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name] = tensors[name].to(getattr(torch, dtype))
    save_file(tensors, folder / "model.safetensors")
    if dtype in {"float16", "bfloat16", "float64"}:
        assert torch.equal(CVAE.from_pretrained(folder).state_dict()[name], tensors[name].float())
        return
    with pytest.raises(CorruptError, match=f'"{name}" has numbers that weights cannot have'):
        CVAE.from_pretrained(folder)


@pytest.mark.parametrize("value", [6, -1, 2**40])
def test_an_order_that_leads_out_of_the_latent(cvae: Command, quick_model: Path, tmp_path: Path, value: int) -> None:
    folder = Path(shutil.copytree(quick_model, tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    tensors["prior.order"][0, 0] = value
    save_file(tensors, folder / "model.safetensors")
    done = cvae("generate", "dress", "--model", folder)
    assert done.returncode == 4
    assert '"prior.order" has numbers that weights cannot have' in done.stderr


# ---- paths -------------------------------------------------------------------------------------------------------


def test_a_saved_model_tells_no_path(tmp_path: Path) -> None:
    model = small_model("dense-none")
    secret = tmp_path / "home" / "pictures"
    config = model.config.model_copy(
        update={
            "dataset": f"folder:{secret}",
            "condition": ClipCondition(model=str(tmp_path / "home" / "clip"), width=8, sha256="0" * 64),
        }
    )
    model.config = config
    model.save_pretrained(tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    read = pretrained.read_config(tmp_path / "model")
    assert read.dataset == "folder:pictures"
    assert isinstance(read.condition, ClipCondition)
    assert read.condition.model == "clip"
    assert config.published() == ModelConfig.model_validate(read.to_dict())


@pytest.fixture
def folder_run(cvae: Command, tmp_path: Path) -> Path:
    """A run that has learned a folder of pictures."""
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (16, 16), (20 * number, 90, 200)).save(tmp_path / "pics" / name / f"{number}.png")
    small = ["--size", "16", "--epochs", "1", "--prior", "none", "--batch-size", "8"]
    small += ["--set", "data.epoch_size=1", "--set", "architecture.network.width=8"]
    done = cvae("train", "folder:pics", *small, "--out", "run")
    assert done.returncode == 0, done.stderr
    return tmp_path / "run"


def test_a_model_of_a_folder_is_measured_on_it_in_its_run_and_elsewhere_only_when_asked(
    cvae: Command, folder_run: Path, tmp_path: Path
) -> None:
    model = folder_run / "model"
    for path in model.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    measure = ["evaluate", "--metric", "mse", "--samples", "2", "--json"]
    in_run = cvae(*measure, "--model", folder_run)
    assert in_run.returncode == 0, in_run.stderr
    foreign = shutil.copytree(model, tmp_path / "elsewhere" / "foreign")
    edit(foreign, dataset=f"folder:{tmp_path / 'pics'}")
    done = cvae(*measure, "--model", foreign)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'was trained on a folder, "pics": say where it is' in done.stderr
    assert "--dataset folder:PATH" in done.stderr
    asked = cvae(*measure, "--model", foreign, "--dataset", "folder:pics")
    assert asked.returncode == 0, asked.stderr
    scores = [json.loads(each.stdout)["models"][0]["scores"] for each in (in_run, asked)]
    assert scores[0] == scores[1]
    for extra, code in ([], 2), (["--data", "folder:pics", "--dry-run"], 0):
        done = cvae("train", "--prior", "score", "--model", foreign, *extra)
        assert done.returncode == code, done.stderr


def test_a_data_set_of_its_own_name_needs_no_path(quick_model: Path) -> None:
    config = pretrained.read_config(quick_model)
    assert pretrained.training_data(config, option="--dataset") == "fashion-mnist"
    with pytest.raises(UsageError, match="say where it is"):
        pretrained.training_data(config.model_copy(update={"dataset": "folder:x"}), option="--dataset")


def test_a_bar_in_a_name_stays_in_its_cell_of_a_card() -> None:
    score = make_result(
        metric="mse", label="mse", value=2.5, better="lower", dataset="cats|dogs", split="test", protocol="9 pictures"
    )
    row = add_results("", [score], name="pets").splitlines()[-3]
    assert row == r"| mse ↓ | 2.5 | cats\|dogs, test | 9 pictures |"
