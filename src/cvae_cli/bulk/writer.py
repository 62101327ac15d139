"""Write the pictures of a chunk: draw them a few at a time, and encode them in threads, in order.

Threads are enough because Pillow compresses without holding Python's global interpreter lock.
"""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cvae_cli.bulk.chunks import Chunk
from cvae_cli.bulk.files import Picture, encode_member, write_file, write_shard
from cvae_cli.bulk.manifest_lines import SHARD_SIZE, WEBDATASET, Entry
from cvae_cli.bulk.sampling import Sampling, prompt_conditions, sample_pictures
from cvae_cli.errors import InterruptedRunError
from cvae_cli.events import Callback, Progress
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures.grid import enlarge
from cvae_cli.runtime.threads import map_in_order

Result = TypeVar("Result")

_CHUNK_SIZE = 512  # pictures in a chunk where each picture has a file of its own
_MAX_PENDING = 128  # pictures that wait for a worker, or for an earlier picture to be finished


@dataclass(frozen=True)
class Job:
    """What to generate, and where to.

    Attributes:
        format: the format of the files, see `check_format`.
        n: pictures per prompt.
        total: pictures of all prompts.
        weights: identifies the weights of the model.
        scale, resample: how pictures are enlarged, see `pictures.grid.enlarge`.
    """

    folder: Path
    format: str
    n: int
    total: int
    sampling: Sampling
    weights: str
    scale: int = 1
    resample: str = "nearest"

    @property
    def is_sharded(self) -> bool:
        """Whether a file holds many pictures."""
        return self.format == WEBDATASET

    @property
    def chunk_size(self) -> int:
        """Pictures that one process generates at a time; a shard is one chunk."""
        return SHARD_SIZE if self.is_sharded else _CHUNK_SIZE

    @property
    def digits(self) -> int:
        """The length of a picture's number in its name."""
        return 9 if self.is_sharded else len(str(self.total))

    def settings(self, model: CVAE) -> dict[str, Any]:
        """What the pictures depend on besides the prompts, for the manifest."""
        return {
            "model": model.config.name,
            "weights": self.weights,
            "seed": self.sampling.seed,
            "temperature": self.sampling.temperature,
            "guidance": self.sampling.guidance,
            "same_noise": self.sampling.same_noise,
            "n": self.n,
            "format": self.format,
            **self.enlargement,
        }

    def metadata(self, model: CVAE) -> dict[str, Any]:
        """What the pictures' files say about how they were made."""
        return self.sampling.metadata(model) | self.enlargement

    @property
    def enlargement(self) -> dict[str, Any]:
        """How pictures are enlarged, if they are."""
        return {"scale": self.scale, "resample": self.resample} if self.scale > 1 else {}


@dataclass(frozen=True)
class ChunkWriter:
    """Generates the pictures of a chunk and writes them.

    Attributes:
        interrupted: returns whether the user wants to stop.
        callback: receives the progress, and notices about prompts.
    """

    model: CVAE
    job: Job
    pool: Executor
    interrupted: Callable[[], bool]
    callback: Callback

    def write(self, chunk: Chunk) -> Iterator[Entry]:
        """Write the pictures of a chunk, and yield the manifest entry of each file once it is finished.

        Raises:
            InterruptedRunError: the user wants to stop. Pictures that are already sampled are finished before.
        """
        if not chunk.pictures:
            return
        if self.job.is_sharded:
            path = self.job.folder / f"{chunk.line:06}.tar"
            with closing(self._in_order(encode_member, chunk)) as members:
                yield write_shard(members, path)
        else:
            write = partial(write_file, folder=self.job.folder, format=self.job.format)
            with closing(self._in_order(write, chunk)) as entries:
                yield from entries

    def _in_order(self, work: Callable[[Picture], Result], chunk: Chunk) -> Generator[Result, None, None]:
        self.callback(Progress("drawing", chunk.pictures[0], self.job.total))
        results = map_in_order(self.pool, work, self._sample(chunk), pending=_MAX_PENDING)
        with closing(results):
            for result, number in zip(results, chunk.pictures, strict=False):
                self.callback(Progress("drawing", number + 1, self.job.total))
                yield result

    def _sample(self, chunk: Chunk) -> Iterator[Picture]:
        conditions = prompt_conditions(self.model, chunk.prompts, self.callback)
        metadata, n = self.job.metadata(self.model), self.job.n
        offset = chunk.pictures[0] // n * n  # the number of the first prompt's first picture
        numbers = range(chunk.pictures[0] - offset, chunk.pictures[-1] + 1 - offset)
        remaining = iter(numbers)
        prompts, sampling = chunk.prompts, self.job.sampling
        with closing(sample_pictures(self.model, prompts, conditions, n, sampling, numbers)) as drawn:
            for images in drawn:
                for image, number in zip(images, remaining, strict=False):
                    row, sample = divmod(number, n)
                    name = f"{offset + number + 1:0{self.job.digits}}"
                    image = enlarge(image, self.job.scale, self.job.resample)
                    number_of_prompt = sampling.number(prompts[row], sample, n)
                    yield Picture(image, name, prompts[row].text, number_of_prompt, metadata)
                if self.interrupted():
                    raise InterruptedRunError("stopped")
