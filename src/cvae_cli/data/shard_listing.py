"""Read what shards hold. Those of an address are fetched into the cache; what cannot be read is counted."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cvae_cli.data.addresses import open_place
from cvae_cli.data.building import exclusive
from cvae_cli.data.losses import Losses
from cvae_cli.data.shard_names import Shard
from cvae_cli.data.shard_samples import MISSING, Sample, is_for_tests, read_index
from cvae_cli.data.whole import Place
from cvae_cli.errors import CvaeError, MissingError
from cvae_cli.events import Callback, Progress
from cvae_cli.paths import atomic_path, datasets_dir
from cvae_cli.weights.download import ONCE_HINT, forbidden_by, is_offline

_BLOCK = 1 << 20  # bytes that are copied at a time


@dataclass(frozen=True)
class Index:
    """What a shard holds.

    Attributes:
        path: where it is on this machine.
        samples: its samples with a picture, in order.
    """

    shard: Shard
    path: Path
    samples: list[Sample]

    def place(self, sample: Sample) -> Place:
        """Return where the picture of a sample is."""
        return Place(f"{self.shard.name}/{sample.name}", str(self.path), sample.start, sample.length)

    def part(self, split: str | None) -> list[Sample]:
        """Return the samples for `train` or `test` of a shard that is divided, or all."""
        if split is None:
            return self.samples
        name, for_tests = self.path.name, split == "test"
        return [sample for sample in self.samples if is_for_tests(name, sample.number) == for_tests]


def read_shards(shards: Sequence[Shard], losses: Losses, callback: Callback) -> Iterator[Index]:
    """Yield what each shard holds.

    Args:
        losses: counts the shards that are missing or damaged, each as large as the others.
    """
    lost: dict[str, tuple[str, int]] = {}  # the problem of a shard, and how many of its pictures can be read
    whole: list[int] = []  # the numbers of pictures of the others
    found = seen = 0
    try:
        for seen, shard in enumerate(shards, 1):
            callback(Progress("reading the shards", seen - 1, len(shards)))
            path = copy_of(shard)
            samples: list[Sample] = []
            problem = ""
            try:
                samples, problem = read_index(local_copy(shard, callback))
            except (MissingError, FileNotFoundError):
                problem = MISSING
            except (OSError, CvaeError) as error:
                problem = str(error)
            if problem:
                lost[shard.name] = problem, len(samples)
            found += len(samples)
            whole += [] if problem else [len(samples)]
            if samples:
                yield Index(shard, path, samples)
        callback(Progress("reading the shards", len(shards), len(shards)))
    finally:
        each = round(sum(whole) / len(whole)) if whole else 1  # pictures of a shard, as far as is known
        for name, (problem, pictures) in lost.items():
            losses.add(name, problem, max(1, each - pictures))
        losses.total = found + losses.pictures + each * (len(shards) - seen)


def copy_of(shard: Shard) -> Path:
    """Return where a shard is on this machine, or will be once it is fetched."""
    if not shard.is_remote:
        return Path(shard.address)
    digest = hashlib.sha256(shard.address.encode()).hexdigest()[:16]
    return datasets_dir() / "webdataset" / digest / shard.name.rpartition("/")[2]


def local_copy(shard: Shard, callback: Callback) -> Path:
    """Return where a shard is on this machine, after fetching one of an address into the cache.

    Raises:
        MissingError: it cannot be fetched.
    """
    path = copy_of(shard)
    if path.exists() or not shard.is_remote:
        return path
    if is_offline() and not shard.address.startswith(("file:", "local:", "memory:")):
        raise MissingError(
            f"{shard.address} is not on this machine, and {forbidden_by()} forbids downloading it", hint=ONCE_HINT
        )
    with exclusive(path, f"downloading {shard.name}", callback):
        if not path.exists():
            try:
                with open_place(shard.address) as source, atomic_path(path) as draft, draft.open("wb") as target:
                    shutil.copyfileobj(source, target, _BLOCK)
            except CvaeError:
                raise
            except Exception as error:  # the libraries of servers have errors of their own
                raise MissingError(
                    f"{shard.address} cannot be downloaded", hint=" ".join(str(error).split())
                ) from error
    return path
