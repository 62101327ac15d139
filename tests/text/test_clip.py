"""CLIP's text tower: its network, its weights, and prompts of any length."""

import hashlib
import json
import os
import pickle
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from loopback import COMMIT, Loopback, loopback
from open_clip.transformer import QuickGELU
from safetensors.torch import load, save_file
from tiny_clip import save_tiny_clip, tiny_config
from torch import Tensor, nn

from cvae_cli.config.condition import ClipCondition
from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.text import clip_source
from cvae_cli.text.catalog import load_encoder, load_matching_encoder
from cvae_cli.text.clip import ClipEncoder
from cvae_cli.text.clip_source import CONFIG, DEFAULT, WEIGHTS, find_clip
from cvae_cli.weights.registry import REGISTRY, AddressWeights

TEXTS = ["a cat on a mat", "Ein Hund", "😀 👩‍👩‍👧", "一只猫在垫子上", "x", "it's 3.5 m, isn't it?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClipEncoder:
    return ClipEncoder(str(folder))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the model, which the test may change."""
    place = tmp_path / "copy"
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return place


@torch.no_grad()
def reference(folder: Path, texts: list[str], **options: Any) -> Tensor:
    """Return open_clip's vectors of whole texts."""
    model = open_clip.create_model(f"local-dir:{folder}", **options).eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return model.encode_text(tokenizer(texts))


def activation(encoder: ClipEncoder) -> nn.Module:
    return encoder._tower.transformer.resblocks[0].mlp.gelu


# The network


@pytest.mark.parametrize("quick", [True, False])
def test_vectors_are_those_of_open_clip(tmp_path: Path, quick: bool) -> None:
    folder = save_tiny_clip(tmp_path / "clip", quick_gelu=quick, seed=1, width=24)
    encoder = ClipEncoder(str(folder))
    assert isinstance(activation(encoder), QuickGELU if quick else nn.GELU)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 24)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, reference(folder, TEXTS), rtol=1e-6, atol=1e-6)
    if not quick:  # the other activation gives other vectors, so the comparison above detects a wrong one
        assert (vectors - reference(folder, TEXTS, force_quick_gelu=True)).abs().max() > 1e-3


def test_vectors_are_those_of_open_clip_where_padding_is_looked_at(copy: Path) -> None:
    config = json.loads((copy / CONFIG).read_text())
    config["model_cfg"] |= {"custom_text": True}
    config["model_cfg"]["text_cfg"] |= {"no_causal_mask": True, "pool_type": "last"}
    (copy / CONFIG).write_text(json.dumps(config))
    torch.testing.assert_close(ClipEncoder(str(copy)).encode(TEXTS), reference(copy, TEXTS), rtol=1e-6, atol=1e-6)


def test_files_with_the_tower_under_its_own_name_are_read(copy: Path, encoder: ClipEncoder) -> None:
    tensors = load((copy / WEIGHTS).read_bytes())
    beside = ("visual.", "logit_scale")
    moved = {name if name.startswith(beside) else f"text.{name}": tensor for name, tensor in tensors.items()}
    save_file(moved, copy / WEIGHTS)
    assert ClipEncoder(str(copy)).encode(TEXTS).equal(encoder.encode(TEXTS))


def test_the_picture_tower_is_not_there_and_nothing_is_learned(encoder: ClipEncoder) -> None:
    names = dict(encoder._tower.named_parameters())
    assert not any("visual" in name for name in names)
    assert not any(tensor.requires_grad or tensor.is_meta for tensor in names.values())
    assert not encoder._tower.training
    assert not encoder.encode(["a cat"]).is_inference()


def test_half_precision_is_read_as_single(copy: Path, encoder: ClipEncoder) -> None:
    save_file({name: tensor.half() for name, tensor in load((copy / WEIGHTS).read_bytes()).items()}, copy / WEIGHTS)
    vectors = ClipEncoder(str(copy)).encode(TEXTS)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, encoder.encode(TEXTS), rtol=0.05, atol=0.05)


def test_loading_leaves_the_callers_randomness_alone(folder: Path) -> None:
    before = torch.random.get_rng_state()
    ClipEncoder(str(folder))
    assert torch.random.get_rng_state().equal(before)


# Prompts


def test_a_prompt_is_the_mean_of_its_sentences(encoder: ClipEncoder, folder: Path) -> None:
    parts = ["A cat sat at 5 p.m. on a mat.", "It slept!", "It slept!"]
    torch.testing.assert_close(
        encoder.encode([" ".join(parts)])[0], reference(folder, parts).mean(dim=0), rtol=1e-6, atol=1e-6
    )


