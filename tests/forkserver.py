"""Run the command in forks of a process that has already imported torch, which takes seconds in a new process.

Each child is a separate process with its own folder, environment and standard streams; only the imports are shared.
Other tests check with the installed script what a command imports and how long it takes to start.
"""

import atexit
import json
import os
import sys
import traceback
from typing import Any

EXIT_OF_A_DEFECT = 70


def serve() -> None:
    """Run a child for each order (a line of JSON on stdin), and print its exit status as a line on stdout."""
    import torch
    import torchmetrics.functional.image
    import torchvision  # noqa: F401

    import cvae_cli.app  # noqa: F401

    del torch, torchmetrics
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_run(order))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(order: dict[str, Any]) -> int:
    """Run the command in the child, and return its exit code."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    for number, (path, flags) in enumerate(zip(order["streams"], (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
        os.dup2(os.open(path, flags), number)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        errors = "backslashreplace" if name == "stderr" else "surrogateescape" if name == "stdin" else "strict"
        setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors=errors, closefd=False))
    sys.argv = order["argv"]
    try:
        from cvae_cli.app import main

        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = EXIT_OF_A_DEFECT
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
