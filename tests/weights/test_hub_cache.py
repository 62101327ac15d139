"""What lies in the Hub's cache: names of revisions, and what their removal leaves."""

import functools
from pathlib import Path

import huggingface_hub
import pytest

from cvae_cli.weights.hub_cache import cached_revisions, remove_revision

MAIN, TAGGED, LOOSE = ("a" * 40, "b" * 40, "c" * 40)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with three revisions of a model, one of another, and a data set."""
    shared, own = b"shared by two revisions", b"of one revision only"
    for repository, revisions, refs in (
        ("models--org--name", {MAIN: [shared], TAGGED: [shared, own], LOOSE: [shared]}, {"v2": TAGGED, "v1": TAGGED}),
        ("models--org--early", {MAIN: [own]}, {}),
        ("datasets--org--data", {MAIN: [own]}, {}),
    ):
        folder = tmp_path / "hub" / repository
        for ref, commit in (refs | {"main": MAIN, "v0": MAIN}).items():
            (folder / "refs").mkdir(parents=True, exist_ok=True)
            (folder / "refs" / ref).write_text(commit)
        (folder / "blobs").mkdir()
        for commit, contents in revisions.items():
            (folder / "snapshots" / commit).mkdir(parents=True)
            for number, content in enumerate(contents):
                (folder / "blobs" / str(content[0])).write_bytes(content)
                (folder / "snapshots" / commit / f"{number}.bin").symlink_to(f"../../blobs/{content[0]}")
    scan = functools.partial(huggingface_hub.scan_cache_dir, tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", scan)
    return tmp_path / "hub"


def test_revisions_of_models_have_the_names_by_which_they_are_asked_for(cache: Path) -> None:
    found = {each.name: each for each in cached_revisions()}
    assert list(found) == ["org/early", "org/name", f"org/name@{LOOSE}", "org/name@v1"]  # v1 is the first of two names
    assert [each.commit for each in found.values()] == [MAIN, MAIN, LOOSE, TAGGED]
    assert found["org/name@v1"].folder == cache / "models--org--name" / "snapshots" / TAGGED


def test_a_removed_revision_leaves_what_others_share(cache: Path) -> None:
    assert remove_revision(TAGGED) == len(b"of one revision only")
    assert [each.name for each in cached_revisions()] == ["org/early", "org/name", f"org/name@{LOOSE}"]
    assert (cache / "models--org--name" / "snapshots" / MAIN / "0.bin").read_bytes() == b"shared by two revisions"


def test_there_need_not_be_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = functools.partial(huggingface_hub.scan_cache_dir, tmp_path / "absent")
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", scan)
    assert cached_revisions() == []
