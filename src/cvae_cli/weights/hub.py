"""Files from the Hugging Face Hub.

The Hub's client asks the questions and arranges the cache that all tools of the Hub share; `download` brings the bytes,
because the client waits for a silent server without an end, and drops what a slow one has sent.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from cvae_cli.errors import CvaeError, MissingError, UsageError
from cvae_cli.events import Callback, Notice
from cvae_cli.paths import write_error
from cvae_cli.weights import download
from cvae_cli.weights.download import ONCE_HINT, Digest, forbidden_by, is_offline
from cvae_cli.weights.patience import NETWORK_HINT, PATIENCE_HINT, patiently, time_out

_CACHE_HINT = "HF_HOME puts the cache elsewhere"
_SHA256 = re.compile(r"[0-9a-f]{64}")  # the name of a large file in the cache; small ones are named by git
_BLOB = re.compile(r"[\w.-]{8,200}")

T = TypeVar("T")


def cached_file(repo: str, file: str, revision: str) -> Path | None:
    """Return the path of a file in the cache that the Hub's tools share; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, file, revision=revision)
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
    if cached is not None and not force and _is_intact(cached):
        return cached
    with _translate_errors(repo, revision):
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
    from huggingface_hub.errors import EntryNotFoundError

    revision = revision or "main"
    cached = cached_file(repo, files[0], revision)
    try:
        with _translate_errors(repo, revision):
            commit = _ask(lambda: _commit(repo, revision), callback)
    except MissingError as error:
        if cached is None:
            raise
        if not is_offline():
            callback(Notice(f"{error.message}: using the copy in the Hub's cache", is_warning=True))
        return cached.parent
    for file in files:
        present = cached_file(repo, file, commit)
        if present is not None and not anew and _is_intact(present):
            continue
        with _translate_errors(repo, revision), contextlib.suppress(EntryNotFoundError):  # not every model has a card
            _fetch(repo, file, commit, callback, replaced=present)
    with _translate_errors(repo, revision):
        return Path(_ask(lambda: _arrange(repo, revision, files), callback))


def _commit(repo: str, revision: str) -> str:
    from huggingface_hub import HfApi

    return str(HfApi().model_info(repo, revision=revision, timeout=time_out()).sha)


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
    about = _ask(lambda: get_hf_file_metadata(url, timeout=time_out(), token=None), callback)
    blob = about.etag or ""
    if not _BLOB.fullmatch(blob) or ".." in blob:
        raise MissingError(f"cannot fetch {repo}: the answer of {_server()} is not the Hub's")
    if replaced is not None:
        replaced.resolve().unlink(missing_ok=True)  # the file itself, and then the link to it
        replaced.unlink(missing_ok=True)
    download.download_file(
        url,
        Path(HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "blobs" / blob,
        digest=Digest(algorithm="sha256", hexadecimal=blob) if _SHA256.fullmatch(blob) else None,
        size=about.size,
        headers={name: value for name, value in build_hf_headers().items() if name.lower() == "authorization"},
        name=file,
        hint=_CACHE_HINT,
        callback=callback,
    )
    return Path(_ask(lambda: hf_hub_download(repo, file, revision=revision), callback))


def _is_intact(path: Path) -> bool:
    """Whether a cached file has the digest that it is named by, as large files are."""
    blob = path.resolve()
    return not _SHA256.fullmatch(blob.name) or Digest(algorithm="sha256", hexadecimal=blob.name).matches(blob)


def _ask(question: Callable[[], T], callback: Callback) -> T:
    """Return the answer of the Hub to a question of its client, or raise a TimeoutError."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download  # noqa: F401, so that no answer waits for it

    if is_offline():  # the client itself knows one of the two variables, and only at its import
        raise ConnectionError("offline")
    return next(patiently((ask() for ask in [question]), server=_server(), callback=callback))


def _server() -> str:
    """The name of the Hub's server."""
    from huggingface_hub.constants import ENDPOINT

    return urlsplit(ENDPOINT).hostname or ENDPOINT


@contextmanager
def _translate_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Turn the errors of the Hub's client into this program's own."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except CvaeError:
        raise
    except GatedRepoError as error:
        raise MissingError(
            f"{repo} asks for its terms to be accepted first", hint="visit its page on the Hub, then set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(f'no repository "{repo}" on the Hub', hint="a private one needs HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise UsageError(f'{repo} has no revision "{revision}" on the Hub') from error
    except Exception as error:  # the client raises whatever its HTTP library does
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
            path = Path(error.filename or "the Hub's cache")  # a problem of the disk, not of the network
            raise write_error(path, error, hint=_CACHE_HINT) from error
        if is_offline():
            raise MissingError(
                f"cannot fetch {repo}: it is not in the cache, and {forbidden_by()} forbids fetching it",
                hint=ONCE_HINT,
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, TimeoutError):
            reason = f"{reason} from {_server()}"
        has_answered = isinstance(error, HfHubHTTPError | EntryNotFoundError)
        raise MissingError(
            f"cannot fetch {repo}: {reason}",
            hint=None if has_answered else PATIENCE_HINT if isinstance(error, TimeoutError) else NETWORK_HINT,
        ) from error
