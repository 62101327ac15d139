"""Downloaded weights and models: the registry, the Hub, and rejected files."""

import hashlib
import json
import os
import pickle
import random
import string
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import Command
from loopback import COMMIT, DEAD, Cut, Loopback, Page, loopback
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.evaluation.features import load_extractor
from cvae_cli.weights.registry import REGISTRY, AddressWeights, HubWeights, get_weights, require_weights

BODY = random.Random(1).randbytes(200_000)
CLIP = REGISTRY["clip"]
Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "cvae"))
    with loopback() as server:
        yield server


@pytest.fixture
def online(server: Loopback, tmp_path: Path) -> dict[str, str]:
    """Environment variables that make a process use the server as the Hub, with an empty cache."""
    return {
        "HF_ENDPOINT": server.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "CVAE_HOME": str(tmp_path / "cvae"),
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture
def script(interpreter: str, clean_environment: dict[str, str], online: dict[str, str], tmp_path: Path) -> Script:
    """Run lines of Python in a separate process, because the Hub client reads its settings once per process."""

    def run(lines: str, *arguments: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        command = [interpreter, "-c", lines, *map(str, arguments)]
        return subprocess.run(
            command, env=clean_environment | online | env, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )

    return run


def address_entry(url: str, body: bytes = BODY) -> AddressWeights:
    digest = hashlib.sha256(body).hexdigest()
    return AddressWeights(name="small", use="", size=len(body), sha256=digest, licence="", note="", url=url)


def hub_cache(tmp_path: Path, body: bytes) -> list[Path]:
    """Return the files with this content in the cache of the Hub."""
    return [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.read_bytes() == body]


# The registry


@pytest.mark.parametrize("name", REGISTRY)
def test_entries_are_complete(name: str) -> None:
    entry = REGISTRY[name]
    assert entry.name == name
    assert len(entry.sha256) == 64
    assert set(entry.sha256) <= set(string.hexdigits.lower())
    assert entry.size > 1_000_000
    assert entry.licence
    assert entry.note
    assert entry.use


def test_hub_entries_are_pinned_to_a_commit() -> None:
    for entry in REGISTRY.values():
        if isinstance(entry, HubWeights):
            assert len(entry.revision) == 40
            assert set(entry.revision) <= set(string.hexdigits.lower())


@pytest.mark.parametrize("name", ["inception", "vgg16", "alexnet"])
def test_a_digest_begins_as_the_published_name_says(name: str) -> None:
    entry = REGISTRY[name]
    assert isinstance(entry, AddressWeights)
    published = entry.url.removesuffix(".pth").rsplit("-", 1)[-1]
    assert len(published) == 8
    assert entry.sha256.startswith(published)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match='Did you mean "clip"') as caught:
        get_weights("clipp")
    assert caught.value.hint == "weights: clip, inception, vgg16, alexnet"


# From another address


def test_weights_are_fetched_once(server: Loopback, tmp_path: Path) -> None:
    entry = address_entry(server.serve("/v1/small.pth", Page(body=BODY)))
    assert entry.cached_path() is None
    path = entry.download()
    assert path == tmp_path / "cvae" / "weights" / "small.pth"
    assert path.read_bytes() == BODY
    assert entry.download() == require_weights(entry) == entry.cached_path() == path
    assert len(server.requests) == 1


@pytest.mark.parametrize("damaged", [BODY[::-1], BODY[:-1], b""], ids=["other", "truncated", "empty"])
def test_a_damaged_file_is_fetched_anew(server: Loopback, damaged: bytes) -> None:
    entry = address_entry(server.serve("/small.pth", Page(body=BODY)))
    path = entry.download()
    path.write_bytes(damaged)
    assert entry.download() == path
    assert path.read_bytes() == BODY


def test_what_is_missing_names_the_command_that_fetches_it(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match='"small" are not on this machine') as caught:
        require_weights(address_entry(server.serve("/small.pth", Page(body=BODY))))
    assert caught.value.hint
    assert "cvae download-weights small" in caught.value.hint


# From the Hub

DOWNLOAD = """
import json, sys
from cvae_cli.errors import CvaeError
from cvae_cli.weights.registry import HubWeights

body = open(sys.argv[1], "rb").read()
entry = HubWeights(
    name="small", use="", size=len(body), sha256=__import__("hashlib").sha256(body).hexdigest(), licence="", note="",
    repo="org/small", revision=sys.argv[2], file="small.bin",
)
reports = []
try:
    found = str(entry.download(lambda event: reports.append((event.done, event.total))))
except CvaeError as error:
    found = None
    print(type(error).__name__, error.message, error.hint, file=sys.stderr)
print(json.dumps([found, str(entry.cached_path()) if entry.cached_path() else None, reports[-1:]]))
"""


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The original file, for comparison."""
    path = tmp_path / "original.bin"
    path.write_bytes(BODY)
    return path


def test_weights_on_the_hub_are_fetched_once(server: Loopback, script: Script, original: Path) -> None:
    server.serve_repository("org/small", {"small.bin": BODY})
    address = f"/org/small/resolve/{COMMIT}/small.bin"
    server.pages[address].troubles = [Cut(50_000)]
    done = script(DOWNLOAD, original, COMMIT)
    path, here, reports = json.loads(done.stdout)
    assert Path(path).read_bytes() == BODY
    assert here == path
    assert reports == [[len(BODY), len(BODY)]]
    assert len(server.asked(address)) == 2
    server.requests.clear()
    assert json.loads(script(DOWNLOAD, original, COMMIT).stdout) == [path, path, []]
    assert json.loads(script(DOWNLOAD, original, COMMIT, HF_HUB_OFFLINE="1").stdout) == [path, path, []]
    assert server.asked(address) == []


def test_a_damaged_file_of_the_hubs_cache_is_fetched_anew(server: Loopback, script: Script, original: Path) -> None:
    server.serve_repository("org/small", {"small.bin": BODY})
    path = Path(json.loads(script(DOWNLOAD, original, COMMIT).stdout)[0])
    path.write_bytes(BODY[:1000])
    assert json.loads(script(DOWNLOAD, original, COMMIT).stdout)[:2] == [str(path), str(path)]
    assert path.read_bytes() == BODY


def test_other_bytes_of_the_same_size_are_not_kept(
    server: Loopback, script: Script, original: Path, tmp_path: Path
) -> None:
    server.serve_repository("org/small", {"small.bin": BODY[::-1]})
    done = script(DOWNLOAD, original, COMMIT)
    assert json.loads(done.stdout)[:2] == [None, None]
    assert done.stderr.startswith("CorruptError small.bin of org/small does not have its sha256 digest")
    assert hub_cache(tmp_path, BODY[::-1]) == []


@pytest.mark.parametrize("env", [{"HF_ENDPOINT": DEAD}, {"HF_HUB_OFFLINE": "1"}], ids=["dead", "offline"])
def test_a_hub_out_of_reach_is_found_out_at_once(
    server: Loopback, script: Script, original: Path, env: dict[str, str]
) -> None:
    server.serve_repository("org/small", {"small.bin": BODY})
    done = script(DOWNLOAD, original, COMMIT, **env)
    reason = "HF_HUB_OFFLINE forbids" if "HF_HUB_OFFLINE" in env else "Connection refused"
    assert done.stderr.startswith("MissingError cannot download org/small: ")
    assert reason in done.stderr
    assert "Retrying" not in done.stderr
    assert server.requests == []


def test_a_file_that_the_hub_does_not_have_is_missing(server: Loopback, script: Script, original: Path) -> None:
    server.serve_repository("org/small", {"other.bin": BODY})
    done = script(DOWNLOAD, original, COMMIT)
    assert done.stderr.startswith("MissingError cannot download org/small: 404")


def test_a_full_disk_or_a_file_in_the_way_is_not_taken_for_a_missing_network(
    server: Loopback, script: Script, original: Path
) -> None:
    server.serve_repository("org/small", {"small.bin": BODY})
    done = script(DOWNLOAD, original, COMMIT, HF_HUB_CACHE=str(original / "hub"))
    assert done.stderr.startswith(f"UsageError cannot write {original}")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    done = script(limited + DOWNLOAD, original, COMMIT)
    assert "OSError: [Errno 27] File too large" in done.stderr


# The command

SMALL_INCEPTION = """
import sys
from cvae_cli import app
from cvae_cli.weights.registry import REGISTRY, AddressWeights

address, body = sys.argv[1], open(sys.argv[2], "rb").read()
REGISTRY["inception"] = AddressWeights(
    name="inception", use="", size=len(body), sha256=__import__("hashlib").sha256(body).hexdigest(), licence="",
    note="", url=address,
)
sys.argv = ["cvae", "download-weights", "inception", *sys.argv[3:]]
app.main()
"""


def test_the_command_fetches_verifies_and_says_where(
    server: Loopback, script: Script, original: Path, tmp_path: Path
) -> None:
    url = server.serve("/inception.pth", Page(body=BODY))
    place = tmp_path / "cvae" / "weights" / "inception.pth"
    done = script(SMALL_INCEPTION, url, original)
    assert (done.returncode, done.stdout) == (0, f"inception\t{place}\n")
    assert done.stderr == f"inception: 200 kB from {url}\n"
    assert place.read_bytes() == BODY
    done = script(SMALL_INCEPTION, url, original, "--json")
    sha256 = hashlib.sha256(BODY).hexdigest()
    assert json.loads(done.stdout) == [{"name": "inception", "path": str(place), "sha256": sha256, "bytes": len(BODY)}]
    assert done.stderr == ""
    assert len(server.requests) == 1


def test_the_command_refuses_other_bytes(server: Loopback, script: Script, original: Path, tmp_path: Path) -> None:
    done = script(SMALL_INCEPTION, server.serve("/inception.pth", Page(body=BODY[::-1])), original)
    assert (done.returncode, done.stdout) == (4, "")
    assert "does not have its sha256 digest; it was not kept" in done.stderr
    assert [path.name for path in (tmp_path / "cvae" / "weights").iterdir()] == ["inception.pth.lock"]


def test_the_list_is_tab_separated_in_a_pipe(cvae: Command) -> None:
    done = cvae("download-weights", "--list")
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:4] for row in rows] == [
        ["clip", "605 MB", "no", "MIT"],
        ["inception", "96 MB", "no", "Apache-2.0"],
        ["vgg16", "553 MB", "no", "BSD-3-Clause"],
        ["alexnet", "244 MB", "no", "BSD-3-Clause"],
    ]
    assert {len(row) for row in rows} == {5}


def test_the_list_as_json_says_everything(cvae: Command) -> None:
    listed = json.loads(cvae("download-weights", "--list", "--json").stdout)
    assert [each["name"] for each in listed] == list(REGISTRY)
    for each in listed:
        entry = REGISTRY[each["name"]]
        assert each == {
            "name": entry.name,
            "use": entry.use,
            "bytes": entry.size,
            "sha256": entry.sha256,
            "licence": entry.licence,
            "source": entry.source,
            "note": entry.note,
            "path": None,
        }


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ([], 2, "name the weights to download, or use --all"),
        (["clipp"], 2, 'Did you mean "clip"?'),
        (["inception", "clipp"], 2, 'Did you mean "clip"?'),
        (["inception"], 3, "HF_HUB_OFFLINE forbids downloading it"),
        (["clip"], 3, "HF_HUB_OFFLINE forbids downloading it"),
    ],
)
def test_what_cannot_be_fetched_says_why(cvae: Command, arguments: list[str], exit_code: int, said: str) -> None:
    done = cvae("download-weights", *arguments)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_refuses_other_bytes_from_the_hub(
    server: Loopback, cvae: Command, online: dict[str, str], tmp_path: Path
) -> None:
    assert isinstance(CLIP, HubWeights)
    server.serve_repository(CLIP.repo, {CLIP.file: BODY}, commit=CLIP.revision)
    address = f"/{CLIP.repo}/resolve/{CLIP.revision}/{CLIP.file}"
    for attempt in (1, 2):  # the second attempt finds no file that it could accept
        done = cvae("download-weights", "clip", env=online)
        assert (done.returncode, done.stdout) == (4, "")
        assert "does not have its sha256 digest; it was not kept" in done.stderr
        assert server.asked(address) == attempt * [None]
    assert hub_cache(tmp_path, BODY) == []
    assert json.loads(cvae("download-weights", "--list", "--json", env=online).stdout)[0]["path"] is None


# Models on the Hub

SAME_MODEL = """
import sys
from cvae_cli import CVAE

here, there = CVAE.from_pretrained(sys.argv[1]), CVAE.from_pretrained(sys.argv[2])
tensors = there.state_dict()
same = all(tensor.equal(tensors[name]) for name, tensor in here.state_dict().items())
print(len(tensors) > 0 and same and here.config == there.config)
"""


def test_a_model_on_the_hub_is_the_model_and_stays_here(server: Loopback, script: Script, model_folder: Path) -> None:
    files = {path.name: path.read_bytes() for path in model_folder.iterdir()}
    server.serve_repository("org/name", files | {"other.bin": BODY})
    done = script(SAME_MODEL, model_folder, "org/name")
    assert done.stdout == "True\n", done.stderr
    for name in files:
        assert server.asked(f"/org/name/resolve/{COMMIT}/{name}") == [None]
    assert server.asked(f"/org/name/resolve/{COMMIT}/other.bin") == []
    server.requests.clear()
    done = script(SAME_MODEL, model_folder, "org/name", HF_HUB_OFFLINE="1")
    assert done.stdout == "True\n", done.stderr
    assert server.requests == []


@pytest.mark.parametrize(
    ("model", "env", "exit_code", "said"),
    [
        ("no/such", {}, 2, 'no repository "no/such" on the Hub'),
        ("org/name@nowhere", {}, 2, 'org/name has no revision "nowhere" on the Hub'),
        ("org/name", {"HF_ENDPOINT": DEAD}, 3, "check the network"),
        ("org/name", {"HF_HUB_OFFLINE": "1"}, 3, "HF_HUB_OFFLINE forbids downloading it"),
    ],
)
def test_a_model_that_is_not_to_be_had_says_why(
    server: Loopback,
    cvae: Command,
    online: dict[str, str],
    model: str,
    env: dict[str, str],
    exit_code: int,
    said: str,
) -> None:
    server.serve_repository("org/name", {"config.json": b"{}"})
    done = cvae("generate", "dress", "--model", model, "--out", "dress.png", env=online | env)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# Inception


class RandomInception(FeatureExtractorInceptionV3):
    """The network of the published weights, with random weights that need no file."""

    def load_state_dict(self, *arguments: object, **options: object) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> RandomInception:
    empty = tmp_path_factory.mktemp("inception") / "empty.pth"
    torch.save({}, empty)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RandomInception("inception-v3-compat", ["2048"], str(empty))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the Inception weights; the network is off."""
    monkeypatch.setenv("CVAE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights" / "inception.pth"


def register(place: Path, monkeypatch: pytest.MonkeyPatch) -> AddressWeights:
    """Register the existing file as the published one."""
    entry = address_entry(f"https://localhost/{place.name}", place.read_bytes())
    monkeypatch.setitem(REGISTRY, "inception", entry)
    return entry


def test_inception_gives_the_features_of_torch_fidelity(
    place: Path, inception: RandomInception, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(inception.state_dict(), place)
    entry = register(place, monkeypatch)
    features = load_extractor("inception", torch.device("cpu"))
    pictures = torch.randint(256, (2, 3, 28, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    vectors = features.network(pictures)
    assert vectors.shape == (2, 2048)
    torch.testing.assert_close(vectors, inception(pictures)[0])
    assert vectors.std(dim=0).max() > 0
    assert features.num_features == 2048
    assert features.protocol["weights_sha256"] == entry.sha256


def test_the_network_has_the_size_of_the_published_file(place: Path, inception: RandomInception) -> None:
    torch.save(inception.state_dict(), place)
    assert place.stat().st_size == pytest.approx(REGISTRY["inception"].size, rel=0.01)


def test_other_files_are_not_taken_for_inception(
    place: Path, inception: RandomInception, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(inception.state_dict(), place)
    truncated = place.read_bytes()[:1_000_000]
    torch.save({"layer.weight": torch.zeros(3)}, place)
    foreign = place.read_bytes()
    for body in (truncated, foreign, b"not a file of torch", b""):
        place.write_bytes(body)
        register(place, monkeypatch)
        with pytest.raises(CorruptError, match=r"inception\.pth does not hold the Inception network"):
            load_extractor("inception", torch.device("cpu"))


class Malice:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_that_would_run_code_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mark = tmp_path / "mark"
    if kind == "pickle":
        place.write_bytes(pickle.dumps(Malice(mark)))
    else:
        torch.save({"layer.weight": Malice(mark)}, place)
    register(place, monkeypatch)
    with pytest.raises(CorruptError, match="does not hold the Inception network"):
        load_extractor("inception", torch.device("cpu"))
    assert not mark.exists()
    torch.load(place, weights_only=False) if kind == "torch" else pickle.loads(place.read_bytes())
    assert mark.exists()  # the pickle was dangerous
