"""Models that travel: pushed to a small Hub on loopback, and pulled from it by others."""

import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from huggingface_hub import ModelCard
from loopback import SILENCE, Cut, running
from PIL import Image
from small_hub import READER, REMARK, WRITER, SmallHub

from cvae_cli.models.pretrained import FILES
from cvae_cli.models.verify import check_folder
from cvae_cli.weights.hub_quiet import quiet_client

NAME = "org/name"


@pytest.fixture
def hub() -> Iterator[SmallHub]:
    with running(SmallHub()) as server:
        yield server


@pytest.fixture
def env(hub: SmallHub, tmp_path: Path) -> dict[str, str]:
    """An environment of somebody who may write."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": WRITER,
        "no_proxy": "127.0.0.1,localhost",
        "CVAE_TIMEOUT": "5",
    }


@pytest.fixture
def model(quick_model: Path, tmp_path: Path) -> Path:
    """A model folder, which the test may change."""
    return Path(shutil.copytree(quick_model, tmp_path / "model"))


def drawn(cvae: Command, env: dict[str, str], model: object, cwd: Path) -> bytes:
    """Return the pixels that a model draws."""
    done = cvae("generate", "dress", "--model", str(model), "-o", "-", "--force", env=env, cwd=cwd, binary=True)
    assert done.returncode == 0, done.stderr
    assert REMARK not in done.stderr
    return Image.open(io.BytesIO(done.stdout)).tobytes()  # type: ignore[arg-type]


def push(cvae: Command, env: dict[str, str], model: Path, *more: str, cwd: Path) -> Any:
    done = cvae("models", "push", model, NAME, *more, env=env, cwd=cwd)
    assert REMARK not in done.stderr
    return done


def test_a_pushed_model_is_drawn_with_by_others(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path
) -> None:
    done = push(cvae, env, model, "--private", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["model"] == NAME
    assert said["commit"].startswith(f"{hub.url}/{NAME}/commit/")
    repo = hub.repos[NAME]
    assert repo.private
    files = repo.branches["main"]
    assert sorted(files) == sorted(FILES)
    assert files["model.safetensors"] == (model / "model.safetensors").read_bytes()
    card = ModelCard(files["README.md"].decode())
    assert f'CVAE.from_pretrained("{NAME}")' in card.text
    assert "![samples](samples.png)" in card.text
    assert Image.open(io.BytesIO(files["samples.png"])).width > 1000  # ten classes
    other = env | {"HF_HOME": str(tmp_path / "other"), "HF_TOKEN": READER}
    assert drawn(cvae, other, NAME, tmp_path) == drawn(cvae, other, model, tmp_path)
    done = cvae("models", "verify", NAME, "--json", env=other)
    assert [each["state"] for each in json.loads(done.stdout)] == ["sound"]
    listed = json.loads(cvae("models", "list", "--json", env=other).stdout)
    assert [each["name"] for each in listed if each["place"] == "Hub's cache"] == [NAME]
    elsewhere = [token for host, _, token in hub.seen if host.startswith("localhost")]
    assert len(elsewhere) >= 4  # two large files, up and down
    assert set(elsewhere) == {None}
    assert f"Bearer {READER}" in {token for _, _, token in hub.seen}


def test_each_branch_has_its_own_model_and_a_commit_is_one_too(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path
) -> None:
    assert push(cvae, env, model, cwd=tmp_path).returncode == 0
    from helpers import small_model

    other = small_model("article-concat")
    other.config = other.config.model_copy(update={"name": "fashion"})
    other.save_pretrained(tmp_path / "second")
    done = push(cvae, env, tmp_path / "second", "--revision", "v2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(hub.repos[NAME].branches) == ["main", "v2"]
    first, second = (drawn(cvae, env, each, tmp_path) for each in (model, tmp_path / "second"))
    assert first != second
    assert drawn(cvae, env, NAME, tmp_path) == first
    assert drawn(cvae, env, f"{NAME}@v2", tmp_path) == second
    card = hub.repos[NAME].branches["v2"]["README.md"].decode()
    assert f"--model {NAME}@v2 " in card


def test_a_broken_upload_and_a_broken_download_go_on(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path
) -> None:
    hub.cuts = 100
    began = time.monotonic()
    done = push(cvae, env | {"CVAE_TIMEOUT": "2"}, model, "--quiet", cwd=tmp_path)
    assert time.monotonic() - began < 18  # the client would try for 23 seconds
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"cvae: cannot upload to {NAME}: ")
    assert hub.repos[NAME].branches["main"] == {}
    hub.cuts = 0
    assert push(cvae, env, model, cwd=tmp_path).returncode == 0
    hub.seen.clear()
    assert push(cvae, env, model, cwd=tmp_path).returncode == 0
    assert [path for _, path, _ in hub.seen if path.startswith("/lfs/")] == []  # nothing is sent twice
    (large,) = [path for path, page in hub.pages.items() if page.body == (model / "model.safetensors").read_bytes()]
    hub.pages[large].troubles = [Cut(100_000)]
    assert drawn(cvae, env, NAME, tmp_path) == drawn(cvae, env, model, tmp_path)
    assert hub.asked(large) == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    ("more", "changed", "exit_code", "said"),
    [
        ([], {"HF_TOKEN": ""}, 2, "the Hub takes uploads only with a token"),
        ([], {"HF_TOKEN": READER}, 2, f"the Hub does not let this token write to {NAME}"),
        ([], {"HF_TOKEN": "hf_secret\x01word"}, 2, "HF_TOKEN is not a token"),
        ([], {"HF_HUB_OFFLINE": "1"}, 3, "HF_HUB_OFFLINE forbids it"),
        ([], {"HF_ENDPOINT": "http://127.0.0.1:1"}, 3, f"cannot upload to {NAME}"),
        (["--private"], {}, 2, f"{NAME} exists and is public; nothing was sent"),
    ],
    ids=["no token", "no right", "no token at all", "offline", "dead", "public"],
)
def test_what_cannot_be_pushed_says_why_and_sends_nothing(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path, more: list[str],
    changed: dict[str, str], exit_code: int, said: str,
) -> None:  # fmt: skip
    from small_hub import Repository

    hub.repos[NAME] = Repository()
    hub.publish(NAME)
    done = push(cvae, env | changed, model, *more, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert hub.repos[NAME].branches["main"] == {}
    assert "hf_" not in done.stderr


@pytest.mark.parametrize("name", ["name", "a/b/c", "org/na me", "-org/name", "org/../x"])
def test_a_name_that_no_repository_has(cvae: Command, env: dict[str, str], model: Path, name: str) -> None:
    done = cvae("models", "push", model, "--", name, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be the name of a repository" in done.stderr


def test_a_name_that_no_repository_has_is_not_asked_for(cvae: Command, env: dict[str, str]) -> None:
    done = cvae("generate", "dress", "--model", "org/na--me", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        'cvae: no folder "org/na--me" here, and "org/na--me" cannot be the name of a repository'
    )


def test_a_path_that_is_not_here_is_said_at_once(
    hub: SmallHub, cvae: Command, env: dict[str, str], quick_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    commands = [
        "generate dress --model {}",
        "evaluate --model {}",
        "evaluate --model fashion --model {}",
        "reconstruct picture.png --model {}",
        "latents --model {}",
        "latents --interpolate a b --model {}",
        "explore --no-browser {}",
        "models show {}",
        "models verify {}",
        "models remove --yes {}",
        "models export {} -o model.onnx",
        "models push {} org/name",
        "train --prior score --model {}",
        "train --tune decoder --model {}",
        "train coco-64 --set start={}",
    ]
    for name in ("runs/typo", "mine/typo", "./typo", "../typo", "mine/a/typo"):
        for command in commands if name == "runs/typo" else commands[:1]:
            done = cvae(*command.format(name).split(), env=env, cwd=tmp_path)
            assert (done.returncode, done.stdout) == (2, ""), command
            assert done.stderr.startswith(f'cvae: no folder "{name}"\n'), (command, done.stderr)
    assert hub.requests == []


def test_a_repository_may_be_named_like_a_folder(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path
) -> None:
    """With a revision, or when it is in the cache already."""
    assert push(cvae, env, model, cwd=tmp_path).returncode == 0
    (tmp_path / "org").mkdir()
    refused = cvae("generate", "dress", "--model", NAME, env=env, cwd=tmp_path)
    assert refused.returncode == 2
    assert f"if you mean a repository on the Hub, say its revision:  {NAME}@main" in refused.stderr
    assert drawn(cvae, env, f"{NAME}@main", tmp_path) == drawn(cvae, env, NAME, tmp_path)


def test_a_damaged_model_is_not_pushed_and_an_edited_card_is(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path
) -> None:
    card = model / "README.md"
    card.write_text(card.read_text().replace("license: other", "license: cc-by-4.0") + "\n## Thanks\n\nTo all.\n")
    done = push(cvae, env, model, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "README.md does not have its digest: it is sent as it is now" in done.stderr
    sent = hub.repos[NAME].branches["main"]
    assert ModelCard(sent["README.md"].decode()).data.license == "cc-by-4.0"
    assert b"To all." in sent["README.md"]
    flip(model / "config.json", 1000)
    hub.repos.clear()
    done = push(cvae, env, model, cwd=tmp_path)
    assert done.returncode == 4
    assert "config.json does not have its digest; nothing was sent" in done.stderr
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("state", "token", "exit_code", "said"),
    [
        ("private", "", 2, f'no repository "{NAME}" on the Hub'),
        ("private", "hf_wrong", 2, f'no repository "{NAME}" on the Hub'),
        ("gated", READER, 3, f"{NAME} asks for its terms to be accepted first"),
        ("public", "hf_a\x07b", 2, "HF_TOKEN is not a token"),
        ("silent", READER, 3, "no answer for 1 seconds from 127.0.0.1"),
    ],
)
def test_what_cannot_be_pulled_says_why(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path, state: str, token: str,
    exit_code: int, said: str,
) -> None:  # fmt: skip
    assert push(cvae, env, model, cwd=tmp_path).returncode == 0
    hub.repos[NAME].private, hub.repos[NAME].gated = state == "private", state == "gated"
    if state == "silent":
        hub.pages[f"/api/models/{NAME}/revision/main"].always = SILENCE
    other = env | {"HF_TOKEN": token, "CVAE_TIMEOUT": "1", "HF_HOME": str(tmp_path / "other")}
    done = cvae("generate", "dress", "--model", NAME, env=other)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert said in done.stderr
    assert "hf_" not in done.stderr


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_damaged_cache_is_noticed_and_mended(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path
) -> None:
    assert push(cvae, env, model, cwd=tmp_path).returncode == 0
    picture = drawn(cvae, env, NAME, tmp_path)
    (folder,) = (tmp_path / "hf").rglob("snapshots/*")
    for name in FILES:
        flip(folder / name, 2005 if name != "SHA256SUMS" else 13)
        done = cvae("models", "verify", NAME, "--json", env=env)
        assert done.returncode == 4, name
        assert [each.split()[0] for each in json.loads(done.stdout)[0]["problems"]][-1:] == [name]
        done = cvae("generate", "dress", "--model", NAME, "-o", "mended.png", env=env)
        assert (done.returncode, done.stderr.count("downloading org/name again")) == (0, 1), done.stderr
        assert cvae("models", "verify", NAME, env=env).returncode == 0
    assert drawn(cvae, env, NAME, tmp_path) == picture


def test_remove_takes_a_model_out_of_the_hubs_cache(
    hub: SmallHub, cvae: Command, env: dict[str, str], model: Path, tmp_path: Path
) -> None:
    assert push(cvae, env, model, cwd=tmp_path).returncode == 0
    drawn(cvae, env, NAME, tmp_path)
    assert any((tmp_path / "hf").rglob("model.safetensors"))
    done = cvae("models", "remove", NAME, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no terminal to ask" in done.stderr
    done = cvae("models", "remove", NAME, "--yes", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["removed"] is True
    assert not any((tmp_path / "hf").rglob("model.safetensors"))
    assert cvae("models", "remove", NAME, "--yes", env=env).returncode == 3


def test_what_the_client_tries_after_the_end_is_not_shown(
    hub: SmallHub, interpreter: str, clean_environment: dict[str, str], env: dict[str, str], model: Path
) -> None:
    code = """
