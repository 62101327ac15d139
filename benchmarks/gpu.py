"""Run everything that a GPU changes, and print one table of what was measured, what agreed and what failed.

    python benchmarks/gpu.py [--quick] [--device cuda] [--only NAME] [--json FILE]

It needs no network and no data set: it makes its pictures itself. Rows appear as they are measured. With `--quick` it
ends after 80 seconds, whatever is not finished by then; without, it takes up to ten minutes. Each step has a time limit
of its own and runs apart from this process, so that one which fails or hangs does not end the others: its row says
FAILED, and why. The exit code is 1 if a row does, or if one is not finished.

- train: steps of `cvae train` with bf16 and fp32, in the recipe's batches and in large ones. "of peak" is the share of
  the speed of a large matrix product in the same precision. Peak memory is the GPU's.
- compile: the same with `training.compile` (CUDA graphs), and whether its losses are those of eager steps.
- generate, evaluate, sets, clip, resume: whether a GPU gives what the CPU gives, and how fast.
- interrupt, processes: the commands: Ctrl-C within a step, and `--gpus 2` where there are two.
- tests: the tests that need a GPU (`pytest -m gpu`), if they are beside this folder.

Without a GPU, or with `--device cpu`, the same steps run in small sizes, and compare the CPU with itself. That shows
that the script works, and measures nothing; the table has no figures then.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

LANES = [
    ["machine", "train fashion-concat", "train fashion", "train scenes", "train prior"],
    ["compile"],
    ["generate", "evaluate", "sets"],
    ["clip", "resume"],
    ["interrupt", "processes"],
    ["tests"],
]
"""The steps. The first lane is measured alone; with `--quick` the others run beside each other."""

LIMITS = {
    "generate": (45, 120),
    "sets": (45, 120),
    "clip": (45, 120),
    "compile": (45, 240),
    "interrupt": (50, 120),
    "processes": (40, 120),
    "tests": (45, 240),
}
SLOW_ON_CPU = ["compile"]
DEFAULT_LIMIT = (30, 90)  # seconds: of a step with --quick, and without
QUICK = 78  # seconds after which --quick starts or waits for nothing more
UNFINISHED = "not finished: the time is up; without --quick there is more"
START = 60  # seconds that a process may take to import torch and open the GPU

NO_GPU = "no GPU: nothing is measured; the steps run in small sizes, to show that they work"

COLUMNS = {"step": 22, "what": 34, "images/s": 10, "of peak": 8, "GB": 7, "difference": 11, "result": 0}
FIGURES = {"images/s", "of peak", "GB"}
"""The columns that say what a GPU does, and are left empty without one."""


@dataclass(frozen=True)
class Options:
    """What each step gets to know."""

    device: str
    quick: bool
    folder: str

    @property
    def together(self) -> bool:
        """Whether lanes run beside each other."""
        return self.quick and self.device != "cpu"


class Table:
    """The table: prints each row as it comes, and keeps the file of `--json` up to date."""

    def __init__(self, file: Path | None, *, measures: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        self._file, self._measures, self._lock = file, measures, threading.Lock()
        self._print(dict(zip(COLUMNS, COLUMNS, strict=True)))

    def add(self, step: str, **row: Any) -> None:
        if not self._measures:
            row = {column: value for column, value in row.items() if column not in FIGURES}
        with self._lock:
            self.rows.append({"step": step, **row})
            self._print({"step": step, **row})
            if self._file is not None:
                self._file.write_text(json.dumps(self.rows, indent=1) + "\n")

    def _print(self, row: dict[str, Any]) -> None:
        cells = [_text(row.get(column, "")).ljust(width) for column, width in COLUMNS.items()]
        print(" ".join(cells).rstrip(), flush=True)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def work(connection: Connection, names: Sequence[str], options: Options) -> None:
    """Run steps in this process, and send what they find."""
    os.setsid()  # so that whatever a step starts can be ended with it,
    threading.Thread(target=end_with_parent, daemon=True).start()  # and is not reached by Ctrl-C
    threads = max(1, (os.cpu_count() or 1) // len(LANES)) if options.together else None  # the lanes share the cores
    if options.device == "cpu":
        threads = 1  # small steps gain nothing from more, and threads that wait for each other lose much to other work
    if threads:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    import gpu_steps

    connection.send("ready")
    connection.recv()
    for name in names:
        connection.send(("start", name, None))
        failure = None
        try:
            for row in gpu_steps.find(name)(options):
                connection.send(("row", name, row))
        except Exception as error:
            failure = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        connection.send(("end", name, failure))
        if failure and not gpu_steps.still_works(options.device):
            return  # after some errors of CUDA a process can do nothing more


def end_with_parent() -> None:
    """Wait until the process that started this one ends, then kill this one and whatever it has started."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)


