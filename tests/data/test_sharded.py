"""The data set `webdataset:PATTERN`: tar files of pictures, prepared into the cache."""

import json
import os
import shutil
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import fsspec
import numpy as np
import pytest
from conftest import Command
from pictures_data import shards
from webdataset.tariterators import group_by_keys, tar_file_expander

from cvae_cli.data.addresses import _PACKAGES, list_addresses, with_variables
from cvae_cli.data.catalog import find_source, full_name, has_classes, load_dataset, look, short_name
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.originals import find_originals
from cvae_cli.data.shard_names import find_shards
from cvae_cli.data.shard_samples import read_index
from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.events import Event


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "cache"))


def load(name: str | Path, split: str = "train", limit: int | None = None) -> tuple[Dataset, list[str]]:
    """Load a data set of shards, and return what was said too."""
    said: list[Event] = []
    data = load_dataset(f"webdataset:{name}", split, size=8, limit=limit, callback=said.append)
    return data, [str(event) for event in said]


def greys(data: Dataset) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()


def damage(shard: Path) -> None:
    """Overwrite the second picture of a shard and what follows."""
    content = bytearray(shard.read_bytes())
    content[2048:4096] = b"\xff" * 2048
    shard.write_bytes(content)


def test_a_tenth_of_each_shard_is_for_tests(tmp_path: Path) -> None:
    folder = shards(tmp_path / "pics", n=4, each=25)
    train, said = load(folder / "{000000..000003}.tar")
    test, _ = load(folder, "test")
    assert sorted(greys(train) + greys(test)) == list(range(100))
    tests_of_shard = np.bincount(np.array(greys(test)) // 25, minlength=4)
    assert (tests_of_shard >= 2).all()
    assert tests_of_shard.max() <= 3  # 25 pictures are two tens and a half
    assert train.conditions.text(0) == "a grey picture"
    assert train.conditions.count[0] == 2  # a caption a line
    assert train.conditions.sentences[1] == f"number {greys(train)[0]}"
    assert f"webdataset:{folder}/{{000000..000003}}.tar: train: {len(train)} pictures with captions in 4 shards" in said
    assert (short_name(f"webdataset:{folder}/*.tar"), short_name("webdataset:s3://b/some/a-{0..9}.tar?key=1")) == (
        "pics",
        "some",
    )


@pytest.mark.parametrize("pattern", ["{train,test,val}-000000.tar", "*.tar", ""])
def test_names_of_shards_say_splits(tmp_path: Path, pattern: str) -> None:
    for split, each in (("train", 8), ("test", 5), ("val", 3)):
        shards(tmp_path / "s", n=1, each=each, name=split + "-{:06}.tar", ending="json")
    name = f"webdataset:{tmp_path}/s/{pattern}"
    assert find_source(name).find_splits() == ("train", "val", "test")
    assert find_source(name).validation_split() == "val"
    data, _ = load(f"{tmp_path}/s/{pattern}", "test")
    assert greys(data) == list(range(5))
    assert [data.conditions.text(row) for row in (0, 4)] == ["number 0", "number 4"]


def test_folders_of_shards_say_splits(tmp_path: Path) -> None:
    home = tmp_path / "test"  # the name of a folder around all of them says nothing
    for split, each in (("train", 8), ("valid", 3)):
        shards(home / split, n=1, each=each)
    assert find_source(f"webdataset:{home}/{{train,valid}}/*.tar").find_splits() == ("train", "val")
    assert find_source(f"webdataset:{home}/train").find_splits() == ("train", "test")


def test_classes_are_numbers_or_names_beside_the_shards(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", ending="cls")
    data, _ = load(folder)
    assert has_classes(f"webdataset:{folder}")
    assert [each.name for each in data.conditions.classes] == ["0", "1", "2"]
    assert data.conditions.indices.tolist() == [grey % 3 for grey in greys(data)]
    (folder / "classnames.txt").write_text("tench\ngreat white shark\nhen\n")
    named, _ = load(folder, limit=4)
    assert [each.name for each in named.conditions.classes] == ["tench", "great white shark", "hen"]
    assert set(named.conditions.indices.tolist()) == {0, 1, 2}  # some of each class
    (folder / "classnames.txt").write_text("tench\nhen\n")
    with pytest.raises(CorruptError, match='of the class "2", which is none of 2'):
        load(folder)


def test_samples_are_those_of_the_library(tmp_path: Path) -> None:
    shard = shards(tmp_path / "s", n=1, each=7) / "000000.tar"
    with shard.open("rb") as file:
        theirs = list(group_by_keys(tar_file_expander([{"url": "", "stream": file}])))
    ours, problem = read_index(shard)
    assert problem == ""
    assert [each.name.removesuffix(".png") for each in ours] == [each["__key__"] for each in theirs]
    content = shard.read_bytes()
    assert [content[each.start : each.start + each.length] for each in ours] == [each["png"] for each in theirs]
    assert ["\n".join(each.captions) for each in ours] == [each["txt"].decode() for each in theirs]


def test_limit_reads_the_first_shards_only(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", n=4, each=25)
    damage(folder / "000003.tar")
    data, said = load(folder, limit=30)
    assert greys(data) == greys(load(folder / "{000000..000001}.tar")[0])[:30]
    assert not any("cannot be read" in line for line in said)


def test_missing_and_damaged_shards_are_named_counted_and_forgiven_up_to_one_percent(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", n=200, each=2)
    damage(folder / "000007.tar")
    (folder / "000150.tar").unlink()
    data, said = load(f"{folder}/{{000000..000199}}.tar")
    note = next(line for line in said if "cannot be read" in line)
    assert "3 of 400 pictures cannot be read: 000007.tar (" in note
    assert "000150.tar (missing); they are left out" in note
    assert len(data) + len(load(f"{folder}/{{000000..000199}}.tar", "test")[0]) == 397

    (folder / "000100.tar").unlink()
    with pytest.raises(CorruptError, match="5 of 400 pictures cannot be read"):
        load(f"{folder}/{{000000..000199}}.tar")
    shutil.copy(folder / "000008.tar", folder / "000007.tar")
    (folder / "000009.tar").unlink()
    with pytest.raises(MissingError, match=r"6 of 400 pictures cannot be read: 000009\.tar"):
        load(f"{folder}/{{000000..000199}}.tar")


def test_addresses_are_fetched_once(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", n=2, each=10)
    address = f"file://{folder}/{{000000..000001}}.tar"
    assert look(f"webdataset:{address}") == [
        f"webdataset:{address} is not on this machine yet: the training downloads it first"
    ]
    data, _ = load(address)
    assert len(data) == 18
    shutil.rmtree(folder)
    assert greys(load(address)[0]) == greys(data)  # from the cache
    assert len(list((tmp_path / "cache/datasets/webdataset").rglob("*.tar"))) == 2


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("", UsageError, "names no shards"),
        ("pipe:cat x.tar", UsageError, "not commands"),
        ("pics/{0..3.tar", UsageError, "braces do not match"),
        ("pics/{0..99999999}.tar", UsageError, "more than 1,000,000"),
        ("pics/000000.tar.gz", UsageError, "is packed"),
        ("nothing/{0..3}.tar", MissingError, "no shard"),
        ("pics/*.tgz", MissingError, "no shard"),
        ("empty", MissingError, "holds no .tar file"),
        ("nowhere://bucket/{0..3}.tar", UsageError, "cannot be opened"),
    ],
)
def test_patterns_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, error: type[Exception], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shards(tmp_path / "pics", n=1, each=1)
    shutil.copy(tmp_path / "pics/000000.tar", tmp_path / "pics/000000.tar.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=message):
        load(pattern)


def test_pictures_without_a_caption_are_left_out(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", n=1, each=10)
    shards(tmp_path / "s", n=1, each=5, ending="cls", name="more-{:06}.tar")
    data, said = load(folder)
    assert len(data) == 9
    assert any("pictures without a caption are left out, the first more-000000.tar/" in line for line in said)


def test_what_generate_writes_is_learned_and_measured(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(json.dumps({"prompt": each}) for each in ("a red dress", "sneakers", "a bag")))
    drawn = cvae(
        "generate", "--from", prompts, "-n", "10", "--format", "webdataset", "-o", "out", "--model", quick_model
    )
    assert drawn.returncode == 0, drawn.stderr
    small = ["--size", "16", "--set", "architecture.network.width=8", "--prior", "none", "--epochs", "1"]
    looked = cvae("train", "webdataset:out", *small, "--dry-run")
    assert "27 pictures with captions in 1 shard" in looked.stderr
    trained = cvae("train", "webdataset:out", *small)
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "runs/out/model/config.json").read_text())["dataset"] == "webdataset:out"
    measured = cvae("evaluate", "--model", "runs/out", "--metric", "mse", "--json")
    assert measured.returncode == 0, measured.stderr
    protocol = json.loads(measured.stdout)["protocol"]
    assert (protocol["real_images"], protocol["split"]) == (3, "test")
    reconstructed = cvae("reconstruct", "--dataset", "webdataset:out", "-n", "2", "--model", "runs/out", "-o", "r.png")
    assert reconstructed.returncode == 0, reconstructed.stderr
    assert load(tmp_path / "out", "test")[1]
    originals = find_originals(f"webdataset:{tmp_path}/out", split="train")
    assert len(originals) == 27
    assert all(each.pixels is not None and each.pixels.shape == (28, 28, 3) for each in originals.read(slice(None)))


def test_shards_of_one_address_are_found_once() -> None:
    assert [shard.name for shard in find_shards("memory://a/{x,x,y}.tar")] == ["x.tar", "y.tar"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
@pytest.mark.parametrize(
    "command", [["train", "webdataset:p.tar", "--dry-run"], ["evaluate", "--real", "p.tar", "--generated", "p.tar"]]
)
def test_a_pipe_in_place_of_a_shard_is_said_and_not_waited_for(
    cvae: Command, tmp_path: Path, command: list[str]
) -> None:
    os.mkfifo(tmp_path / "p.tar")
    done = cvae(*command)
    assert done.returncode == 2
    assert "p.tar: it is a pipe or a device" in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:pw1@a.org/{0..1}.tar",
        "https://pw1@a.org/0.tar",
        "https://$ANN:pw1@a.org/0.tar",
        "s3://ann:pw1@bucket/*.tar",
        "https://a.org/0.tar?token=pw1",
        "https://a.org/0.tar?token=$TOKEN&sig=pw1",
        "https://a.org/0.tar?pw1",
        "simplecache::https://ann:pw1@a.org/0.tar",
    ],
)
def test_a_key_that_is_written_out_in_an_address_is_refused(address: str) -> None:
    for use in (full_name, has_classes, find_originals):
        with pytest.raises(UsageError, match="has a key in it") as caught:
            use(f"webdataset:{address}")
        assert "write the name of an environment variable instead" in str(caught.value.hint)
        assert "pw1" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "command",
    [
        ["train", "{}"],
        ["train", "fashion-concat", "--data", "{}", "--dry-run"],
        ["train", "fashion-concat", "--set", "data.name={}", "--dry-run"],
        ["evaluate", "--real", "{}", "--generated", "{}", "--metric", "fid-fashion", "--json"],
        ["latents", "--model", "fashion", "--dataset", "{}", "-o", "map.png"],
    ],
)
def test_commands_write_no_file_with_a_key(cvae: Command, tmp_path: Path, command: list[str]) -> None:
    done = cvae(*(part.format("webdataset:https://ann:pw1@a.org/0.tar") for part in command))
    assert (done.returncode, done.stdout) == (2, "")
    assert "has a key in it" in done.stderr
    assert "pw1" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_a_key_already_goes_on_when_its_recipe_has_a_variable(cvae: Command, tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", n=1, each=20)
    (folder / "000000.tar").rename(folder / "0.tar?token=abc")
    place = f"webdataset:file://{folder}/0.tar?token="
    small = ["--size", "16", "--batch-size", "8", "--prior", "none", "--set", "architecture.network.width=8"]
    variable = {"SHARD_KEY": "abc"}
    made = cvae("train", f"{place}$SHARD_KEY", *small, "--epochs", "1", "--out", "run", env=variable)
    assert made.returncode == 0, made.stderr
    recipe = tmp_path / "run" / "recipe.toml"
    assert [file for file in (tmp_path / "run").rglob("*") if file.is_file() and b"=abc" in file.read_bytes()] == []
    recipe.write_text(recipe.read_text().replace("$SHARD_KEY", "abc"))
    refused = cvae("train", "--resume", "run")
    assert refused.returncode == 2
    assert "has a key in it" in refused.stderr
    assert "write it so in recipe.toml" in refused.stderr
    recipe.write_text(recipe.read_text().replace("=abc", "=$SHARD_KEY"))
    resumed = cvae("train", "--resume", "run", env=variable)
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.parametrize(
    "address",
    [
        "https://$ANN:$PW@a.org/0.tar?token=$TOKEN&download=true",
        "https://a.org/0.tar?${QUERY}",
        "s3://bucket/0.tar?versionId=3",
        "abfs://container@account/0.tar",
        "sftp://ann@a.org/0.tar",
        "github://org:repository@main/0.tar",
        "https://a.org/0.tar",
    ],
)
def test_an_address_without_a_key_is_taken(address: str) -> None:
    assert full_name(f"webdataset:{address}") == f"webdataset:{address}"


@pytest.mark.skipif(find_spec("aiohttp") is not None, reason="the package is here")
def test_the_package_for_an_address_comes_with_the_command_that_installs_it(cvae: Command) -> None:
    done = cvae("train", "webdataset:https://a.org/0.tar")
    assert done.returncode == 2
    assert 'pip install "fsspec[http]"' in done.stderr


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("s3://bucket/0.tar", 'pip install "fsspec[s3]"'),
        ("simplecache::gs://bucket/*.tar", 'pip install "fsspec[gcs]"'),
        ("webdav://a.org/0.tar", 'pip install "webdav4"'),
        ("pyscript://0.tar", "Please install it"),
    ],
)
def test_a_missing_package_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, address: str, command: str
) -> None:
    def fail(place: str) -> None:
        raise ImportError("Please install it")

    monkeypatch.setattr("fsspec.core.url_to_fs", fail)
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        list_addresses(address)
    assert caught.value.hint == command


