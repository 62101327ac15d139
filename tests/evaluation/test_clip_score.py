"""CLIP score and retrieval, compared with open_clip's own vectors and with results computed by hand."""

import json
from pathlib import Path
from types import SimpleNamespace

import open_clip
import pytest
import torch
import torch.nn.functional as F
from helpers import fashion, small_model
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_clip import save_tiny_clip
from torch import Tensor

from cvae_cli.config.condition import ClipCondition
from cvae_cli.errors import CorruptError
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import Extractor
from cvae_cli.evaluation.features.clip_model import ClipModel
from cvae_cli.evaluation.metrics.captions import CLIPScore, Retrieval, clip_score, retrieval
from cvae_cli.evaluation.streams import PictureBatch, SampleBatch
from cvae_cli.text.clip_source import CONFIG, WEIGHTS

PREPROCESS = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7], "interpolation": "bicubic", "resize_mode": "shortest"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny_clip(tmp_path_factory.mktemp("clip"))
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"preprocess_cfg": PREPROCESS}))
    return folder


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipModel:
    return ClipModel(str(folder))


@pytest.fixture(scope="module")
def model(folder: Path) -> open_clip.CLIP:
    return open_clip.create_model(f"local-dir:{folder}").eval()


def pictures(*shape: int) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3, 3, 64, 64), (2, 3, 20, 40), (70, 3, 8, 8)])
@torch.no_grad()
def test_pictures_are_encoded_as_by_open_clip(clip: ClipModel, model: open_clip.CLIP, shape: tuple[int, ...]) -> None:
    images = pictures(*shape)
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    inputs = torch.stack([transform(Image.fromarray(image.movedim(0, -1).numpy())) for image in images])
    vectors = clip.images(images)
    torch.testing.assert_close(vectors, model.encode_image(inputs, normalize=True), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(images)))


def test_grey_pictures_are_their_rgb_selves(clip: ClipModel) -> None:
    grey = pictures(2, 1, 28, 28)
    assert clip.images(grey).equal(clip.images(grey.expand(-1, 3, -1, -1)))


@torch.no_grad()
def test_captions_are_read_whole_and_cut_where_the_context_ends(clip: ClipModel, model: open_clip.CLIP) -> None:
    texts = ["A cat. A dog.", "一只猫 😀", "", 76 * "cat ", 75 * "cat "] * 20
    before = clip.cut
    vectors = clip.texts(texts)
    assert clip.cut - before == 20
    expected = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(texts), normalize=True)
    torch.testing.assert_close(vectors, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match="a list of captions"):
        clip.texts("cat")


def test_the_protocol_says_what_a_score_depends_on(clip: ClipModel, folder: Path) -> None:
    assert clip.protocol["clip"] == str(folder.resolve())
    assert len(clip.protocol["clip_sha256"]) == 64
    assert clip.protocol["clip_resize"] == "32x32, bicubic, antialiased, shortest"


def test_loading_leaves_the_callers_randomness_alone(folder: Path) -> None:
    before = torch.random.get_rng_state()
    clip = ClipModel(str(folder), torch.device("cpu"), lambda event: None)
    assert torch.random.get_rng_state().equal(before)
    assert not any(tensor.requires_grad for tensor in clip._model.parameters())


def test_damage_is_found(folder: Path, tmp_path: Path) -> None:
    config, tensors = json.loads((folder / CONFIG).read_text()), load_file(folder / WEIGHTS)
    tensors.pop("visual.proj")
    save_file(tensors, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(CorruptError, match=r'lacks tensor "visual\.proj"'):
        ClipModel(str(tmp_path))
    for preprocess in ({"resize_mode": "none"}, {"interpolation": 3}, {"mode": "L"}):
        (tmp_path / CONFIG).write_text(json.dumps(config | {"preprocess_cfg": preprocess}))
        with pytest.raises(CorruptError):
            ClipModel(str(tmp_path))
    for vision in ({"layers": "one"}, {"unknown": 1}, {"timm_model_name": "no_such_model"}):
        broken = config["model_cfg"] | {"vision_cfg": config["model_cfg"]["vision_cfg"] | vision}
        (tmp_path / CONFIG).write_text(json.dumps({"model_cfg": broken}))
        with pytest.raises(CorruptError, match="does not describe a CLIP model"):
            ClipModel(str(tmp_path))


# Arithmetic


def test_the_score_is_the_cosine_in_percent_and_never_negative() -> None:
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.8, 0.6]])
    torch.testing.assert_close(clip_score(images, texts), torch.tensor([100.0, 0.0, 0.0, 96.0]))


