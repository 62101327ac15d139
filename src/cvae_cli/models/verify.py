"""Compare the files of models with their digests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.checksums import SUMS, accept, damaged_files
from cvae_cli.models.pretrained import CARD, CONFIG, SAMPLES, WEIGHTS, check_weights, read_config
from cvae_cli.weights import hub


def check_folder(folder: Path) -> list[str]:
    """Return what is wrong with the files of a model: each file that is not as it was written, or cannot be read.

    `SHA256SUMS` has a digest of every file. The weights are compared with the configuration as well, and in the cache
    of the Hub each file with the digest that the Hub gave it.
    """
    found: dict[str, str] = {}  # by the name of the file
    checks: list[Callable[[Path], list[str] | None]] = [damaged_files, _check_readable]
    if hub.is_snapshot(folder):
        checks.append(_check_cached)
    for check in checks:
        try:
            problems = check(folder) or []
        except (CorruptError, MissingError) as error:
            problems = [error.message.removeprefix(f"{folder}/")]
        except OSError as error:
            problems = [f"{Path(error.filename or folder).name} cannot be read: {error.strerror}"]
        for problem in problems:
            found.setdefault(problem.split()[0].rstrip(":"), problem)
    return list(found.values())


def verify_model(name: str, folder: Path, *, callback: Callback = ignore) -> dict[str, Any]:
    """Return what `cvae models verify` says of a model.

    Its `state` is `sound`, `damaged`, or `without digests` for a model of an earlier version whose weights are sound.
    """
    callback(Progress(f"verifying {name}", 0, None))
    problems = check_folder(folder)
    sound = "sound" if (folder / SUMS).is_file() else "without digests"
    return {"name": name, "folder": str(folder), "state": "damaged" if problems else sound, "problems": problems}


def accept_changes(folder: Path) -> None:
    """Record the files of a model as they are now, after somebody has changed one of them.

    Raises:
        CorruptError: the configuration cannot be read, or the weights are not those that it names.
    """
    read_config(folder)
    check_weights(folder)
    accept(folder, [CONFIG, WEIGHTS, CARD, SAMPLES])


def _check_readable(folder: Path) -> None:
    if not (folder / WEIGHTS).is_file():
        raise MissingError(f"{WEIGHTS} is missing")
    read_config(folder)
    check_weights(folder)


def _check_cached(folder: Path) -> list[str]:
    files = sorted(each for each in folder.iterdir() if each.is_file())
    return [f"{file.name} does not have its digest" for file in files if not hub.is_intact(file)]
