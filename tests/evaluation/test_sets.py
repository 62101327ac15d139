"""`evaluate_sets` and `cvae evaluate --real --generated`: two sets of pictures without a model."""

import json
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FASHION, Command
from helpers import Listener, fashion
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from test_documents import check_document

from cvae_cli import evaluate_sets
from cvae_cli.data.originals import find_originals
from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.evaluation import report
from cvae_cli.evaluation.features import EXTRACTORS, fashion_cnn, load_extractor
from cvae_cli.evaluation.metrics.frechet import frechet_distance
from cvae_cli.evaluation.sets import picture_stream
from cvae_cli.evaluation.sets.reference import Reference, read_reference

METRICS = ["fid-fashion", "recall:fashion"]
EVERY = [*METRICS, *(f"{name}:fashion" for name in ("kid", "precision", "density", "coverage"))]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `real` and `generated`: 40 and 30 pictures of Fashion-MNIST as PNG."""
    folder = tmp_path_factory.mktemp("sets")
    for name, split, n in (("real", "test", 40), ("generated", "train", 30)):
        (folder / name).mkdir()
        for number, pixels in enumerate(fashion(split, n).images):
            Image.fromarray(pixels[..., 0]).save(folder / name / f"{number:03}.png")
    return folder


def scores(real: Path | None, generated: Path, **options: object) -> dict[str, float]:
    return evaluate_sets(real, generated, **{"metrics": METRICS, "device": "cpu", **options}).sets[0].scores  # type: ignore


def features(n: int, split: str) -> torch.Tensor:
    network = load_extractor("fashion", torch.device("cpu")).network
    pixels = torch.from_numpy(fashion(split, n).images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    return network(pixels)


def test_folders_have_the_scores_of_their_pictures(cvae: Command, home: Path) -> None:
    done = cvae("evaluate", "--real", "real", "--generated", "generated", "--metric", "fid-fashion", cwd=home)
    assert done.returncode == 0, done.stderr
    name, score = done.stdout.strip().split("\t")
    assert name == "fid-fashion"
    assert float(score) == pytest.approx(frechet_distance(features(30, "train"), features(40, "test")), rel=1e-5)
    assert "fewer pictures (30) than features (128)" in done.stderr


def test_python_gives_what_the_command_gives_and_it_has_the_documented_schema(cvae: Command, home: Path) -> None:
    listener = Listener()
    evaluation = evaluate_sets(home / "real", home / "generated", metrics=METRICS, device="cpu", callback=listener)
    metrics = [part for name in METRICS for part in ("--metric", name)]
    folders = ["--real", home / "real", "--generated", home / "generated"]
    done = cvae("evaluate", *folders, *metrics, "--device", "cpu", "--json", "--fail-if", "fid-fashion>1e6")
    document = json.loads(done.stdout)
    check_document(document)
    assert document.pop("gates") == [{"condition": "fid-fashion>1000000", "failed": []}]
    assert json.loads(json.dumps(evaluation.to_dict())) == document
    (scored,) = document["sets"]
    assert (scored["pictures"], scored["sizes"]) == (30, "28x28")
    assert list(scored["scores"]) == METRICS
    for name in METRICS:
        protocol = scored["protocols"][name]
        assert (protocol["real_images"], protocol["generated_images"]) == (40, 30)
        assert protocol["features"]["features"].startswith("fashion-cnn")
    assert document["protocol"]["real_images"] == 40
    assert max(done for done, _ in listener.progress) == 40
    failed = cvae("evaluate", *folders, *metrics, "--fail-if", "fid-fashion>0.001")
    assert failed.returncode == 7
    assert "fid-fashion of generated is" in failed.stderr.splitlines()[-1]


# ---- what may not change a score -----------------------------------------------------------------------------------


def test_sizes_of_batches_change_no_score(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scores(home / "real", home / "generated", metrics=EVERY)
    monkeypatch.setattr(picture_stream, "_WINDOW", 7)
    monkeypatch.setattr(picture_stream, "_BATCH", 3)
    assert scores(home / "real", home / "generated", metrics=EVERY) == pytest.approx(whole, rel=1e-5)


def test_processes_change_no_score(cvae: Command, home: Path) -> None:
    arguments = ["evaluate", "--real", "real", "--generated", "generated", "--device", "cpu", "--json"]
    arguments += [part for name in EVERY for part in ("--metric", name)]
    documents = []
    for more in ([], ["--gpus", "2"]):
        done = cvae(*arguments, *more, cwd=home)
        assert done.returncode == 0, done.stderr
        documents.append(json.loads(done.stdout))
    one, two = documents
    assert two["sets"][0]["scores"] == pytest.approx(one["sets"][0]["scores"], rel=1e-5)
    assert two["sets"][0]["sha256"] == one["sets"][0]["sha256"]


def test_names_and_order_of_files_change_nothing(home: Path, tmp_path: Path) -> None:
    files = sorted((home / "generated").iterdir())
    for number, file in enumerate(random.Random(0).sample(files, len(files))):
        (tmp_path / str(number % 3)).mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / str(number % 3) / f"{number}.png")
    (one,) = evaluate_sets(home / "real", home / "generated", metrics=EVERY).sets
    (other,) = evaluate_sets(home / "real", tmp_path, metrics=EVERY).sets
    assert other.scores == pytest.approx(one.scores, rel=1e-5)
    assert other.sha256 == one.sha256


def test_a_set_against_itself(home: Path) -> None:
    evaluation = evaluate_sets(home / "real", home / "real", metrics=METRICS)
    assert abs(evaluation.sets[0].scores["fid-fashion"]) < 1e-3  # type: ignore[arg-type]
    assert evaluation.sets[0].scores["recall:fashion"] == 1
    assert "real has the same pictures as the real side" in evaluation.warnings


# ---- kinds of sets --------------------------------------------------------------------------------------------------


def as_shards(home: Path, to: Path) -> None:
    """Write the generated pictures as two shards with captions, one of them in folders."""
    to.mkdir()
    files = sorted((home / "generated").iterdir())
    for number, part in enumerate((files[:20], files[20:])):
        with tarfile.open(to / f"{number}.tar", "w") as tar:
            for file in part:
                caption = file.with_suffix(".txt")
                caption.write_text("a coat")
                tar.add(caption, f"{number}/{caption.name}")
                tar.add(file, f"{number}/{file.name}" if number else file.name)
                tar.add(file, f"{number}/._{file.name}")  # what a Mac adds
                caption.unlink()


def test_shards_and_splits_have_the_scores_of_folders(cvae: Command, home: Path, tmp_path: Path) -> None:
    as_shards(home, tmp_path / "shards")
    expected = scores(home / "real", home / "generated")
    assert scores(home / "real", tmp_path / "shards") == pytest.approx(expected, rel=1e-6)
    first = evaluate_sets(home / "real", tmp_path / "shards" / "0.tar", metrics="fid-fashion").sets[0]
    assert first.pictures == 20
    (from_split,) = evaluate_sets("fashion-mnist", home / "generated", metrics=METRICS, data_dir=FASHION).sets
    assert from_split.protocols["fid-fashion"]["real_images"] == 200  # all of the test split in tests/data
    arguments = ["evaluate", "--real", f"folder:{home / 'real'}", "--split", "train", "--generated", home / "generated"]
    done = cvae(*arguments, "--metric", "fid-fashion")
    assert done.returncode == 2, done.stdout  # loose pictures are no data set
    both = cvae("evaluate", "--real", "fashion-mnist", "--split", "train", "--generated", "fashion-mnist",
                "--samples", "30", "--data-dir", FASHION, "--metric", "fid-fashion", "--json")  # fmt: skip
    document = json.loads(both.stdout)
    assert document["protocol"]["real"] == "fashion-mnist train"
    assert document["protocol"]["real_images"] == document["sets"][0]["pictures"] == 30


def test_pictures_of_every_kind_and_size_are_read_as_they_are(tmp_path: Path) -> None:
    """Grey, colour, palette, 16 bits, transparent, turned, animated, in several sizes; and nothing is cropped."""
    grey = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7))
    grey.save(tmp_path / "a.png")
    grey.convert("RGB").save(tmp_path / "b.bmp")
    grey.convert("P").save(tmp_path / "c.gif", save_all=True, append_images=[grey.rotate(180).convert("P")])
    Image.fromarray(np.full((5, 7), 257 * 100, np.uint16)).save(tmp_path / "d.png")
    Image.new("RGBA", (7, 5), (0, 0, 0, 0)).save(tmp_path / "e.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (5, 7), (10, 20, 30)).save(tmp_path / "f.png", exif=turned)
    Image.new("RGB", (640, 480)).save(tmp_path / "g.jpg")
    Image.new("RGB", (3, 9), "red").save(tmp_path / "h.webp", lossless=True)
    originals = find_originals(str(tmp_path))
    read = [picture.pixels for picture in originals.read(slice(None))]
    shapes = [pixels.shape for pixels in read if pixels is not None]
    assert shapes == [(5, 7, 3)] * 6 + [(480, 640, 3), (9, 3, 3)]
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    assert all(np.array_equal(read[index], expected) for index in (0, 1, 2))
    assert (read[3][0, 0].tolist(), read[4][0, 0].tolist(), read[5][0, 0].tolist()) == (  # type: ignore[index]
        [100] * 3,
        [255] * 3,
        [10, 20, 30],
    )
    facts = picture_stream.Facts()
    for picture in originals.read(slice(None)):
        facts.add(picture)
    assert facts.describe_sizes() == "3x9 to 640x480"
    assert facts.warnings("x") == [
        "x: 1 of 8 pictures: first of several frames",
        "x: 1 of 8 pictures: laid on white",
        "x: 1 of 8 pictures: reduced to 8 bits",
        "x: 1 of 8 pictures: turned upright",
    ]


def test_many_pictures_are_read_by_several_processes_as_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 256, (4 + number % 3, 5, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    (tmp_path / "7.png").write_bytes(b"no picture")
    here = list(find_originals(str(tmp_path)).read(slice(None)))
    monkeypatch.setattr("cvae_cli.data.whole._MIN_PICTURES", 2)
    monkeypatch.setattr("cvae_cli.data.whole._CHUNK_PICTURES", 5)
    there = list(find_originals(str(tmp_path)).read(slice(None)))
    assert [picture.sha256 for picture in there] == [picture.sha256 for picture in here]
    assert [picture.problem for picture in there] == [picture.problem for picture in here]
    assert sum(picture.pixels is None for picture in there) == 1
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one.pixels, other.pixels)  # type: ignore[arg-type]


# ---- bad sets -------------------------------------------------------------------------------------------------------


def test_a_damaged_picture_is_one_clear_line(cvae: Command, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "generated", tmp_path / "few")
    (tmp_path / "few" / "broken.png").write_bytes(b"PNG")
    done = cvae("evaluate", "--real", home / "real", "--generated", "few", "--metric", "fid-fashion", "-q")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines()[-2:] == [
        "cvae: few/broken.png is not a picture that can be read, or a damaged one",
        "      of 31 pictures, at most 1% may be damaged",
    ]
    many = tmp_path / "many"
    many.mkdir()
    for number in range(100):
        (many / f"{number}.png").symlink_to(home / "generated" / f"{number % 30:03}.png")
    (many / "gone.png").symlink_to("nowhere")
    evaluation = evaluate_sets(home / "real", many, metrics="fid-fashion")
    assert evaluation.sets[0].pictures == 100  # 1 of 101 is left out, and it is said
    assert any("many: left out 1 of 101 pictures, the first: " in text for text in evaluation.warnings)
    assert any("gone.png" in text for text in evaluation.warnings)


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda path: path.mkdir(), 2, "bad has no pictures"),
        (lambda path: [path.mkdir(), (path / "a.psd.txt").write_text("")], 2, "bad has no pictures; not read: 1 .txt"),
        (lambda path: None, 3, "no folder bad"),
        (lambda path: path.write_text("x"), 2, "bad is neither a folder nor a .tar file"),
        (lambda path: [path.mkdir(), Image.new("L", (28, 28)).save(path / "a.png")], 2, "bad has 1"),
        (lambda path: [path.mkdir(), (path / "a.tar").write_bytes(b"x" * 600)], 4, "a.tar is not a tar file"),
    ],
    ids=["empty", "no-pictures", "absent", "file", "one", "tar"],
)
def test_bad_sets_on_either_side_are_one_clear_line(
    cvae: Command, home: Path, tmp_path: Path, make: Callable[[Path], object], code: int, said: str
) -> None:
    make(tmp_path / "bad")
    for real, generated in (("bad", home / "generated"), (home / "real", "bad")):
        done = cvae("evaluate", "--real", real, "--generated", generated, "--metric", "fid-fashion")
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert said in next(line for line in done.stderr.splitlines() if line.startswith("cvae: "))
        assert ("give a folder of pictures" in done.stderr) == (said == "no folder bad")
        assert "Traceback" not in done.stderr


def test_a_pipe_and_a_truncated_shard(home: Path, tmp_path: Path) -> None:
    as_shards(home, tmp_path / "shards")
    shard = tmp_path / "shards" / "0.tar"
    shard.write_bytes(shard.read_bytes()[:20_000])
    with pytest.raises(CorruptError, match=r"0\.tar"):
        evaluate_sets(home / "real", tmp_path / "shards", metrics="fid-fashion")
    shard.rename(shard.with_suffix(".zip"))
    with pytest.raises(UsageError, match="is packed"):
        find_originals(str(shard.with_suffix(".zip")))
    (tmp_path / "pipes").mkdir()
    subprocess.run(["mkfifo", tmp_path / "pipes" / "a.png"], check=True)
    (picture,) = find_originals(str(tmp_path / "pipes")).read(slice(None))
    assert "pipe or a device" in picture.problem


def test_constant_pictures_and_values_that_are_no_numbers(home: Path, tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(np.full((28, 28), np.nan, np.float32)).save(tmp_path / f"{number}.tif")
    evaluation = evaluate_sets(home / "real", tmp_path, metrics=METRICS)
    assert evaluation.sets[0].scores["recall:fashion"] == 0
    assert 0 < evaluation.sets[0].scores["fid-fashion"] < 1e4  # type: ignore[operator]


def test_options_that_do_not_go_together(cvae: Command, home: Path) -> None:
    sets = ["--real", home / "real", "--generated", home / "generated"]
    for arguments, said in {
        ("--real", "x"): "--real is for --generated",
        ("--reference", "x"): "--reference is for --generated",
        (*sets, "--model", "fashion"): "--model is for models",
        (*sets, "--temperature", "0.5"): "--temperature is for models",
        (*sets, "--split", "test"): "--split is for data sets",
        (*sets, "--generated", home / "generated"): "--generated has the same pictures twice",
        ("--generated", home / "generated", "--metric", "fid-fashion"): "there are no real pictures to compare with",
        (*sets, "--metric", "accuracy"): '"accuracy" measures a model',
        (*sets, "--metric", "mse"): '"mse" measures a model',
    }.items():
        done = cvae("evaluate", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert said in done.stderr


def test_numbers_of_pictures_that_cannot_be_measured(home: Path) -> None:
    with pytest.raises(UsageError, match="samples must be at least 1, not 0"):
        scores(home / "real", home / "generated", samples=0)
    with pytest.raises(UsageError, match=r'"fid-fashion" needs at least 2 pictures, .* has 1$'):
        scores(home / "real", home / "generated", samples=1)
    with pytest.raises(UsageError, match="there are no generated pictures to measure"):
        evaluate_sets(home / "real", [])


def test_pictures_of_another_size_than_the_features_are_for(home: Path, tmp_path: Path) -> None:
    for number in range(2):
        Image.new("L", (28, 32)).save(tmp_path / f"{number}.png")
    with pytest.raises(UsageError, match=r"is for pictures of 28x28; .* has some of 28x32"):
        evaluate_sets(home / "real", tmp_path, metrics="fid-fashion")


def test_a_metric_of_generated_pictures_alone_needs_no_real_ones(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRACTORS, "inception", EXTRACTORS["fashion"])  # a small network with classes
    evaluation = evaluate_sets(None, home / "generated", metrics="inception-score", device="cpu")
    assert 1 < evaluation.sets[0].scores["inception-score"] <= 10  # type: ignore[operator]
    assert "real_images" not in evaluation.sets[0].protocols["inception-score"]
    assert report.footer(evaluation).startswith("details: --json")
    check_document(json.loads(json.dumps(evaluation.to_dict())))


# ---- statistics of the real side ------------------------------------------------------------------------------------


def test_statistics_are_written_read_and_completed(cvae: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "stats.safetensors"
    expected = scores(home / "real", home / "generated")
    arguments = ["evaluate", "--generated", home / "generated", "--reference", file, "--json"]
    first = cvae(*arguments, "--real", home / "real", "--metric", "fid-fashion")
    assert first.returncode == 0, first.stderr
    assert f"statistics of {home / 'real'} in {file}" in first.stderr
    without = cvae(*arguments, "--metric", "fid-fashion")
    assert json.loads(without.stdout) == json.loads(first.stdout)  # bit for bit, with the same protocol
    lacking = cvae(*arguments, "--metric", "recall")
    assert lacking.returncode == 2
    assert "lacks what recall needs" in lacking.stderr
    assert scores(home / "real", home / "generated", reference=file) == expected  # which adds the features
    assert scores(None, home / "generated", reference=file) == expected


def test_statistics_of_other_pictures_are_refused(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "stats.safetensors"
    scores(home / "real", home / "generated", reference=file, metrics="fid-fashion")
    shutil.copytree(home / "real", tmp_path / "real")
    scores(tmp_path / "real", home / "generated", reference=file, metrics="fid-fashion")  # a copy is the same
    Image.new("L", (28, 28)).save(tmp_path / "real" / "000.png")
    with pytest.raises(UsageError, match="statistics of other pictures"):
        scores(tmp_path / "real", home / "generated", reference=file, metrics="fid-fashion")


def test_damaged_and_foreign_statistics_are_refused(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "stats.safetensors"
    scores(home / "real", home / "generated", reference=file, metrics="fid-fashion")
    content = file.read_bytes()

    def refused(content: bytes, error: type[Exception], said: str) -> None:
        file.write_bytes(content)
        with pytest.raises(error, match=said):
            scores(None, home / "generated", reference=file, metrics="fid-fashion")

    refused(content[:-1] + bytes([content[-1] ^ 1]), CorruptError, "is damaged")
    refused(content[:1000], CorruptError, "not a file of statistics")
    refused(b"", CorruptError, "not a file of statistics")
    refused(fashion_cnn.WEIGHTS.read_bytes(), UsageError, "no statistics")
    other_weights = content.replace(
        load_extractor("fashion", torch.device("cpu")).protocol["weights_sha256"].encode(), b"0" * 64
    )
    refused(other_weights, UsageError, "other fashion features than those of now")
    with pytest.raises(MissingError, match="no file"):
        scores(None, home / "generated", reference=tmp_path / "absent", metrics="fid-fashion")


def test_statistics_that_are_not_finite_are_damaged(tmp_path: Path) -> None:
    file = tmp_path / "stats.safetensors"
    for value in (1.0, float("nan"), float("inf")):
        Reference({}, {"fashion": {"mean": torch.tensor([0.0, value])}}, {}).write(file)
        if value == 1:
            assert read_reference(file).states["fashion"]["mean"].tolist() == [0, 1]
            continue
        with pytest.raises(CorruptError, match="is damaged"):
            read_reference(file)


def test_statistics_of_a_type_that_is_never_written_are_damaged(tmp_path: Path) -> None:
    file = tmp_path / "stats.safetensors"
    Reference({}, {"fashion": {"mean": torch.zeros(2)}}, {}).write(file)
    with safe_open(file, "pt") as opened:
        header, names = opened.metadata(), list(opened.keys())
    save_file({name: torch.zeros(2, dtype=torch.bfloat16) for name in names}, file, header)
    with pytest.raises(CorruptError, match="is damaged"):
        read_reference(file)


def test_statistics_that_are_no_mean_and_covariance(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "stats.npz"
    for mean, covariance in [(np.zeros(3), np.eye(2)), (np.zeros((3, 1)), np.eye(3)), (np.full(2, np.nan), np.eye(2))]:
        np.savez(file, mu=mean, sigma=covariance)
        with pytest.raises(CorruptError, match="are not a mean and a covariance"):
            scores(None, home / "generated", reference=file, metrics="fid")


def test_statistics_of_pytorch_fid(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They can be read in place of the pictures; another use is refused. A small network plays Inception."""
    rows = features(40, "test").double().numpy()
    file = tmp_path / "stats.npz"
    np.savez(file, mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    with monkeypatch.context() as patched:
        patched.setitem(EXTRACTORS, "inception", EXTRACTORS["fashion"])
        evaluation = evaluate_sets(None, home / "generated", metrics="fid", reference=file, device="cpu")
        (expected,) = scores(home / "real", home / "generated", metrics="fid").values()
    assert evaluation.sets[0].scores["fid"] == pytest.approx(expected, rel=1e-6)
    assert (evaluation.protocol["real"], evaluation.protocol["real_images"]) == ("stats.npz", None)
    assert report.footer(evaluation).startswith("real pictures of stats.npz · details: --json")
    with pytest.raises(UsageError, match=r"lacks what fid-fashion needs"):
        scores(None, home / "generated", reference=file, metrics="fid-fashion")
    with pytest.raises(UsageError, match="does not say of which pictures"):
        scores(home / "real", home / "generated", reference=file, metrics="fid-fashion")
    with pytest.raises(UsageError, match=r"not written as \.npz"):
        scores(home / "real", home / "generated", reference=tmp_path / "new.npz", metrics="fid-fashion")
    for content in (b"", b"PK\x03\x04", file.read_bytes()[:300]):
        file.write_bytes(content)
        with pytest.raises(CorruptError, match="no mu and sigma"):
            scores(None, home / "generated", reference=file, metrics="fid-fashion")
