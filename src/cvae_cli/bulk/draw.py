"""Prompts to pictures to files: drawn part by part, encoded by several workers, recorded in order.

Of prompts, conditions and pictures only what is being worked on is in memory. Workers are threads: Pillow compresses
without holding the interpreter's lock. Several processes draw a part each at a time, and the first one records them.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

from cvae_cli.bulk import manifest
from cvae_cli.bulk.blocks import prompt_conditions, sample_pictures
from cvae_cli.bulk.formats import FILES, SHARD, Picture, encode_member, write_file, write_shard
from cvae_cli.bulk.manifest import Finished, Line
from cvae_cli.errors import CvaeError, InterruptedRunError, UsageError, quoted
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.distributed import World, get_world
from cvae_cli.runtime.interrupt import deferred_interrupt
from cvae_cli.text.prompts import Prompt, Prompts

Item = TypeVar("Item")
Result = TypeVar("Result")

_PART = 512  # pictures of a part, where each has a file of its own; a shard is a part
_WAITING = 128  # pictures that wait for a worker, or for an earlier one to be finished
_WORKERS = 8  # on few cores, too: mostly they wait until the disk has a file
_GOES_ON = "the same command goes on"


@dataclass(frozen=True)
class Job:
    """What to draw for each prompt, and where to.

    Attributes:
        format: png, webp or webdataset.
        n: pictures for each prompt.
        sampling: seed, temperature and guidance.
        facts: what each picture's file says about how it was drawn.
        weights: the digest of the model's; pictures of others do not go into the same folder.
    """

    folder: Path
    format: str
    n: int
    sampling: dict[str, Any]
    facts: dict[str, str]
    weights: str


@dataclass(frozen=True)
class Part:
    """Consecutive pictures of a job, numbered from 0, and their prompts: the first one's and so on.

    Attributes:
        number: of the part, from 0, among those that this call draws.
    """

    number: int
    pictures: range
    prompts: Sequence[Prompt]


def draw_files(
    network: CVAE,
    prompts: Prompts,
    job: Job,
    *,
    callback: Callback = ignore,
) -> int:
    """Draw pictures for each prompt into files, going on where an earlier call was stopped.

    Picture i of a prompt is `network.sample(condition, indices=[i], **job.sampling)`, to the bit, however many
    processes draw.

    Args:
        callback: told how many pictures are finished, and what in the prompts has no effect.

    Returns:
        how many pictures were drawn, those that were finished before not among them.

    Raises:
        UsageError: a prompt that the model cannot prompt_conditions; or a folder that holds other pictures, cannot be
            written, or is being written to.
        InterruptedRunError: Ctrl-C.
        OSError: the disk is full, or fails.
    """
    folder, total, world = job.folder, prompts.count * job.n, get_world()
    settings = {"model": network.config.name, "weights": job.weights, **job.sampling, "n": job.n, "format": job.format}
    finished = manifest.read(folder, settings)
    _check_goes_on(prompts, finished, job)
    if finished.pictures == total:
        return 0
    parts = _parts(prompts, range(finished.pictures, total), job, world)
    first = next(parts)
    world.gather_results(lambda: prompt_conditions(network, first.prompts))  # before the folder is touched
    done = finished.pictures
    with ExitStack() as stack:
        append = stack.enter_context(manifest.appending(folder, finished, settings)) if world.is_first else _forget
        world.barrier()  # for the folder
        drawing = _Drawing(
            network,
            job,
            total,
            digits=len(str(total)) if job.format in FILES else 9,
            pool=stack.enter_context(ThreadPoolExecutor(_WORKERS)),
            interrupted=stack.enter_context(deferred_interrupt()),
            callback=callback,
        )
        try:
            for line in _lines(chain([first], parts), partial(drawing.files, shards=finished.files), world):
                append(line)
                done += line.get("pictures", 1)
        except InterruptedRunError as error:
            if done < total:
                raise InterruptedRunError(
                    f"{error.message} after {done:,} of {total:,} pictures; {_GOES_ON}"
                ) from error
        except CvaeError as error:
            if done:
                error.hint = f"{error.hint or ''}\n{done:,} pictures are finished; {_GOES_ON}".strip()
            raise
        world.barrier()  # for the manifest
    return total - finished.pictures


def _forget(line: Line) -> None:
    """Of several processes only the first one keeps the manifest."""


def _check_goes_on(prompts: Prompts, finished: Finished, job: Job) -> None:
    """Raise a UsageError where the last finished picture is not the one that the prompts ask for there."""
    if finished.last is None:
        return
    position, sample = divmod(finished.pictures - 1, job.n)
    prompt = next(islice(prompts, position, None), None)
    path = job.folder / manifest.NAME
    if prompt is None or (prompt.text, sample) != (finished.last["prompt"], finished.last["sample"]):
        asked = "nothing" if prompt is None else quoted(prompt.text)
        raise UsageError(
            f"picture {finished.pictures:,} in {job.folder} is of {quoted(finished.last['prompt'])}, "
            f"and the prompts now ask for {asked} there",
            hint=f"give the same prompts, draw into another folder, or remove {path} to begin anew",
        )


def _parts(prompts: Prompts, pictures: range, job: Job, world: World) -> Iterator[Part]:
    """The parts of this process, one in each round; in the last round it may be empty."""
    size = _PART if job.format in FILES else SHARD
    stream, row, last = iter(prompts), 0, None  # `last` is the prompt before number `row`
    rounds = -(-len(pictures) // (size * world.size))
    for number in range(world.rank, rounds * world.size, world.size):
        mine = pictures[number * size : (number + 1) * size]
        chosen: list[Prompt] = []
        if mine:
            start, stop = mine[0] // job.n, mine[-1] // job.n + 1
            chosen = [last] if last is not None and start < row else []
            chosen += islice(stream, max(start - row, 0), stop - row)
            row, last = stop, chosen[-1]
        yield Part(number, mine, chosen)


def _lines(parts: Iterable[Part], files: Callable[[Part], Iterable[Line]], world: World) -> Iterator[Line]:
    """What the manifest says of the files of all processes, in order."""
    for part in parts:
        if world.size == 1:
            yield from files(part)  # each as soon as it is finished
        else:
            for lines in world.gather_results(lambda: list(files(part))):  # noqa: B023
                yield from lines


@dataclass(frozen=True)
class _Drawing:
    """How a part becomes files."""

    network: CVAE
    job: Job
    total: int
    digits: int
    pool: ThreadPoolExecutor
    interrupted: Callable[[], bool]
    callback: Callback

    def files(self, part: Part, shards: int) -> Iterator[Line]:
        """Write the pictures of a part, and give a line for the manifest for each file.

        Args:
            shards: how many there are of earlier calls.
        """
        if not part.pictures:
            return
        pictures, folder, format = self._drawn(part), self.job.folder, self.job.format
        if format in FILES:
            with closing(self._in_order(partial(write_file, folder=folder, suffix=format), pictures, part)) as lines:
                yield from lines
        else:
            with closing(self._in_order(encode_member, pictures, part)) as members:
                yield write_shard(members, folder / f"{shards + part.number:06}.tar")

    def _drawn(self, part: Part) -> Iterator[Picture]:
        conditions = prompt_conditions(self.network, part.prompts, self.callback)
        n, numbers = self.job.n, iter(part.pictures)
        offset = part.pictures[0] // n * n  # number of the first prompt's first picture
        wanted = range(part.pictures[0] - offset, part.pictures[-1] + 1 - offset)
        for images in sample_pictures(self.network, conditions, n, self.job.sampling, wanted):
            for image, number in zip(images, numbers, strict=False):
                row, sample = divmod(number - offset, n)
                yield Picture(image, f"{number + 1:0{self.digits}}", part.prompts[row].text, sample, self.job.facts)
            if self.interrupted():
                raise InterruptedRunError("stopped")

    def _in_order(
        self, work: Callable[[Picture], Result], pictures: Iterator[Picture], part: Part
    ) -> Generator[Result, None, None]:
        """What workers make of the pictures, in their order; where these end with a CvaeError, that comes last."""
        mistakes: list[CvaeError] = []
        waiting: deque[Future[Result]] = deque()
        finished = iter(part.pictures)

        def begun() -> Iterator[Picture]:
            try:
                yield from pictures
            except CvaeError as error:
                mistakes.append(error)

        def next_one() -> Result:
            result = waiting.popleft().result()
            self.callback(Progress("drawing", next(finished) + 1, self.total))
            return result

        for picture in begun():
            waiting.append(self.pool.submit(work, picture))
            while waiting and (len(waiting) > _WAITING or waiting[0].done()):
                yield next_one()
        while waiting:
            yield next_one()
        if mistakes:
            raise mistakes[0]