def test_vectors_are_the_same_to_the_bit_whatever_is_beside_them(encoder: ClipEncoder) -> None:
    together = encoder.encode(TEXTS)
    assert together.equal(encoder.encode(TEXTS))
    assert together.equal(torch.cat([encoder.encode([text]) for text in TEXTS]))
    assert together.flip(0).equal(encoder.encode(TEXTS[::-1]))


def test_a_long_sentence_is_read_to_its_end_and_that_is_said(encoder: ClipEncoder) -> None:
    said: list[str] = []
    fits, longer = 75 * "cat ", 76 * "cat "
    encoder.encode([fits, "a cat. a dog."], callback=lambda event: said.append(str(event)))
    assert said == []
    one, other = encoder.encode(
        [f"{longer}. {longer} dog. A cow.", f"{longer}. {longer} bird. A cow."],
        callback=lambda event: said.append(str(event)),
    )
    assert len(said) == 2
    assert all("has a sentence of more than 75 tokens" in line and "\n" not in line for line in said)
    assert not one.equal(other)


def test_the_context_of_the_model_decides_what_is_long(tmp_path: Path) -> None:
    encoder = ClipEncoder(str(save_tiny_clip(tmp_path / "clip", context_length=12)))
    said: list[str] = []
    encoder.encode([10 * "cat ", 11 * "cat "], callback=lambda event: said.append(str(event)))
    assert len(said) == 1
    assert "more than 10 tokens" in said[0]


@pytest.mark.parametrize("unit", ["a cat. ", "word ", "q", "猫", "😀", "<end_of_text> ", "&amp;", "\ud800"])
def test_100_000_characters_are_read(encoder: ClipEncoder, unit: str) -> None:
    vectors = encoder.encode([(unit * 100_000)[:100_000]])
    assert vectors.shape == (1, 16)
    assert vectors.isfinite().all()


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\0", "\0 \0", "&nbsp;", "\x01"])
def test_an_empty_prompt_is_refused(encoder: ClipEncoder, text: str) -> None:
    with pytest.raises(UsageError, match="the prompt is empty"):
        encoder.encode(["a cat", text])


def test_a_list_is_wanted(encoder: ClipEncoder) -> None:
    assert encoder.encode([]).shape == (0, 16)
    with pytest.raises(TypeError, match="a list of texts"):
        encoder.encode("cat")


# Names


