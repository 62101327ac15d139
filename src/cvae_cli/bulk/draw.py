"""Prompts to pictures to files: drawn in blocks, encoded by several workers, recorded in order.

Of prompts, conditions and pictures only what is being worked on is in memory. Workers are threads: Pillow compresses
without holding the interpreter's lock.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

from cvae_cli.bulk import manifest
from cvae_cli.bulk.blocks import in_blocks, understand
from cvae_cli.bulk.formats import FILES, Picture, encode_member, write_file, write_shards
from cvae_cli.bulk.manifest import Finished, Line
from cvae_cli.errors import CvaeError, InterruptedRunError, UsageError, quoted
from cvae_cli.interrupt import deferred_interrupt
from cvae_cli.models import CVAE
from cvae_cli.models.condition import Condition
from cvae_cli.prompts import Prompt, Prompts
from cvae_cli.text.encoder import Notice

Item = TypeVar("Item")
Result = TypeVar("Result")

_UNDERSTOOD = 1024  # prompts turned into conditions at a time; so many are understood before anything is drawn
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


def draw_files(
    network: CVAE,
    prompts: Prompts,
    job: Job,
    *,
    notice: Notice = lambda text: None,
    progress: Callable[[int, int], None] = lambda here, total: None,
) -> int:
    """Draw pictures for each prompt into files, going on where an earlier call was stopped.

    Picture i of a prompt is `network.sample(condition, indices=[i], **job.sampling)`, to the bit.

    Args:
        notice: see `CVAE.condition`.
        progress: told how many pictures are finished, and of how many.

    Returns:
        how many pictures were drawn, those that were finished before not among them.

    Raises:
        UsageError: a prompt that the model cannot understand; or a folder that holds other pictures, cannot be
            written, or is being written to.
        InterruptedRunError: Ctrl-C.
        OSError: the disk is full, or fails.
    """
    n, folder, total = job.n, job.folder, prompts.count * job.n
    settings = {"model": network.config.name, "weights": job.weights, **job.sampling, "n": n, "format": job.format}
    finished = manifest.read(folder, settings)
    unfinished = _unfinished(prompts, finished, job)
    if finished.pictures == total:
        return 0
    understood = _understood(network, unfinished, notice)
    understood = chain([next(understood)], understood)  # before the folder is touched
    done = finished.pictures
    with manifest.appending(folder, finished, settings) as append, deferred_interrupt() as interrupted:
        pictures = _drawn(network, understood, job, interrupted, done=done, total=total)
        try:
            with closing(_files(pictures, job, finished, total, progress)) as lines:
                for line in lines:
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
    return total - finished.pictures


def _unfinished(prompts: Prompts, finished: Finished, job: Job) -> Iterator[Prompt]:
    """The prompts from that on whose pictures are not all finished."""
    stream = iter(prompts)
    if finished.last is None:
        return stream
    position, sample = divmod(finished.pictures - 1, job.n)
    prompt = next(islice(stream, position, None), None)
    path = job.folder / manifest.NAME
    if prompt is None or (prompt.text, sample) != (finished.last["prompt"], finished.last["sample"]):
        asked = "nothing" if prompt is None else quoted(prompt.text)
        raise UsageError(
            f"picture {finished.pictures:,} in {job.folder} is of {quoted(finished.last['prompt'])}, "
            f"and the prompts now ask for {asked} there",
            hint=f"give the same prompts, draw into another folder, or remove {path} to begin anew",
        )
    return stream if sample == job.n - 1 else chain([prompt], stream)


def _understood(
    network: CVAE, prompts: Iterator[Prompt], notice: Notice
) -> Iterator[tuple[Sequence[Prompt], Condition]]:
    while block := list(islice(prompts, _UNDERSTOOD)):
        yield block, understand(network, block, notice)


def _drawn(
    network: CVAE,
    understood: Iterable[tuple[Sequence[Prompt], Condition]],
    job: Job,
    interrupted: Callable[[], bool],
    *,
    done: int,
    total: int,
) -> Iterator[Picture]:
    """The pictures that are not `done`."""
    digits = len(str(total)) if job.format in FILES else 9
    first = done % job.n  # in the block
    for prompts, conditions in understood:
        position = first
        for images in in_blocks(network, conditions, job.n, job.sampling, first=first):
            for image in images:
                row, sample = divmod(position, job.n)
                position, done = position + 1, done + 1
                yield Picture(image, f"{done:0{digits}}", prompts[row].text, sample, job.facts)
            if interrupted():
                raise InterruptedRunError("stopped")
        first = 0


def _files(
    pictures: Iterator[Picture], job: Job, finished: Finished, total: int, progress: Callable[[int, int], None]
) -> Generator[Line, None, None]:
    """Write the pictures, and give a line for the manifest for each file."""

    def counted(results: Iterable[Result]) -> Iterator[Result]:
        for here, result in enumerate(results, finished.pictures + 1):
            progress(here, total)
            yield result

    if job.format in FILES:
        with closing(_in_order(partial(write_file, folder=job.folder, suffix=job.format), pictures)) as lines:
            yield from counted(lines)
    else:
        with closing(_in_order(encode_member, pictures)) as members:
            yield from write_shards(counted(members), job.folder, finished, total)


def _in_order(work: Callable[[Item], Result], items: Iterator[Item]) -> Generator[Result, None, None]:
    """What workers make of the items, in their order; where these end with a CvaeError, that comes last."""
    mistakes: list[CvaeError] = []

    def begun() -> Iterator[Item]:
        try:
            yield from items
        except CvaeError as error:
            mistakes.append(error)

    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for item in begun():
            waiting.append(pool.submit(work, item))
            while waiting and (len(waiting) > _WAITING or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    if mistakes:
        raise mistakes[0]
