"""Uploads to the Hugging Face Hub, through the Hub's client; the token is HF_TOKEN or that of the Hub's login."""

import io
import queue
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cvae_cli.errors import MissingError, UsageError
from cvae_cli.events import Callback, Progress
from cvae_cli.weights.download import forbidden_by, is_offline
from cvae_cli.weights.hub import ask
from cvae_cli.weights.hub_errors import NAME_HINT, check_token, server, translate_errors
from cvae_cli.weights.hub_quiet import quiet_client
from cvae_cli.weights.patience import patiently

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LOGIN_HINT = "set HF_TOKEN to a token that may write, or log in:  hf auth login"

T = TypeVar("T")


def check_upload(repo: str) -> None:
    """Raise what is known to hinder an upload before the Hub is asked.

    Raises:
        UsageError: the name cannot be that of a repository, or there is no token.
        MissingError: offline.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
        if repo.count("/") != 1:
            raise HFValidationError
    except HFValidationError as error:
        raise UsageError(f'"{repo}" cannot be the name of a repository', hint=NAME_HINT) from error
    if is_offline():
        raise MissingError(f"cannot upload to {repo}: {forbidden_by()} forbids it", hint=f"unset {forbidden_by()}")
    check_token()
    if not get_token():
        raise UsageError("the Hub takes uploads only with a token", hint=_LOGIN_HINT)


def upload(
    repo: str,
    files: Mapping[str, Path | bytes],
    *,
    private: bool,
    revision: str | None,
    message: str,
    callback: Callback,
) -> str:
    """Upload files into a model repository in one commit, and return the address of the commit.

    What the repository has already is not sent again, so a broken upload continues with the files that are missing.

    Args:
        files: a path or the content for each name.
        private: whether a new repository is to be private. A public one is an error then, and nothing is sent.
        revision: the branch, which is created if there is none; by default `main`.

    Raises:
        UsageError: the name, the token or its rights do not do.
        MissingError: the Hub cannot be reached, or refuses for another reason.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    check_upload(repo)
    api = HfApi()
    try:
        with translate_errors(repo, revision, purpose="upload to"):
            ask(lambda: _prepare(api, repo, private=private, revision=revision), callback)
            counted = [_Counted(Path(each).read_bytes() if isinstance(each, Path) else each) for each in files.values()]

            def commit() -> str:
                operations = []
                for name, file in zip(files, counted, strict=True):
                    operations.append(CommitOperationAdd(path_in_repo=name, path_or_fileobj=file))
                    file.is_sent = True  # it has been read for its digest
                    # one by one: for several the client has threads of its own, which would hold up the program's end
                    api.preupload_lfs_files(repo, operations[-1:], revision=revision)
                return api.create_commit(repo, operations, commit_message=message, revision=revision).commit_url

            return _watched(commit, counted, callback)
    except MissingError as error:
        cause = error.__cause__
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
        if status in {401, 403}:
            raise UsageError(f"the Hub does not let this token write to {repo}", hint=_LOGIN_HINT) from error
        raise


def _prepare(api: "HfApi", repo: str, *, private: bool, revision: str | None) -> None:
    """Create the repository and the branch unless they exist."""
    api.create_repo(repo, private=private or None, exist_ok=True)
    if private and not api.model_info(repo).private:
        raise UsageError(
            f"{repo} exists and is public; nothing was sent",
            hint="make it private on its page on the Hub, then push again",
        )
    if revision not in {None, "main"}:
        api.create_branch(repo, branch=str(revision), exist_ok=True)


class _Counted(io.BytesIO):
    """The content of a file, which says how much of it the client has read in order to send it."""

    is_sent = False
    counter: "queue.Queue[bytes] | None" = None

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        if self.is_sent and self.counter is not None and part:
            self.counter.put(part)
        return part


def _watched(work: Callable[[], str], files: list[_Counted], callback: Callback) -> str:
    """Return what `work` returns; while it reads `files`, report the progress and wait for it as for any server."""
    parts: queue.Queue[bytes | str | BaseException] = queue.Queue()
    for file in files:
        file.counter = parts  # type: ignore[assignment]

    def run() -> None:
        try:
            with quiet_client:
                parts.put(work())
        except BaseException as error:
            parts.put(error)

    def arrivals() -> Generator[bytes | str, None, None]:
        threading.Thread(target=run, daemon=True).start()
        while True:
            part = parts.get()
            if isinstance(part, BaseException):
                raise part
            yield part
            if isinstance(part, str):
                return

    total, sent, address = sum(file.getbuffer().nbytes for file in files), 0, ""
    for part in patiently(arrivals(), server=server(), callback=callback):
        if isinstance(part, bytes):
            sent += len(part)
            callback(Progress("uploading", min(sent, total), total, unit="B"))
        else:
            address = part
    return address