def test_a_folder_is_recorded_whole_and_found_again(
    folder: Path, encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert encoder.settings == ClipCondition(model=str(folder.resolve()), width=16, sha256=digest)
    monkeypatch.chdir(folder.parent)
    for name in (f"clip:./{folder.name}", f"clip:{folder.name}", f"clip:{folder}"):
        assert load_encoder(name).settings == encoder.settings
    assert load_matching_encoder(encoder.settings).encode(TEXTS).equal(encoder.encode(TEXTS))
    with pytest.raises(CorruptError, match="learned with another clip text encoder"):
        load_matching_encoder(encoder.settings.model_copy(update={"sha256": 64 * "0"}))


@pytest.fixture
def registered(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AddressWeights:
    """Replace OpenAI's model by the tiny one: its file is downloaded, its architecture is registered."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CVAE_HOME", str(tmp_path))
    body = (folder / WEIGHTS).read_bytes()
    entry = AddressWeights(
        name="clip",
        use="",
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        licence="",
        note="",
        url="https://localhost/clip.safetensors",
    )
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "clip.safetensors").write_bytes(body)
    monkeypatch.setitem(REGISTRY, "clip", entry)
    for name, quick in (("ViT-B-32", False), ("ViT-B-32-quickgelu", True)):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, tiny_config(quick_gelu=quick))
    return entry


@pytest.mark.parametrize("name", [None, DEFAULT, "ViT-B-32/openai", "ViT-B-32/OpenAI"])
def test_openais_model_has_quickgelu_by_whatever_name(
    registered: AddressWeights, encoder: ClipEncoder, name: str | None
) -> None:
    named = ClipEncoder(name)
    assert isinstance(activation(named), QuickGELU)
    assert named.settings == ClipCondition(model="ViT-B-32-quickgelu/openai", width=16, sha256=registered.sha256)
    assert named.encode(TEXTS).equal(encoder.encode(TEXTS))
    assert load_matching_encoder(named.settings).settings == named.settings


def test_without_openais_weights_the_command_that_fetches_them_is_named(
    registered: AddressWeights, tmp_path: Path
) -> None:
    (tmp_path / "weights" / "clip.safetensors").unlink()
    with pytest.raises(MissingError, match='the weights "clip" are not on this machine') as caught:
        ClipEncoder()
    assert caught.value.hint
    assert "cvae download-weights clip" in caught.value.hint


@pytest.fixture
def found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Pretend that every file of the Hub is in the cache, and record the requests."""
    asked: list[tuple[str, str]] = []

    def cached(repo: str, file: str, revision: str) -> Path:
        asked.append((repo, file))
        return folder / WEIGHTS

    monkeypatch.setattr("cvae_cli.weights.hub.cached_file", cached)
    return asked


@pytest.mark.parametrize(
    ("asked", "name", "quick"),
    [
        ("ViT-B-32/laion400m_e32", "ViT-B-32-quickgelu/laion400m_e32", True),
        ("ViT-B-32/metaclip_400m", "ViT-B-32-quickgelu/metaclip_400m", True),
        ("ViT-B-16/dfn2b", "ViT-B-16-quickgelu/dfn2b", True),
        ("ViT-L-14-quickgelu/openai", "ViT-L-14-quickgelu/openai", True),
        ("ViT-B-16/laion400m_e32", "ViT-B-16/laion400m_e32", False),
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k", False),
        ("ViT-B-32/laion2b-s34b-b79k", "ViT-B-32/laion2b_s34b_b79k", False),
        ("ViT-H-14/metaclip_altogether", "ViT-H-14/metaclip_altogether", False),
    ],
)
def test_the_weights_decide_about_quickgelu(found: list[tuple[str, str]], asked: str, name: str, quick: bool) -> None:
    source = find_clip(asked)
    assert (source.name, source.model["quick_gelu"]) == (name, quick)
    assert find_clip(source.name) == source
    assert {file for _, file in found} == {WEIGHTS}


def test_every_published_model_is_found_or_refused_in_a_sentence(
    found: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_source, "require_weights", lambda entry, report: Path("weights"))
    refused = []
    for architecture, tag in open_clip.list_pretrained():
        try:
            source = find_clip(f"{architecture}/{tag}")
        except UsageError as error:
            refused.append(error.message)
        else:
            about = open_clip.get_pretrained_cfg(architecture, tag)
            assert source.model["quick_gelu"] == about.get("quick_gelu", False)
    assert 0 < len(refused) < 60
    assert all("does not read text as CLIP does" in message for message in refused)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("ViT-B-32-quickgelu/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k was not trained with QuickGELU"),
        ("ViT-B-32-quickgelu/datacomp-xl-s13b-b90k", "was not trained with QuickGELU"),
        ("ViT-B-32/opnai", 'ViT-B-32 has no weights "opnai". Did you mean "openai"?'),
        ("ViT-B-32", "ViT-B-32 is an architecture, and needs a tag"),
        ("ViT-B32/openai", 'no CLIP model "ViT-B32/openai"'),
        ("hf-hub:org/name", "no CLIP model"),
        ("no/such/folder", "no CLIP model"),
        ("a\nb\x1b[31m", "no CLIP model"),
        (10_000 * "x", "no CLIP model"),
        ("ViT-B-16-SigLIP/webli", "does not read text as CLIP does"),
        ("roberta-ViT-B-32/laion2b_s12b_b32k", "does not read text as CLIP does"),
        ("coca_ViT-B-32/laion2b_s13b_b90k", "does not read text as CLIP does"),
    ],
)
def test_other_names_are_refused_in_a_line(model: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ClipEncoder(model)
    assert said in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


# Damage


def test_what_is_not_there_is_missing(copy: Path) -> None:
    for model in ("/no/such/folder", "./no/such", "~nobody/such", str(copy / CONFIG)):
        with pytest.raises(MissingError, match="is not a folder"):
            ClipEncoder(model)
    for name in (WEIGHTS, CONFIG):
        (copy / name).unlink()
        with pytest.raises(MissingError, match=f"has no {name}"):
            ClipEncoder(str(copy))


def with_config(copy: Path, change: dict[str, Any], key: str | None = "text_cfg") -> str:
    config = json.loads((copy / CONFIG).read_text())
    (config["model_cfg"][key] if key else config["model_cfg"]).update(deepcopy(change))
    return json.dumps(config)


def test_damaged_configurations_are_corrupt(copy: Path) -> None:
    bodies = [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"model_cfg": 3}',
        '{"model_cfg": {"text_cfg": []}}',
        '{"model_cfg": {"text_cfg": {}}}',
        with_config(copy, {"layers": 2}),
        with_config(copy, {"layers": "one"}),
        with_config(copy, {"width": 10**12, "heads": 1}),
        with_config(copy, {"heads": 3}),
        with_config(copy, {"context_length": 64}),
        with_config(copy, {"unknown": 1}),
        with_config(copy, {"embed_dim": -1}, None),
        with_config(copy, {"embed_dim": 17}, None),
        with_config(copy, {"quick_gelu": "yes"}, None),
    ]
    for body in bodies:
        (copy / CONFIG).write_text(body)
        with pytest.raises(CorruptError) as caught:
            ClipEncoder(str(copy))
        assert str(copy) in caught.value.message
        assert "\n" not in caught.value.message


