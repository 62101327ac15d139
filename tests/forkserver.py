"""Runs commands in forks of a process that has already imported torch and the package, which takes seconds.

Each child is a process of its own, with its own folder, environment and standard streams. Only the imports are shared.
What a command imports, and how long it takes to start, is tested elsewhere, with the installed script.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import sys
import time
import traceback
from typing import Any

EXIT_OF_A_DEFECT = 70


def serve() -> None:
    """Read lists of orders, one line of JSON each, from stdin; run those of a list at once; write their exit codes."""
    import torchmetrics.functional.image
    import torchvision  # noqa: F401

    import cvae_cli

    for module in pkgutil.walk_packages(cvae_cli.__path__, "cvae_cli."):
        if module.name != "cvae_cli.__main__":
            importlib.import_module(module.name)
    # huggingface_hub reads the environment when it is imported, so each child must import it itself
    assert "huggingface_hub" not in sys.modules
    gc.freeze()  # the children do not search the shared objects for garbage, which would copy their pages
    del torchmetrics
    for line in sys.stdin:
        orders = json.loads(line)
        children = [_fork(order) for order in orders]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


def _fork(order: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(_run(order))
    return child


def _run(order: dict[str, Any]) -> int:
    """In the child: become the command."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    for number, (path, flags) in enumerate(zip(order["streams"], (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
        os.dup2(os.open(path, flags), number)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        errors = "backslashreplace" if name == "stderr" else "surrogateescape" if name == "stdin" else "strict"
        setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors=errors, closefd=False))
    sys.argv = order["argv"]
    if order.get("slow"):
        _slow_down(**order["slow"])
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


def _slow_down(function: str, seconds: float) -> None:
    """Let `module:name` or `module:class.name` sleep before it works."""
    owner, _, name = function.replace(":", ".").rpartition(".")
    owner = pkgutil.resolve_name(owner)
    quick = getattr(owner, name)

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(seconds)
        return quick(*arguments, **options)

    setattr(owner, name, slow)


if __name__ == "__main__":
    serve()
