"""Generate a folder of pictures: constant memory, several processes, and a later call continues where one stopped.

    prompts -> chunks -> pictures -> files, with an entry in the manifest for each finished file

Only the prompts, conditions and pictures in progress are in memory. When several processes share the work, each
writes the files of one chunk at a time, and rank 0 appends the entries of all of them to the manifest.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cvae_cli.bulk import manifest
from cvae_cli.bulk.chunks import Chunk, Part, cut, split_chunks
from cvae_cli.bulk.files import check_format
from cvae_cli.bulk.manifest import Gap, State
from cvae_cli.bulk.manifest_lines import Entry, has_same_noise
from cvae_cli.bulk.sampling import Sampling, make_prompts, note_repeats, prompt_conditions
from cvae_cli.bulk.writer import ChunkWriter, Job
from cvae_cli.errors import CvaeError, InterruptedRunError
from cvae_cli.events import Callback, Event, Notice, ignore
from cvae_cli.models.cvae import CVAE, Source, load_model
from cvae_cli.models.pretrained import find_model, weights_sha256
from cvae_cli.models.sampling import check_sampling
from cvae_cli.models.tensors import named_tensors, tensors_sha256
from cvae_cli.pictures.grid import check_enlargement
from cvae_cli.runtime.distributed import World, local_device, process_group
from cvae_cli.runtime.interrupt import deferred_interrupt
from cvae_cli.text.prompts import Prompts

_WORKERS = 8  # even on few cores: most of the time they wait for the disk
_MAX_WARNINGS = 20  # about prompts
_TO_CONTINUE = "run the same command again to continue"


@dataclass(frozen=True)
class GeneratedFiles:
    """What `generate_files` has done.

    Attributes:
        total: the pictures that are now in the folder.
        new: the pictures that this call has generated.
        metadata: how the pictures were made, as their files say.
    """

    folder: Path
    total: int
    new: int
    metadata: dict[str, Any]

    def paths(self) -> Iterator[Path]:
        """Yield the path of each file, in the order of the pictures."""
        return (self.folder / name for name in manifest.file_names(self.folder))


def generate_files(
    model: Source,
    prompts: Prompts | str | Sequence[str],
    folder: str | Path,
    *,
    format: str = "png",
    n: int = 1,
    scale: int = 1,
    resample: str = "nearest",
    seed: int = 0,
    temperature: float = 1.0,
    guidance: float | None = None,
    same_noise: bool = False,
    device: str = "auto",
    callback: Callback = ignore,
) -> GeneratedFiles:
    """Generate pictures for each prompt into a folder; continue where an earlier call stopped.

    Picture i of a prompt is the one that `model.sample(condition, prompts=[prompt], indices=[i], ...)` gives, to the
    bit, no matter how many processes share the work.

    Args:
        model: a bundled name, a folder, `org/name` on the Hub, or a model in memory.
        folder: takes pictures of one model and one choice of settings only.
        format: one of `pictures.files.FORMATS` for one file per picture, or `webdataset` for tar files of 1,000.
        n: pictures per prompt.
        scale: how many times as wide and as high as the model draws them the pictures are.
        resample: how they are enlarged: `nearest` keeps their pixels as squares, `lanczos` smooths them.
        seed, temperature, guidance, same_noise: see `CVAE.sample`. Further equal prompts get further pictures.
        device: see `pick_device`; each process of several takes a GPU of its own.
        callback: receives the progress, and the first notices about prompts.

    Raises:
        UsageError: no such model or format; or the model cannot use a prompt or the guidance; or the folder holds
            other pictures, cannot be written, or another process is writing into it.
        CorruptError: the list of the folder's pictures is damaged.
        InterruptedRunError: Ctrl-C.
        OSError: the disk is full, or fails.
    """
    check_format(format)
    check_sampling(n=n)
    check_enlargement(scale, resample)
    wanted = make_prompts(prompts)
    weights = _digest(model, callback)
    model = load_model(model, device=local_device(device), callback=callback)
    model.prior.check_guidance(guidance)
    if not same_noise and has_same_noise(Path(folder) / manifest.NAME):
        same_noise = True
        text = f"{folder} was begun by version 0.1, where all prompts have the same noise: it is finished that way"
        callback(Notice(text, is_warning=True))
    sampling = Sampling(seed, temperature, guidance, same_noise)
    job = Job(Path(folder), format, n, wanted.count * n, sampling, weights, scale, resample)
    note_repeats(wanted, sampling, callback)
    with process_group(model.device) as world:
        # together, so that no process leaves before all are connected
        state, *_ = world.gather_results(lambda: _read_state(model, wanted, job))
        if state.pictures < job.total or state.gaps:
            _generate_rest(model, wanted, job, state, world, _limit_warnings(callback))
    new = job.total - state.pictures + state.missing
    return GeneratedFiles(job.folder, job.total, new, job.metadata(model))


def _digest(model: Source, callback: Callback) -> str:
    """The SHA-256 of a model's weights, by which a folder of pictures knows its model."""
    if isinstance(model, CVAE):
        return tensors_sha256(named_tensors(model))
    return weights_sha256(find_model(model, callback=callback))