def test_another_vocabulary_is_refused(copy: Path) -> None:
    for change in ({"vocab_size": 32_000}, {"hf_tokenizer_name": "bert-base-uncased"}, {"hf_model_name": "roberta"}):
        (copy / CONFIG).write_text(with_config(copy, change))
        with pytest.raises(UsageError, match="does not read text as CLIP does"):
            ClipEncoder(str(copy))


class Malice:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_damaged_weights_are_corrupt(copy: Path, tmp_path: Path) -> None:
    path = copy / WEIGHTS
    body = path.read_bytes()
    tensors = load(body)
    mark = tmp_path / "mark"
    for damaged in (b"", body[:-1], body[:1000], b"not weights", pickle.dumps(Malice(mark))):
        path.write_bytes(damaged)
        with pytest.raises(CorruptError, match="is damaged or not a safetensors file"):
            ClipEncoder(str(copy))
    assert not mark.exists()
    name = "transformer.resblocks.0.mlp.c_fc.weight"
    rest = {other: tensor for other, tensor in tensors.items() if other != name}
    for changed, said in (
        (rest, f'lacks tensor "{name}"'),
        (tensors | {name.replace("0", "1", 1): tensors[name].clone()}, "has the unknown tensor"),
        (rest | {name: tensors[name][:3].clone()}, f'"{name}" is (3, 16), not (64, 16)'),
        (rest | {name: tensors[name].int()}, "has numbers that weights cannot have"),
        (rest | {name: tensors[name] * float("nan")}, "has numbers that weights cannot have"),
    ):
        save_file(changed, path)
        with pytest.raises(CorruptError) as caught:
            ClipEncoder(str(copy))
        assert said in caught.value.message


# The Hub


@pytest.fixture
def hub() -> Iterator[Loopback]:
    with loopback() as server:
        yield server


ENCODE = """
import sys
import warnings

warnings.simplefilter("error")
import open_clip
from cvae_cli.errors import CvaeError
from cvae_cli.text.clip import ClipEncoder

open_clip.add_model_config(sys.argv[1])
about = {"hf_hub": "org/tiny/", "quick_gelu": True}
open_clip.pretrained._PRETRAINED["tiny"] = {"here": about, "pickled": about | {"hf_hub": "org/pickled/"}}
for name in ("tiny/here", "tiny/here", "tiny/pickled"):
    try:
        encoder = ClipEncoder(name)
        activation = type(encoder._tower.transformer.resblocks[0].mlp.gelu).__name__
        print(encoder.settings.model, encoder.settings.sha256, activation, flush=True)
    except CvaeError as error:
        print(type(error).__name__, error.message, flush=True)
"""


def test_published_models_come_from_the_hub_once_and_never_as_pickles(
    hub: Loopback, interpreter: str, clean_environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    body = (folder / WEIGHTS).read_bytes()
    hub.serve_repository("org/tiny", {WEIGHTS: body, "open_clip_pytorch_model.bin": b"pickle"})
    hub.serve_repository("org/pickled", {"open_clip_pytorch_model.bin": b"pickle"})
    (tmp_path / "tiny.json").write_text(json.dumps(tiny_config(quick_gelu=False)))

    def run(**env: str) -> list[str]:
        online = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path), "no_proxy": "127.0.0.1"}
        done = subprocess.run(
            [interpreter, "-c", ENCODE, str(tmp_path / "tiny.json")],
            env=clean_environment | online | env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    here = f"tiny/here {hashlib.sha256(body).hexdigest()} QuickGELU"
    pickled = "UsageError the weights of tiny/pickled are published as a pickle only, and a pickle can run any code"
    assert run(HF_HUB_OFFLINE="0") == [here, here, pickled]
    assert len([r for r in hub.requests if r.method == "GET" and r.path.endswith(WEIGHTS) and "tiny" in r.path]) == 1
    assert not any(request.path.endswith(".bin") for request in hub.requests)
    hub.requests.clear()
    first, second, offline = run(HF_HUB_OFFLINE="1")
    assert (first, second) == (here, here)
    assert offline.startswith("MissingError the weights of tiny/pickled are not on this machine: ")
    assert hub.requests == []
    assert COMMIT in {path.name for path in tmp_path.rglob("snapshots/*")}