import sys
from cvae_cli import CVAE, CvaeError
try:
    CVAE.from_pretrained(sys.argv[1]).push_to_hub("org/name")
except CvaeError as error:
    print(error, flush=True)
sys.stdin.read()
"""
    hub.cuts = 100
    changed = clean_environment | env | {"CVAE_TIMEOUT": "0.5"}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([interpreter, "-c", code, model], env=changed, text=True, **streams) as program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith(f"cannot upload to {NAME}: ")
        tried = len(hub.seen)
        deadline = time.monotonic() + 30
        while len(hub.seen) == tried and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)  # the client has noticed the cut by now
        assert program.communicate("") == ("", "")
    assert hub.seen[-1][1].startswith("/lfs/")
    assert len(hub.seen) > tried


def test_the_hubs_client_gets_back_its_voice_with_the_last_work() -> None:
    from huggingface_hub.utils import logging  # type: ignore[attr-defined]

    before = logging.get_verbosity()
    quiet_client.__enter__()
    with quiet_client:
        assert logging.get_verbosity() == logging.ERROR
        quiet_client.__exit__()
        assert logging.get_verbosity() == logging.ERROR
    assert logging.get_verbosity() == before != logging.ERROR


def test_the_library_pushes_and_pulls(
    hub: SmallHub, interpreter: str, clean_environment: dict[str, str], env: dict[str, str], model: Path, tmp_path: Path
) -> None:
    code = """
import sys
from cvae_cli import CVAE
model = CVAE.from_pretrained(sys.argv[1])
print(model.push_to_hub("org/name", private=True, revision="first"))
again = CVAE.from_pretrained("org/name@first")
print(again.generate("dress")[0].tobytes() == model.generate("dress")[0].tobytes())
"""
    done = subprocess.run(
        [interpreter, "-c", code, model], env=clean_environment | env, cwd=tmp_path, capture_output=True, text=True
    )
    address, same = done.stdout.splitlines()
    assert address.startswith(f"{hub.url}/{NAME}/commit/"), done.stderr
    assert same == "True"
    files = hub.repos[NAME].branches["first"]
    assert hub.repos[NAME].private
    assert "samples.png" in files
    (tmp_path / "pulled").mkdir()
    for name, content in files.items():
        (tmp_path / "pulled" / name).write_bytes(content)
    assert check_folder(tmp_path / "pulled") == []
