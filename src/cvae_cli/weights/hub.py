"""The Hugging Face Hub: files and model folders of its repositories, and what its client's errors mean to a user."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvae_cli.errors import MissingError, UsageError
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.paths import write_error
from cvae_cli.weights.download import offline


def cached_file(repo: str, file: str, revision: str) -> Path | None:
    """Where a file is in the cache that all the Hub's tools share, if it is there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def fetch_file(repo: str, file: str, revision: str, *, callback: Callback, again: bool = False) -> Path:
    """Bring a file into the cache, resumed and locked by the Hub's client.

    Args:
        revision: a full commit hash, so that a cached file costs no request.
        again: fetch it although it is there.

    Raises:
        MissingError: offline, no such file, or the Hub cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    with _explained(repo, revision):
        # Without a network this fails at once, where hf_hub_download would try for half a minute.
        with contextlib.suppress(HfHubHTTPError):
            get_hf_file_metadata(hf_hub_url(repo, file, revision=revision))
        return Path(
            hf_hub_download(
                repo, file, revision=revision, force_download=again, tqdm_class=_progress_bar(file, callback)
            )
        )


def fetch_folder(repo: str, revision: str | None, files: list[str]) -> Path:
    """The folder of a repository's snapshot with those of `files` that it has.

    Raises:
        UsageError: no such repository or revision.
        MissingError: offline and not cached, gated, or the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    silent = _progress_bar(repo, ignore)
    with _explained(repo, revision):
        return Path(snapshot_download(repo, revision=revision, allow_patterns=files, tqdm_class=silent))


@contextmanager
def _explained(repo: str, revision: str | None) -> Iterator[None]:
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
            place = Path(error.filename or "the Hub's cache")  # not the network: a folder, the disk
            raise write_error(place, error, hint="HF_HOME puts the cache elsewhere") from error
        if offline():
            raise MissingError(
                f"cannot fetch {repo}: it is not in the cache, and HF_HUB_OFFLINE forbids fetching it"
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        answered = isinstance(error, HfHubHTTPError)
        raise MissingError(
            f"cannot fetch {repo}: {reason}", hint=None if answered else "is there a network?"
        ) from error


def _progress_bar(file: str, callback: Callback) -> Any:
    """A tqdm class for the Hub's client that draws nothing and sends its progress to the callback."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            callback(Progress(file, self.n, self.total or None, unit="B"))

    return Bar