def _generate_rest(model: CVAE, prompts: Prompts, job: Job, state: State, world: World, callback: Callback) -> None:
    """Generate the pictures that are not finished in `state`: first those in its gaps, then those behind it."""
    rest = Gap(range(state.files, job.total), range(state.pictures, job.total))
    stages = [cut(rows, size=job.chunk_size, sharded=job.is_sharded) for rows in (state.gaps, [rest])]
    first = next(split_chunks(prompts, next(filter(None, stages)), n=job.n, world=world))
    world.gather_results(lambda: prompt_conditions(model, first.prompts))  # finds mistakes before the folder is made
    if state.gaps:
        callback(Notice(f"{state.missing:,} pictures in {job.folder} are gone or damaged, and are drawn again"))
    with ExitStack() as stack:
        if world.is_first:
            again = partial(_read_state, model, prompts, job)
            stack.enter_context(manifest.locked(job.folder, job.settings(model), state, again))
        world.barrier()  # now the folder exists
        writer = ChunkWriter(
            model,
            job,
            pool=stack.enter_context(ThreadPoolExecutor(_WORKERS)),
            interrupted=stack.enter_context(deferred_interrupt()),
            callback=callback,
        )
        done = state.pictures - state.missing
        records = (manifest.open_to_mend(job.folder, state.gaps), manifest.open_to_append(job.folder))
        try:
            for parts, opened in zip(stages, records, strict=True):
                for entry in _write_parts(parts, prompts, writer, world, opened):
                    done += entry.get("pictures", 1)
        except InterruptedRunError as error:
            if done < job.total:
                message = f"{error.message} after {done:,} of {job.total:,} pictures; {_TO_CONTINUE}"
                raise InterruptedRunError(message) from error
        except CvaeError as error:
            if done:
                error.hint = f"{error.hint or ''}\n{done:,} pictures are finished; {_TO_CONTINUE}".strip()
            raise
        world.barrier()  # now the manifest is complete


def _write_parts(
    parts: Sequence[Part],
    prompts: Prompts,
    writer: ChunkWriter,
    world: World,
    opened: AbstractContextManager[manifest.Record],
) -> Iterator[Entry]:
    """Write some parts of a job, and yield the entry of each finished file once it is in the manifest."""
    if not parts:
        return
    with opened if world.is_first else nullcontext(lambda _: None) as record:
        chunks = split_chunks(prompts, parts, n=writer.job.n, world=world)
        for entry in _write_chunks(chunks, writer, world):
            record(entry)
            yield entry


def _write_chunks(chunks: Iterable[Chunk], writer: ChunkWriter, world: World) -> Iterator[Entry]:
    """Write the chunks of all processes, and yield the manifest entries in order."""
    for chunk in chunks:
        if world.size == 1:
            yield from writer.write(chunk)  # each entry as soon as its file is finished
        else:
            for entries in world.gather_results(lambda: list(writer.write(chunk))):  # noqa: B023
                yield from entries


def _read_state(model: CVAE, prompts: Prompts, job: Job) -> State:
    """Read how far the folder has come."""
    return manifest.read_state(job.folder, job.settings(model), (prompt.text for prompt in prompts))


def _limit_warnings(callback: Callback) -> Callback:
    """Pass on each notice once, and only the first few: there may be a million prompts."""
    shown: set[str] = set()

    def show(event: Event) -> None:
        if not isinstance(event, Notice):
            return callback(event)
        if event.text in shown or len(shown) > _MAX_WARNINGS:
            return None
        shown.add(event.text)
        too_many = Notice("more warnings about prompts are left out", is_warning=True)
        return callback(event if len(shown) <= _MAX_WARNINGS else too_many)

    return show
