"""The errors of the Hub's client as this program's own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from cvae_cli.errors import CvaeError, MissingError, UsageError
from cvae_cli.paths import write_error
from cvae_cli.weights.download import ONCE_HINT, forbidden_by, is_offline
from cvae_cli.weights.patience import NETWORK_HINT, PATIENCE_HINT, without_number

CACHE_HINT = "HF_HOME puts the cache elsewhere"
NAME_HINT = "a name on the Hub is org/name"


def check_token() -> None:
    """Raise a UsageError if the token cannot be one: an HTTP library would repeat it in its message."""
    from huggingface_hub import get_token

    token = get_token()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        source = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "the token of the Hub's login"
        raise UsageError(f"{source} is not a token: it has characters that no token has", hint="copy it again")


def server() -> str:
    """The name of the Hub's server."""
    from huggingface_hub.constants import ENDPOINT

    return urlsplit(ENDPOINT).hostname or ENDPOINT


@contextmanager
def translate_errors(repo: str, revision: str | None, *, purpose: str = "download") -> Iterator[None]:
    """Turn the errors of the Hub's client into this program's own.

    Args:
        purpose: what is done with the repository, for the messages.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
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
    except HFValidationError as error:
        raise UsageError(f'"{repo}" cannot be the name of a repository', hint=NAME_HINT) from error
    except RevisionNotFoundError as error:
        raise UsageError(f'{repo} has no revision "{revision}" on the Hub') from error
    except Exception as error:  # the client raises whatever its HTTP library does
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
            path = Path(error.filename or "the Hub's cache")  # a problem of the disk, not of the network
            raise write_error(path, error, hint=CACHE_HINT) from error
        if is_offline():
            raise MissingError(
                f"cannot {purpose} {repo}: it is not in the cache, and {forbidden_by()} forbids downloading it",
                hint=ONCE_HINT,
            ) from error
        reason = without_number((str(error).strip() or type(error).__name__).splitlines()[0])
        if isinstance(error, TimeoutError):
            reason = f"{reason} from {server()}"
        has_answered = isinstance(error, HfHubHTTPError | EntryNotFoundError)
        raise MissingError(
            f"cannot {purpose} {repo}: {reason}",
            hint=None if has_answered else PATIENCE_HINT if isinstance(error, TimeoutError) else NETWORK_HINT,
        ) from error
