"""Files are written as a whole, under names that nobody else can take, and nothing is replaced that is not to be."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from cvae_cli import paths
from cvae_cli.errors import UsageError
from cvae_cli.paths import atomic_path, check_writable, draft_of, write_bytes, write_new


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_draft_has_a_name_that_cannot_be_guessed_and_is_known_as_ours(tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        with atomic_path(tmp_path / "x.png") as draft:
            seen.add(draft.name)
            assert draft_of(draft.name) == "x.png"
            assert draft.stat().st_nlink == 1
            draft.write_bytes(b"new")
    assert len(seen) == 3
    assert names(tmp_path) == {"x.png"}


@pytest.mark.parametrize("name", [".mine.tmp", "x.tmp", ".x.png.cvae-12.tmp", ".x.cvae-0123456789abcdeg.tmp", ".7.tmp"])
def test_temporary_files_of_others_are_not_drafts(name: str) -> None:
    assert draft_of(name) is None


def test_a_link_in_place_of_the_draft_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    monkeypatch.setattr(os, "urandom", bytes)  # now the name can be guessed
    (tmp_path / f".x.png.cvae-{'00' * 8}.tmp").symlink_to(victim)
    with pytest.raises(UsageError, match="cannot write"):
        write_bytes(tmp_path / "x.png", b"new")
    assert victim.read_text() == "keep"
    assert names(tmp_path) == {"victim", f".x.png.cvae-{'00' * 8}.tmp"}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_a_replaced_file_passes_on_its_permissions_before_there_is_content(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    path.chmod(mode)
    with atomic_path(path) as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == mode
        draft.unlink()
        draft.write_bytes(b"new")  # as a writer that makes a file of its own
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_bytes(tmp_path / "x.png", b"")
    write_new(tmp_path / "y.png", b"")
    assert len({(tmp_path / name).stat().st_mode for name in ("other", "x.png", "y.png")}) == 1


def test_a_link_is_followed_to_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(Path("real") / "x.png")
    write_bytes(tmp_path / "link.png", b"new")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real" / "x.png").read_bytes() == b"new"


def test_a_link_to_itself_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.png").symlink_to("x.png")
    write_bytes(tmp_path / "x.png", b"new")
    assert (tmp_path / "x.png").read_bytes() == b"new"


def test_what_must_not_be_changed_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.png").write_bytes(b"keep")
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "x.png")  # root may write everything
    with pytest.raises(UsageError, match="permission denied"):
        check_writable(tmp_path / "x.png")
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(UsageError, match="permission denied"):  # of the folder, in which the file is replaced
        check_writable(tmp_path / "x.png")


def test_a_name_of_many_bytes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("犬" * 83 + ".png")  # 253 of the 255 bytes that a name may have
    write_bytes(path, b"new")
    assert names(tmp_path) == {path.name}


def test_a_new_file_takes_the_first_free_name(tmp_path: Path) -> None:
    (tmp_path / "snow.png").symlink_to("nowhere")  # a link that leads nowhere is something, too
    (tmp_path / "snow-2.png").mkdir()
    taken = [write_new(tmp_path / "snow.png", b"%d" % number).name for number in range(2)]
    assert taken == ["snow-3.png", "snow-4.png"]
    assert [(tmp_path / name).read_bytes() for name in taken] == [b"0", b"1"]
    assert names(tmp_path) == {"snow.png", "snow-2.png", "snow-3.png", "snow-4.png"}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_each_of_many_writers_gets_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(paths.os, "link", refuse)
    contents = [b"%d" % number for number in range(24)]
    threads = [threading.Thread(target=write_new, args=(tmp_path / "x.png", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == {"x.png", *(f"x-{number}.png" for number in range(2, 25))}
    assert {path.read_bytes() for path in tmp_path.iterdir()} == set(contents)