def test_retrieval_finds_each_pictures_own_caption() -> None:
    vectors = torch.eye(6)
    assert retrieval(vectors, vectors, group=3) == 1
    assert retrieval(vectors, vectors[[1, 2, 0, 4, 5, 3]], group=3) == 0
    wrong = vectors[[0, 1, 2, 4, 3, 5]]  # two of the second group are swapped
    assert retrieval(wrong, vectors, group=3) == pytest.approx(4 / 6)


def test_groups_are_complete_unless_there_is_but_one() -> None:
    vectors = torch.eye(7)
    mistaken = vectors.clone()
    mistaken[6] = vectors[0]  # in the incomplete third group
    assert retrieval(mistaken, vectors, group=3) == 1
    assert retrieval(mistaken, vectors, group=100) == pytest.approx(6 / 7)
    assert retrieval(mistaken, vectors, group=7) == pytest.approx(6 / 7)


def test_chance_is_one_in_a_group() -> None:
    generator = torch.Generator().manual_seed(0)
    images, texts = (F.normalize(torch.randn(20_000, 8, generator=generator), dim=1) for _ in range(2))
    assert retrieval(images, texts) == pytest.approx(0.01, abs=0.004)


def test_a_caption_that_comes_twice_is_the_right_one_both_times() -> None:
    texts = torch.eye(4)[[0, 0, 1, 2]]
    assert retrieval(texts, texts + 1e-8) == 1


def measured(generated: Tensor, real: Tensor, texts: Tensor) -> tuple[CLIPScore, Retrieval]:
    """Both metrics after two batches with these vectors, of whose captions CLIP has cut three."""
    network = SimpleNamespace(cut=5)
    clip = Extractor(network=network, num_features=texts.shape[1], protocol={})
    context = Context(torch.device("cpu"), _extractors={"clip": clip})
    metrics = CLIPScore(context), Retrieval(context)
    network.cut = 8
    for rows in (slice(None, 3), slice(3, None)):
        sides = (PictureBatch.of_features({clip: each[rows]}) for each in (generated, real))
        batch = SampleBatch(*sides, [""] * len(texts[rows]), {clip: texts[rows]})
        for metric in metrics:
            metric.update(batch)
    return metrics


def test_metrics_compare_samples_and_real_pictures_with_the_same_captions() -> None:
    texts = torch.eye(4)
    score, ranks = measured(texts[[0, 1, 3, 2]], texts[[0, 1, 2, 0]], texts)
    assert (score.compute(), ranks.compute()) == (50, 0.5)
    assert score.details() == {"clip-score captions cut": 3, "clip-score of real pictures": 75}
    assert ranks.details() == {"retrieval of real pictures": 0.75, "retrieval by chance": 0.25}


def test_a_model_that_is_measured_by_its_own_text_encoder_is_warned_about() -> None:
    clip = Extractor(network=None, num_features=4, protocol={"clip_sha256": "ab"})
    context = Context(torch.device("cpu"), _extractors={"clip": clip})
    model, data = small_model(), fashion()

    def warned() -> list[str]:
        return [
            text.partition(":")[0] for each in (CLIPScore, Retrieval) for text in each.warnings(model, data, context)
        ]

    assert warned() == []  # its conditions are labels
    for sha256, expected in (("ab", ["clip-score", "retrieval"]), ("cd", [])):
        condition = ClipCondition(model="ViT-B-32/openai", width=4, sha256=sha256)
        model.config = model.config.model_copy(update={"condition": condition})
        assert warned() == [f"{name} of {model.called} is circular" for name in expected]


def test_groups_are_not_of_neighbours() -> None:
    """Samples that show their neighbour's caption are mistaken where that is in their group: half of them."""
    texts = torch.eye(200)
    swapped = texts.unflatten(0, (100, 2)).flip(1).flatten(0, 1)
    assert retrieval(swapped, texts) == 0
    _, ranks = measured(swapped, texts, texts)
    assert ranks.compute() == pytest.approx(0.5, abs=0.15)
    assert ranks.compute() == measured(swapped, texts, texts)[1].compute()
    assert ranks.details()["retrieval by chance"] == 0.01
