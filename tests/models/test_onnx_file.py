"""Models as ONNX files."""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import Command
from filelock import FileLock
from helpers import CAPTIONS, small_model
from PIL import Image
from tokenizers import Tokenizer
from torch.onnx._internal.exporter._registration import ONNXRegistry

from cvae_cli.errors import CvaeError, MissingError, UsageError
from cvae_cli.models import onnx_file
from cvae_cli.models.cvae import CVAE
from cvae_cli.text.static import StaticEncoder
from cvae_cli.text.static_graph import StaticGraph, client_tokenizer

CLIENT = Path(__file__).parents[2] / "docs" / "export.md"
TEXTS = [caption for captions in CAPTIONS for caption in captions] + ["a Ｒed 犬 dog's café", "teapots & xqzt 7"]


@pytest.fixture(scope="module", autouse=True)
def operators() -> Iterator[None]:
    """Let torch make its table of the operators once: it takes two seconds for each file."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="module")
def scenes(programs: Path) -> Path:
    """The file of the bundled `scenes`, which all workers of xdist share."""
    file = programs / "scenes.onnx"
    with FileLock(programs / "onnx.lock"):
        if not file.exists():
            written = CVAE.from_pretrained("scenes").export_onnx(file)
            assert (written.guidance, written.opset, written.bytes) == (3.0, 18, file.stat().st_size)
            assert written.bytes < 26e6  # the weights once, not once for each step
            assert written.difference <= 1e-4
            assert written.inputs == {"noise": "float32 (batch, 12, 8, 8)", "tokens": "int64 (batch, length)"}
            assert written.outputs == {"images": "float32 (batch, 3, 64, 64)"}
    return file


def draw(file: Path, **inputs: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(file)
    (images,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return torch.from_numpy(images)


def tokens_of(texts: list[str]) -> torch.Tensor:
    return torch.tensor([each.ids for each in Tokenizer.from_str(client_tokenizer()).encode_batch(texts)])


def test_prompts_draw_the_pictures_of_torch(scenes: Path) -> None:
    model = CVAE.from_pretrained("scenes")
    prompts = (TEXTS * 3)[:9]
    condition = model.condition(prompts)
    noise, tokens = model.noise(condition, prompts=prompts), tokens_of(prompts)
    expected = model.draw(noise, condition)
    for n in (1, 9):
        images = draw(scenes, noise=noise[:n], tokens=tokens[:n])
        torch.testing.assert_close(images, expected[:n], rtol=0, atol=1e-4)


def test_guidance_in_two_calls_draws_the_pictures_of_torch(tmp_path: Path) -> None:
    model = small_model("captioned-map-score")
    written = model.export_onnx(tmp_path / "model.onnx", guidance=3.0, text_encoder=False)
    assert written.guidance == 3.0
    assert written.inputs == {"noise": "float32 (batch, 3, 8, 8)", "condition": "float32 (batch, 256)"}
    condition = model.condition(TEXTS[:3])
    noise = model.noise(condition, prompts=TEXTS[:3])
    images = draw(written.path, noise=noise, condition=condition)
    torch.testing.assert_close(images, model.draw(noise, condition, guidance=3.0), rtol=0, atol=1e-4)
    assert (images - model.draw(noise, condition, guidance=1.0)).abs().max() > 1e-3


def test_tokens_give_the_vectors_of_the_text_encoder_to_the_bit() -> None:
    """Whatever the texts are batched with, and where unknown words are."""
    encoder, graph = StaticEncoder(), StaticGraph()
    expected = encoder.encode(TEXTS)
    assert 0 in tokens_of(TEXTS[-2:-1])
    assert torch.equal(graph(tokens_of(TEXTS)), expected)
    assert torch.equal(torch.cat([graph(tokens_of([text])) for text in TEXTS]), expected)


def test_the_client_of_the_docs_draws_what_generate_draws_without_torch(scenes: Path, tmp_path: Path) -> None:
    match = re.search(r"<!-- client -->\n```python\n(.*?)```", CLIENT.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    code = match[1] + '\nassert not {"torch", "cvae_cli"} & set(sys.modules)\n'
    prompt = "two dogs on a beach"
    arguments = [sys.executable, "-c", code, str(scenes), prompt]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = CVAE.from_pretrained("scenes").generate(prompt, n=4)
    for number, picture in enumerate(expected):
        difference = np.asarray(Image.open(tmp_path / f"{number}.png"), int) - np.asarray(picture, int)
        assert abs(difference).max() <= 1


@pytest.mark.parametrize("variant", ["article-none", "residual-add", "map-add", "photo-concat"])
def test_every_kind_of_part_draws_the_pictures_of_torch(variant: str, tmp_path: Path) -> None:
    model = small_model(variant)
    written = model.export_onnx(tmp_path / "model.onnx", text_encoder=False)
    prompts = ["a red car", "snow", "two dogs"] if variant.startswith("photo") else ["dress", "bag", "coat"]
    condition = model.condition(prompts)
    noise = model.noise(condition, prompts=prompts)
    given = {"classes": condition, "condition": condition}
    shown = {name: given[name] for name in written.inputs if name != "noise"}
    assert list(shown) == {"article-none": [], "photo-concat": ["condition"]}.get(variant, ["classes"])
    torch.testing.assert_close(
        draw(written.path, noise=noise, **shown), model.draw(noise, condition), rtol=0, atol=1e-4
    )


def test_each_step_has_the_operations_of_onnx_alone_and_the_weights_of_the_others(scenes: Path) -> None:
    proto = onnx.load(scenes)
    assert [each.domain for each in proto.opset_import] == [""]
    assert not proto.functions
    steps = CVAE.from_pretrained("scenes").config.architecture.prior.steps
    weight = "step.prior.blocks.0.first.weight"
    assert sum(each.name == weight for each in proto.graph.initializer) == 1
    assert sum(weight in each.input for each in proto.graph.node) == steps > 1


def test_no_folder_of_this_machine_is_in_a_file(scenes: Path) -> None:
    content = scenes.read_bytes()
    for folder in (Path(onnx_file.__file__).parent, Path(torch.__file__).parent.parent):
        assert str(folder).encode() not in content


def test_the_command(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    done = cvae("models", "export", quick_model, "-o", "quick.onnx", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["path"] == "quick.onnx"
    assert facts["bytes"] == (tmp_path / "quick.onnx").stat().st_size
    session = onnxruntime.InferenceSession(tmp_path / "quick.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert (metadata["model"], metadata["hybrid"], metadata["guidance"]) == ("fashion", "false", "null")
    assert json.loads(metadata["condition"])["classes"][1]["name"] == "trouser"


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["-o", "quick.bin"], 2, "does not end in .onnx"),
        (["-o", "quick.onnx", "--guidance", "2"], 2, "guidance needs a prior of the kind score"),
        ([], 2, "-o"),
    ],
)
def test_bad_input(
    cvae: Command, quick_model: Path, tmp_path: Path, arguments: list[str], code: int, reason: str
) -> None:
    done = cvae("models", "export", quick_model, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="onnx is not installed") as caught:
        small_model("dense-none").export_onnx(tmp_path / "model.onnx")
    assert caught.value.hint == 'pip install "cvae-cli[onnx]"'


def test_a_file_that_draws_other_pictures_is_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx_file, "_encode", lambda *arguments: b"")
    monkeypatch.setattr(onnx_file, "_session", lambda content: None)
    monkeypatch.setattr(onnx_file, "_difference", lambda *arguments: float("nan"))
    with pytest.raises(CvaeError, match="was not written") as caught:
        small_model("dense-none").export_onnx(tmp_path / "model.onnx")
    assert not isinstance(caught.value, UsageError)
    assert list(tmp_path.iterdir()) == []
