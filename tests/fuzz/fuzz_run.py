"""Runs cases one after another in this process, and judges what each has done: `fuzz_run.py SEEDS WORK KIND NUMBER...`

A case that hangs is ended by the system (5 seconds of processor time, 60 by the clock), and this process with it; the
report then lacks the end of the case, and the test goes on behind it.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import fuzz_cases as cases
import fuzz_library

_CPU_SECONDS, _CLOCK_SECONDS = 5, 60
_MEMORY = 1 << 30  # bytes above what the process has before
_RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ALLOWED = {0, 2, 3, 4}


def run_cases(seeds: str, work: str, kind: str, numbers: list[int]) -> None:
    """Run cases of one kind, and append a line of JSON for each to `report` in the folder `work`."""
    report = Path(work, "report")
    report.unlink(missing_ok=True)
    folder = Path(work, "case")
    limit = _data_bytes() + _MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    home = os.environ["CVAE_HOME"]
    for number in numbers:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        os.chdir(folder)
        os.environ["CVAE_HOME"] = home
        with report.open("a") as file:
            print(json.dumps({"number": number}), file=file)
        signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, _CLOCK_SECONDS)
        started = time.process_time()
        command = cases.CASES[kind](Path(seeds), folder, random.Random(f"{kind} {number}"))
        before = {path.name for path in folder.rglob("*")}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        code, stdout, stderr = _run(command)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        faults = _judge(folder, before, command, code, stdout, stderr)
        if grown > _MEMORY // 1024:
            faults.append(f"{grown // 1024} MB")
        with report.open("a") as file:
            line = {"number": number, "code": code, "faults": faults, "seconds": time.process_time() - started}
            print(json.dumps(line | ({"command": command, "stderr": stderr[-2000:]} if faults else {})), file=file)


def _judge(folder: Path, before: set[str], command: list[str], code: int, stdout: str, stderr: str) -> list[str]:
    """Return what is wrong with the end of a command."""
    faults = []
    if code not in _ALLOWED:
        faults.append(f"exit code {code}")
    if "Traceback" in stderr or (code and not any(line.startswith("cvae: ") for line in stderr.splitlines())):
        faults.append("no clear line")
    if raw := _RAW.search(stderr + stdout):
        faults.append(f"raw {raw[0]!r}")
    if drafts := [path.name for path in folder.rglob("*.tmp") if path.name not in before]:
        faults.append(f"left {drafts[0]}")
    picture = folder / "drawn.png"
    if picture.is_file() and not picture.read_bytes().endswith(b"IEND\xaeB`\x82"):
        faults.append("half a picture")
    if "drawn.png" in command and picture.is_file() != (code == 0):
        faults.append("a picture and an error" if code else "neither a picture nor an error")
    return faults


def _run(command: list[str]) -> tuple[int, str, str]:
    """Run a command in this process. Return its exit code and what it wrote."""
    paths = [Path("..", name) for name in ("stdout", "stderr")]
    for number, name, path in zip((1, 2), ("stdout", "stderr"), paths, strict=True):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
        errors = "backslashreplace" if name == "stderr" else "strict"
        setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors=errors, closefd=False))
    try:
        kind, _, function = command[0].partition(":")
        code = _library(function, command[1:]) if kind == "library" else _main(command)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return code, *(path.read_bytes().decode(errors="surrogateescape") for path in paths)


def _main(command: list[str]) -> int:
    from cvae_cli.app import main

    sys.argv = ["cvae", *command]
    main()
    return 0


def _library(function: str, arguments: list[str]) -> int:
    """Call a function of `fuzz_library`, and end as a command does."""
    from cvae_cli import console
    from cvae_cli.errors import CvaeError

    console.configure()
    try:
        with console.events("working") as callback:
            getattr(fuzz_library, function)(callback, *arguments)
    except CvaeError as error:
        console.error(error)
        return int(error.exit_code)
    return 0


def _data_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmData:")[1].split()[0])


if __name__ == "__main__":
    run_cases(*sys.argv[1:4], [int(number) for number in sys.argv[4:]])
