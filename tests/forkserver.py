"""Starts Python programs as forks of a process that has already imported torch and the package, which takes seconds.

`serve SOCKET INTERPRETER COMMAND [TEST...]` is that process. `run SOCKET KIND ARGUMENT...` stands in for a program: it
hands its standard streams, environment, folder, limits and network namespace to the server, whose fork becomes the
program, and it passes on signals and the exit status. It imports almost nothing, so a command costs a tenth of a
second. Each fork is a process of its own; only the imports are shared. What a command imports, and how long it takes to
start, is tested elsewhere, with the installed script.

KIND is `cvae`, the installed command, or `python`, an interpreter that knows -c, -m and a script.

The more a process has imported, the longer its forks take to start and to end. So there is a second one, at
SOCKET.large, which has imported what few programs need, such as torchmetrics. The arguments say which these are.

With TESTs, a third process imports their modules as pytest does, and serves at SOCKET.tests. The workers of xdist are
its forks, so that the tests are imported once and not once for each worker.
"""

import array
import contextlib
import marshal
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Mapping

EXIT_OF_A_DEFECT = 70
_LIMITS = [resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS]
_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH]
_SIGNALS += [signal.SIGTSTP, signal.SIGCONT]
KILL = signal.SIGUSR2
"""Kills a program as SIGKILL does, which its stand-in cannot pass on: once the stand-in has ended, so has the fork."""
_PASSED_ON_AS = {signal.SIGTSTP: signal.SIGSTOP, KILL: signal.SIGKILL}  # a stand-in cannot catch these
_SIGNALS.append(KILL)


# ---- the program that stands in ------------------------------------------------------------------------------


_LARGE = ["evaluate", "reconstruct", "latents", "plot", "explore", "export"]
_LARGE += ["clip", "coco", "compile", "features", "fuzz"]
"""What is said by the arguments of programs that need much: commands that measure or draw plots, open_clip, a compiler.
"""