class Lane(threading.Thread):
    """Steps one after another, in a process that is started anew after one that hangs or dies."""

    def __init__(self, names: Sequence[str], options: Options, table: Table, deadline: float) -> None:
        super().__init__(daemon=True)
        self._names, self._options, self._table, self._deadline = list(names), options, table, deadline
        self._patience = 10 if options.device == "cpu" else 1  # a processor may be busy with other things
        self._prepared: tuple[BaseProcess, Connection] | None = None

    def prepare(self) -> None:
        """Start the process, which imports what the steps need, and then waits."""
        if self._names:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, list(self._names), self._options))
            process.start()
            theirs.close()
            self._prepared = process, ours

    def wait_until_prepared(self) -> None:
        if self._prepared is not None:
            _, connection = self._prepared
            connection.poll(START * self._patience)

    def run(self) -> None:
        while self._names:
            if time.monotonic() < self._deadline:
                self._run_process()
            else:
                self._table.add(self._names.pop(0), result=UNFINISHED)
        if self._prepared is not None:
            _end(self._prepared[0])

    def _run_process(self) -> None:
        """Run the steps that are left in a process, up to the first that ends it."""
        if self._prepared is None:
            self.prepare()
        assert self._prepared is not None
        (process, connection), self._prepared = self._prepared, None
        try:
            limit = START * self._patience
            with contextlib.suppress(EOFError, BrokenPipeError):  # a process that has died is told of below
                if connection.poll(min(limit, max(0.0, self._deadline - time.monotonic()))):
                    connection.recv()
                    connection.send("go")
            while self._names:
                end = min(time.monotonic() + limit, self._deadline)
                if not self._follow(connection, end):
                    return
                limit = 5 * self._patience  # the next step starts at once, unless the process has ended
        finally:
            _end(process)

    def _follow(self, connection: Connection, end: float) -> bool:
        """Follow a step to its end; return whether the process can go on."""
        name = self._names[0]
        while True:
            try:
                if not connection.poll(max(0.0, end - time.monotonic())):
                    reason = UNFINISHED if end == self._deadline else "FAILED: took too long, and was ended"
                    self._table.add(self._names.pop(0), result=reason)
                    return False
                kind, _, content = connection.recv()
            except EOFError:
                self._table.add(self._names.pop(0), result="FAILED: its process died")
                return False
            if kind == "start":
                seconds = LIMITS.get(name, DEFAULT_LIMIT)[0 if self._options.quick else 1]
                end = min(time.monotonic() + seconds * self._patience, self._deadline)
            elif kind == "row":
                self._table.add(name, **content)
            else:
                self._names.pop(0)
                if content:
                    self._table.add(name, result=f"FAILED: {content}")
                return True


def _end(process: BaseProcess) -> None:
    """End the process of a lane, and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.kill()
    process.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cuda, or cpu to try the script; default: cuda where there is a GPU")
    parser.add_argument("--quick", action="store_true", help="end after 80 seconds on a GPU")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this step; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file too")
    arguments = parser.parse_args()
    if arguments.device is None:
        import torch

        arguments.device = "cuda" if torch.cuda.is_available() else "cpu"
    known = [name for lane in LANES for name in lane]
    if unknown := [name for name in arguments.only or [] if name not in known]:
        parser.error(f"no step {unknown[0]!r}; steps: {', '.join(known)}")
    on_gpu = arguments.device != "cpu"
    left_out = [] if on_gpu or arguments.only else SLOW_ON_CPU
    lanes = [[name for name in lane if name in (arguments.only or known) and name not in left_out] for lane in LANES]

    began = time.monotonic()
    if not on_gpu:
        print(NO_GPU)
    deadline = began + QUICK if arguments.quick and on_gpu else float("inf")
    table = Table(arguments.json, measures=on_gpu)
    for name in left_out:
        table.add(name, result=f"not run: it takes minutes on a CPU (--only {name} runs it)")
    with tempfile.TemporaryDirectory(prefix="cvae-gpu-", ignore_cleanup_errors=True) as folder:
        options = Options(arguments.device, arguments.quick, folder)
        first, *others = [Lane(names, options, table, deadline) for names in lanes]
        if options.together:  # they import now, and not while the first lane is measured or after it
            for lane in (first, *others):
                lane.prepare()
            for lane in (first, *others):
                lane.wait_until_prepared()
        first.start()
        first.join()
        for lane in others:
            lane.start()
            if not options.together:
                lane.join()
        for lane in others:
            lane.join()
    results = [str(row["result"]) for row in table.rows]
    failed = sum(result.startswith("FAILED") for result in results)
    unfinished = results.count(UNFINISHED)
    counts = f"{len(results)} rows, {failed} failed" + (f", {unfinished} not finished" if unfinished else "")
    print(f"{counts}, {time.monotonic() - began:.0f} s", flush=True)
    if not on_gpu:
        print(NO_GPU)
    return 1 if failed or unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