def test_each_command_for_an_address_installs_what_fsspec_has() -> None:
    extras = metadata.metadata("fsspec").get_all("Provides-Extra") or []
    assert {package[7:-1] for package in _PACKAGES if package.startswith("fsspec[")} <= set(extras)
    assert set(" ".join(_PACKAGES.values()).split()) <= set(fsspec.available_protocols())


def test_a_key_in_a_variable_stays_out_of_files(cvae: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shards(tmp_path / "s", n=1, each=20)
    (folder / "000000.tar").rename(folder / "0.tar?token=abc")
    place = f"webdataset:file://{folder}/0.tar?token=$SHARD_KEY"
    kept = cvae("train", place, "--dry-run", env={"SHARD_KEY": "abc"})
    assert kept.returncode == 0, kept.stderr
    assert "abc" not in kept.stderr + kept.stdout
    assert "token=$SHARD_KEY" in kept.stdout
    monkeypatch.setenv("SHARD_KEY", "abc")
    assert with_variables("http://a/0.tar?token=$SHARD_KEY") == "http://a/0.tar?token=abc"
    assert with_variables("s3://a/$nowhere.tar") == "s3://a/$nowhere.tar"
    with pytest.raises(UsageError, match=r"has \$NO_KEY, and there is no such"):
        with_variables("http://a/0.tar?token=$NO_KEY")