def connect(
    address: str, kind: str, arguments: list[str], env: dict[bytes, bytes], cwd: str, streams: dict[int, int]
) -> socket.socket:
    """Order a program. The connection brings its process id, and at its end its exit status.

    Args:
        streams: the file descriptors of its standard streams, by their number; those that are absent are closed.
    """
    umask = os.umask(0o022)
    os.umask(umask)
    order = {
        "kind": kind,
        "arguments": [os.fsencode(argument) for argument in arguments],
        "env": env,
        "cwd": cwd,
        "umask": umask,
        "limits": [resource.getrlimit(limit) for limit in _LIMITS],
        "process": os.getpid(),
        "network": _network(),
        "ignored": [int(number) for number in _SIGNALS if signal.getsignal(number) == signal.SIG_IGN],
        "open": list(streams),
    }
    if any(word in argument for argument in arguments for word in _LARGE):
        address += ".large"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.connect(address)
    content = marshal.dumps(order)  # to import json takes longer
    passed = array.array("i", streams.values())
    server.sendmsg([struct.pack("<Q", len(content))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
    server.sendall(content)
    return server


def _network() -> str | None:
    """Return the name of the network namespace of this process, where Linux has such."""
    try:
        return os.readlink("/proc/self/ns/net")
    except OSError:
        return None


def receive(server: socket.socket) -> int:
    """Receive the process id, or the exit status; that of a program whose server has gone is that of a kill."""
    number = server.recv(4, socket.MSG_WAITALL)
    return struct.unpack("<i", number)[0] if len(number) == 4 else -signal.SIGKILL


def run(address: str, kind: str, arguments: list[str]) -> int:
    """Let the server's fork do the work, and end as it ends."""
    open_streams = [number for number in (0, 1, 2) if _is_open(number)]
    while os.open(os.devnull, os.O_RDWR) < 3:
        pass  # nothing below takes the number of a closed stream
    caught: list[int] = []
    waiting, waking = os.pipe()
    os.set_blocking(waking, False)
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: (caught.append(number), os.write(waking, b"x")))
    streams = {number: number for number in open_streams}
    with connect(address, kind, arguments, dict(os.environb), os.getcwd(), streams) as server:
        for number in open_streams:
            os.close(number)  # a reader sees the end of a stream when the fork has ended
        process = receive(server)
        while True:
            ready, _, _ = select.select([server, waiting], [], [])
            if waiting in ready:
                os.read(waiting, 1)
            while caught:
                try:
                    number = caught.pop(0)
                    os.kill(process, _PASSED_ON_AS.get(number, number))
                except ProcessLookupError:
                    break
            if server in ready:
                return receive(server)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _end(code: int) -> None:
    """End as the fork ended: with its exit status or by its signal."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


# ---- the server ----------------------------------------------------------------------------------------------


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without settings of the package and its libraries; no network for the Hub, no colours."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("CVAE_", "HF_", "FORCE_"))}
    return kept | {
        "HF_HOME": os.path.join(os.path.dirname(__file__), "data", "no-hub"),  # an empty cache: there is no such folder
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }


def serve(address: str, interpreter: str, command: str, *tests: str) -> None:
    """Accept orders until stdin ends. Each becomes a fork; a fork whose stand-in has gone is killed.

    The socket appears at its address when the server is ready.
    """
    import gc

    gc.disable()  # imports leave little garbage, and to search for it again and again takes seconds
    import PIL.Image
    import torch  # noqa: F401
    import typer.main  # noqa: F401

    PIL.Image.preinit()
    os.fsync = os.fstat  # type: ignore[assignment]  # no test cuts the power, and waiting for the disk takes long
    is_large = os.fork() == 0
    if is_large:
        import torchmetrics.functional.image  # noqa: F401
        import torchvision  # noqa: F401

        if tests and os.fork() == 0:
            _import_tests(list(tests))
            _listen(f"{address}.tests")
    sys.executable = interpreter  # so that what a program starts is a fork, too
    sys.argv = [command]
    _import_package(_SELDOM if is_large else [])
    _listen(f"{address}.large" if is_large else address)


def _import_tests(tests: list[str]) -> None:
    """Import the modules of tests as a worker of xdist does, which finds them imported."""
    import pytest

    class NoTests:
        """A plugin: the modules are what is wanted."""

        def pytest_pycollect_makeitem(self) -> list[pytest.Item]:
            return []

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        pytest.main([*tests, "--collect-only", "-n0", "-s", "-pno:cacheprovider"], plugins=[NoTests()])


_LATER = [
    "PIL.ImageDraw",
    "PIL.ImageFont",
    "encodings.idna",
    "encodings.utf_8_sig",
    "huggingface_hub.repocard",
    "numpy.ma",
    "pydantic.dataclasses",
    "torch.distributed.elastic.rendezvous.c10d_rendezvous_backend",
    "torch.distributed.elastic.rendezvous.dynamic_rendezvous",
    "torch.distributed.launcher.api",
    "torch.utils.flop_counter",
    "xxhash",
]
"""Modules that commands import when they need them."""

_SELDOM = ["matplotlib.backends.backend_agg", "open_clip", "sklearn.decomposition", "sklearn.manifold"]
_SELDOM += ["torch._inductor.compile_fx", "torch.utils.serialization.config"]
"""Modules that few commands need, and that are large."""

_hub_modules: list = []


def _import_package(more: list[str]) -> None:
    """Import what commands import, and more."""
    import functools
    import importlib
    import pkgutil

    import typer.main

    settings = clean(os.environ)
    os.environ.clear()
    os.environ.update(settings)
    for name in _LATER + more:
        importlib.import_module(name)
    from huggingface_hub import CommitOperationAdd, HfApi, scan_cache_dir, snapshot_download  # noqa: F401

    import cvae_cli
    from cvae_cli.app import app

    for module in pkgutil.walk_packages(cvae_cli.__path__, "cvae_cli."):
        if module.name != "cvae_cli.__main__":
            importlib.import_module(module.name)
    typer.main.get_command = functools.cache(typer.main.get_command)
    _prepare_options(typer.main.get_command(app))  # the options of all commands are collected once
    _hub_modules.extend(module for name, module in sys.modules.items() if name.partition(".")[0] == "huggingface_hub")
    # torchrun asks often, and `inspect.stack` seeks the lines of code of all callers
    dynamic_rendezvous = sys.modules["torch.distributed.elastic.rendezvous.dynamic_rendezvous"]
    dynamic_rendezvous.get_method_name = lambda depth=2: sys._getframe(depth).f_code.co_name
    _use_large_pages()


def _prepare_options(command) -> None:
    """Let a command and those below it build what checks the values of their options."""
    for option in command.get_params(command.context_class(command)):
        if hasattr(option, "get_runtime_param"):  # not in every version of typer
            option.get_runtime_param()
    for each in getattr(command, "commands", {}).values():
        _prepare_options(each)


def _listen(address: str) -> None:
    import gc
    import weakref

    gc.enable()
    gc.set_threshold(20_000, 20, 20)  # what a program of the tests leaves behind is little
    gc.collect()
    gc.freeze()  # the forks do not search the shared objects for garbage, which would copy their pages
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # nor do they take imports to pieces at their end
    waiting, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    forks: dict[socket.socket, int] = {}
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{address}.new")
    listener.listen(64)
    os.rename(f"{address}.new", address)
    while True:
        ready, _, _ = select.select([sys.stdin, listener, waiting, *forks], [], [])
        if sys.stdin in ready:
            break
        if listener in ready:
            connection, _ = listener.accept()
            with contextlib.suppress(OSError, struct.error, ValueError):  # the stand-in was killed as it sent its order
                forks[connection] = _start(connection)
        for connection in set(ready) & set(forks):
            os.killpg(forks[connection], signal.SIGKILL)
        if waiting in ready:
            os.read(waiting, 4096)
        for connection, process in list(forks.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                with contextlib.suppress(OSError):
                    connection.sendall(struct.pack("<i", os.waitstatus_to_exitcode(status)))
                connection.close()
                del forks[connection]
    for process in forks.values():
        os.killpg(process, signal.SIGKILL)
    os._exit(0)  # to take the imported modules to pieces would take seconds


def _use_large_pages() -> None:
    """Replace small pages of memory by large ones where Linux can: a fork copies the table of pages, and drops it."""
    import ctypes

    collapse, large = 25, 2 << 20  # MADV_COLLAPSE
    library = ctypes.CDLL(None)
    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps.readlines():
            span, permissions, _, _, inode, *_ = line.split()
            start, end = (int(address, 16) for address in span.split("-"))
            if inode == "0" and permissions == "rw-p":
                for page in range(-(-start // large) * large, end // large * large, large):
                    library.madvise(ctypes.c_void_p(page), ctypes.c_size_t(large), collapse)


def _start(connection: socket.socket) -> int:
    """Start the program of one order and send its process id."""
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    order = marshal.loads(connection.recv(struct.unpack("<Q", size)[0], socket.MSG_WAITALL))
    child = os.fork()
    if child == 0:
        os._exit(_become(order, streams))
    with contextlib.suppress(OSError):
        os.setpgid(child, child)  # here too, so that its group exists before anyone kills it
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(OSError):
        connection.sendall(struct.pack("<i", child))
    return child


def _become(order: dict, streams: list[int]) -> int:
    """In the fork: become the program."""
    import atexit
    import traceback

    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # a signal to the group of the stand-in arrives once, through it
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in order["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    if order["network"] != _network():
        _enter_network(order["process"])
    os.chdir(order["cwd"])
    os.umask(order["umask"])
    for number in (0, 1, 2):
        os.close(number)
    for number, stream in zip(order["open"], streams, strict=True):
        os.dup2(stream, number)
    os.closerange(3, 1024)  # the server's own, and those of the other programs
    for limit, values in zip(_LIMITS, order["limits"], strict=True):
        resource.setrlimit(limit, values)
    settings = _hub_settings()
    os.environ.clear()
    os.environb.update(order["env"])
    if _hub_settings() != settings:
        _read_hub_settings()
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        errors = "backslashreplace" if name == "stderr" else "surrogateescape" if name == "stdin" else "strict"
        stream = os.fdopen(number, mode, encoding="utf-8", errors=errors, closefd=False) if _is_open(number) else None
        setattr(sys, name, stream)
    arguments = [os.fsdecode(argument) for argument in order["arguments"]]
    try:
        _call(order["kind"], arguments)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        code = EXIT_OF_A_DEFECT
    except BaseException:
        traceback.print_exc()
        code = 1 if order["kind"] == "python" else EXIT_OF_A_DEFECT
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    return code


def _enter_network(process: int) -> None:
    """Enter the network namespace of another process."""
    import ctypes

    with open(f"/proc/{process}/ns/net") as namespace:
        assert ctypes.CDLL(None).setns(namespace.fileno(), 0) == 0, "cannot enter a network namespace"


def _hub_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("HF_", "HUGGING", "XDG_"))}


def _read_hub_settings() -> None:
    """Let huggingface_hub read its settings again, as it does when it is imported, which takes long."""
    import importlib

    import huggingface_hub

    constants = importlib.reload(huggingface_hub.constants)
    for module in _hub_modules:
        copies = vars(module).keys() & vars(constants).keys()
        vars(module).update({copy: vars(constants)[copy] for copy in copies if copy.isupper()})
    huggingface_hub.hf_api.api.endpoint = constants.ENDPOINT


def _call(kind: str, arguments: list[str]) -> None:
    """Run the command, or what an interpreter would run."""
    import runpy

    if kind == "cvae":
        sys.argv = [sys.argv[0], *arguments]
        from cvae_cli.__main__ import main

        main()
        return
    is_safe_path = arguments[0] == "-P"
    while arguments[0] in {"-B", "-P", "-u"}:
        arguments = arguments[1:]
    sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[:0] = [] if is_safe_path else [""]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        assert not arguments[0].startswith("-"), f"the interpreter of the tests does not know {arguments[0]}"
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        _end(run(sys.argv[2], sys.argv[3], sys.argv[4:]))
