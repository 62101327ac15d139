"""Files from the Hugging Face Hub.

The Hub's client asks the questions and arranges the cache that all tools of the Hub share; `download` brings the bytes,
because the client waits for a silent server without an end, and drops what a slow one has sent.
"""

import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

from cvae_cli.errors import MissingError
from cvae_cli.events import Callback, Notice
from cvae_cli.weights import download
from cvae_cli.weights.download import Digest, is_offline
from cvae_cli.weights.hub_errors import CACHE_HINT, check_token, server, translate_errors
from cvae_cli.weights.hub_quiet import quiet_client
from cvae_cli.weights.patience import patiently, time_out

_ALGORITHMS = {64: "sha256", 40: "git"}  # what names a file in the cache, by its length: of small ones it is git
_BLOB = re.compile(r"[\w.-]{8,200}")

T = TypeVar("T")


def cached_file(repo: str, file: str, revision: str) -> Path | None:
    """Return the path of a file in the cache that the Hub's tools share; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(repo, file, revision=revision)
    except HFValidationError:  # no repository can have this name
        return None
    return Path(path) if isinstance(path, str) else None


def is_snapshot(folder: Path) -> bool:
    """Whether a folder is one of the Hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return folder.is_relative_to(HF_HUB_CACHE)


def download_file(repo: str, file: str, revision: str, *, callback: Callback, force: bool = False) -> Path:
    """Download a file into the cache unless it is there, intact, and return its path.

    Args:
        revision: with a full commit hash, a cached file needs no request.
        force: download the file even if it is cached.

    Raises:
        MissingError: offline, no such file, or the Hub cannot be reached.
        CorruptError: what the Hub has sent has another digest or size.
    """
    cached = cached_file(repo, file, revision)
    if cached is not None and not force and is_intact(cached):
        return cached
    check_token()
    with translate_errors(repo, revision):
        return _fetch(repo, file, revision, callback, replaced=cached)


def download_files(
    repo: str, revision: str | None, files: Sequence[str], *, callback: Callback, anew: bool = False
) -> Path:
    """Download those of `files` that a repository has, and return the folder that holds them.

    Where the Hub cannot be reached, the files of the last time will do.

    Args:
        files: the first one tells whether the repository is in the cache.
        anew: download cached files again.

    Raises:
        UsageError: no such repository or revision.
        MissingError: offline and not cached, gated, or the Hub cannot be reached.
        CorruptError: what the Hub has sent has another digest or size.
    """
    revision = revision or "main"
    cached = cached_file(repo, files[0], revision)
    check_token()
    try:
        with translate_errors(repo, revision):
            commit, there = ask(lambda: _commit(repo, revision), callback)
    except MissingError as error:
        if cached is None:
            raise
        if not is_offline():
            callback(Notice(f"{error.message}: using the copy in the Hub's cache", is_warning=True))
        return cached.parent
    for file in [each for each in files if each in there]:  # not every model has a card
        present = cached_file(repo, file, commit)
        if present is not None and not anew:
            if is_intact(present):
                continue
            callback(Notice(f"{present} is damaged: downloading {repo} again", is_warning=True))
        with translate_errors(repo, revision):
            _fetch(repo, file, commit, callback, replaced=present)
    with translate_errors(repo, revision):
        return Path(ask(lambda: _arrange(repo, revision, files), callback))


def _commit(repo: str, revision: str) -> tuple[str, set[str]]:
    """Return the commit that a revision is, and the files that it has."""
    from huggingface_hub import HfApi

    about = HfApi().model_info(repo, revision=revision, timeout=time_out())
    return str(about.sha), {each.rfilename for each in about.siblings or []}


def _arrange(repo: str, revision: str, files: Sequence[str]) -> str:
    """Let the client of the Hub note which commit the revision is, and return the folder of its files."""
    from huggingface_hub import snapshot_download

    return snapshot_download(repo, revision=revision, allow_patterns=list(files))


def _fetch(repo: str, file: str, revision: str, callback: Callback, *, replaced: Path | None) -> Path:
    """Download a file to the place where the Hub's client looks for it, and let the client link it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(repo, file, revision=revision)
    about = ask(lambda: get_hf_file_metadata(url, timeout=time_out(), token=None), callback)
    blob = about.etag or ""
    if not _BLOB.fullmatch(blob) or ".." in blob:
        raise MissingError(f"cannot download {repo}: the answer of {server()} is not the Hub's")
    if replaced is not None:
        replaced.resolve().unlink(missing_ok=True)  # the file itself, and then the link to it
        replaced.unlink(missing_ok=True)
    download.download_file(
        url,
        Path(HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "blobs" / blob,
        digest=_digest_of(blob),
        size=about.size,
        headers={name: value for name, value in build_hf_headers().items() if name.lower() == "authorization"},
        name=file,
        hint=CACHE_HINT,
        callback=callback,
    )
    return Path(ask(lambda: hf_hub_download(repo, file, revision=revision), callback))


def is_intact(path: Path) -> bool:
    """Whether a cached file has the digest that it is named by."""
    blob = path.resolve()
    digest = _digest_of(blob.name)
    return digest is None or digest.matches(blob)


def _digest_of(blob: str) -> Digest | None:
    """Return the digest that is the name of a file in the cache; None if the name is none."""
    algorithm = _ALGORITHMS.get(len(blob)) if re.fullmatch("[0-9a-f]+", blob) else None
    return Digest(algorithm=algorithm, hexadecimal=blob) if algorithm else None


def ask(question: Callable[[], T], callback: Callback) -> T:
    """Return the answer of the Hub to a question of its client, or raise a TimeoutError."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download  # noqa: F401, so that no answer waits for it

    if is_offline():  # the client itself knows one of the two variables, and only at its import
        raise ConnectionError("offline")
    return next(patiently(_answers(question), server=server(), callback=callback))


def _answers(question: Callable[[], T]) -> Generator[T, None, None]:
    with quiet_client:
        answer = question()
    yield answer
