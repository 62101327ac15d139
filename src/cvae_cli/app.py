"""The Typer application, and how every exception becomes a message and an exit code."""

import errno
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from cvae_cli import console
from cvae_cli.commands import (
    cache,
    completion,
    doctor,
    download_weights,
    evaluate,
    explore,
    generate,
    latents,
    models,
    models_change,
    plot,
    reconstruct,
    train,
)
from cvae_cli.commands.command import Command, Group
from cvae_cli.commands.spoken import in_our_words
from cvae_cli.errors import CvaeError, ExitCode, OutOfMemoryError, ReaderLeftError, UsageError
from cvae_cli.runtime import launch, streams
from cvae_cli.version import __version__

OVERVIEW = """\
cvae trains, samples and measures conditional variational autoencoders.

  cvae generate "two dogs on a beach"        generate a picture with a bundled model
  cvae train folder:my-pictures              train a model on your own pictures
  cvae reconstruct photo.jpg --prompt "..."  encode a picture and decode it again
  cvae evaluate                              measure a model
  cvae plot runs/*                           draw the loss curves of trainings
  cvae latents                               look into the latent space of models
  cvae explore                               play with models on a page in your browser
  cvae download-weights --list               list the weights that can be downloaded
  cvae models                                list, verify, remove and share models
  cvae cache                                 list, verify and clear what was downloaded or prepared
  cvae doctor                                look at the installation, for a report about a problem

To see the options of a command:  cvae COMMAND --help"""


app = typer.Typer(
    name="cvae",
    cls=Group,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train", cls=Command, epilog=train.EPILOG)(train.train)
app.command("reconstruct", cls=Command, epilog=reconstruct.EPILOG)(reconstruct.reconstruct)
app.command("generate", cls=Command, epilog=generate.EPILOG)(generate.generate)
app.command("evaluate", cls=Command, epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command("latents", cls=Command, epilog=latents.EPILOG)(latents.latents)
app.command("plot", cls=Command, epilog=plot.EPILOG)(plot.plot)
app.command("explore", cls=Command, epilog=explore.EPILOG)(explore.explore)
app.command("download-weights", cls=Command, epilog=download_weights.EPILOG)(download_weights.download_weights)
app.command("doctor", cls=Command, epilog=doctor.EPILOG)(doctor.doctor)


models.app.command("remove", cls=Command, epilog=models_change.REMOVE_EPILOG)(models_change.remove)
models.app.command("push", cls=Command, epilog=models_change.PUSH_EPILOG)(models_change.push)
app.add_typer(models.app, name="models")
app.add_typer(cache.app, name="cache")


def _print_version(wanted: bool) -> None:
    if wanted:
        console.result(None, f"cvae {__version__}")
        raise typer.Exit


def _shell_option(do: Callable[[str | None], None], text: str) -> Any:
    """An option that does something for a shell instead of running a command."""
    return typer.Option(callback=do, is_eager=True, help=f"{text}  [default: this shell]", metavar="SHELL")


@app.callback(invoke_without_command=True, epilog="Exit codes:\n\n\b\n" + "\n".join(
    f"{code:>5}  {code.describe()}" for code in ExitCode
))  # fmt: skip
def cvae(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    install_completion: Annotated[
        str | None, _shell_option(completion.install, "Make Tab complete cvae in bash, zsh or fish.")
    ] = None,
    show_completion: Annotated[
        str | None, _shell_option(completion.show, "Print what --install-completion writes.")
    ] = None,
) -> None:
    """Train, sample and measure conditional variational autoencoders."""
    if context.invoked_subcommand is None:
        console.result(None, console.fit(OVERVIEW).split("\n"))


def main() -> NoReturn:
    """Run `cvae` and exit. This is the only place that exits."""
    streams.make_usable()
    console.take_python_warnings()
    if (recorded := launch.recorded_exit_code()) is not None:
        sys.exit(recorded)
    try:
        code = _run()
    except ReaderLeftError as error:
        code = error.exit_code
    launch.record_exit_code(code)
    streams.finish()
    sys.exit(code)


def _run() -> int:
    """Run `cvae`, say what went wrong, and return the exit code."""
    try:
        return app(standalone_mode=False) or ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if console.debug:
            console.traceback()
        known = _as_cvae_error(error)
        console.error(known)
        return known.exit_code


def _as_cvae_error(error: Exception) -> CvaeError:
    """Return the error that the user sees for any exception."""
    if isinstance(error, CvaeError):
        return error
    if hasattr(error, "format_message"):  # an error of the parser, whether typer uses click or a copy of it
        command = getattr(getattr(error, "ctx", None), "command_path", "cvae")
        return UsageError(in_our_words(error), hint=f"see  {command} --help")
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text:
        return OutOfMemoryError("out of memory", hint="try fewer pictures, or a smaller --batch-size")
    if "failed to map segment" in text or "can't start new thread" in text:  # ulimit -v or -u, while torch is imported
        return OutOfMemoryError("not enough memory or processes for torch", hint="see  ulimit -v; ulimit -u")
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return CvaeError("too many open files", hint="raise the limit:  ulimit -n 1024")
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CvaeError(f"no space left on the device{_where(error)}; nothing half-written was kept")
    if isinstance(error, PermissionError):
        return UsageError(f"permission denied{_where(error)}")
    if isinstance(error, OSError):
        return CvaeError(f"{(error.strerror or type(error).__name__).lower()}{_where(error)}")
    first_line = text.splitlines()[0] if text else ""
    return CvaeError(
        f"unexpected {type(error).__name__}: {first_line}",
        hint="this is a bug in cvae: run again with --debug and report it",
    )


def _where(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""
