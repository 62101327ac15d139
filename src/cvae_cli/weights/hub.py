"""Downloads from the Hugging Face Hub, with the client's errors turned into sentences for the user."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvae_cli.errors import MissingError, UsageError
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.paths import write_error
from cvae_cli.weights.download import is_offline


def cached_file(repo: str, file: str, revision: str) -> Path | None:
    """Return the path of a file in the cache that the Hub's tools share; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, file, revision=revision)
    return Path(path) if isinstance(path, str) else None


def download_file(repo: str, file: str, revision: str, *, callback: Callback, force: bool = False) -> Path:
    """Download a file into the cache and return its path. The Hub's client resumes and locks downloads.

    Args:
        revision: with a full commit hash, a cached file needs no request.
        force: download the file even if it is cached.

    Raises:
        MissingError: offline, no such file, or the Hub cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    with _translate_errors(repo, revision):
        # Without a network this request fails at once; hf_hub_download would retry for half a minute.
        with contextlib.suppress(HfHubHTTPError):
            get_hf_file_metadata(hf_hub_url(repo, file, revision=revision))
        return Path(
            hf_hub_download(
                repo, file, revision=revision, force_download=force, tqdm_class=_progress_bar(file, callback)
            )
        )


def download_snapshot(repo: str, revision: str | None, files: list[str]) -> Path:
    """Download those of `files` that a repository has, and return the folder of its snapshot.

    Raises:
        UsageError: no such repository or revision.
        MissingError: offline and not cached, gated, or the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    silent = _progress_bar(repo, ignore)
    with _translate_errors(repo, revision):
        return Path(snapshot_download(repo, revision=revision, allow_patterns=files, tqdm_class=silent))


@contextmanager
def _translate_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Turn the errors of the Hub's client into this program's own."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise MissingError(
            f"{repo} asks for its terms to be accepted first", hint="visit its page on the Hub, then set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(f'no repository "{repo}" on the Hub', hint="a private one needs HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise UsageError(f'{repo} has no revision "{revision}" on the Hub') from error
    except Exception as error:  # the client raises whatever its HTTP library does
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
            path = Path(error.filename or "the Hub's cache")  # a problem of the disk, not of the network
            raise write_error(path, error, hint="HF_HOME puts the cache elsewhere") from error
        if is_offline():
            raise MissingError(
                f"cannot fetch {repo}: it is not in the cache, and HF_HUB_OFFLINE forbids fetching it"
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        has_answered = isinstance(error, HfHubHTTPError)
        raise MissingError(
            f"cannot fetch {repo}: {reason}", hint=None if has_answered else "is there a network?"
        ) from error


def _progress_bar(file: str, callback: Callback) -> Any:
    """Return a tqdm class for the Hub's client that draws nothing and passes its progress to `callback`."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            callback(Progress(file, self.n, self.total or None, unit="B"))

    return Bar
