"""The Typer application, and the one table from exceptions to exit codes."""

import errno
import sys
from typing import Annotated, NoReturn

import typer

from cvae_cli import console
from cvae_cli.commands import download_weights, evaluate, generate, reconstruct, train
from cvae_cli.errors import CvaeError, ExitCode, OutOfMemoryError, UsageError
from cvae_cli.runtime import launch
from cvae_cli.version import __version__

OVERVIEW = """\
cvae draws, trains and measures conditional variational autoencoders.

  cvae generate "two dogs on a beach"        draw now, with a model that came along
  cvae train folder:my-pictures              teach one your own pictures
  cvae reconstruct photo.jpg                 what a model makes of a picture
  cvae evaluate                              measure a model
  cvae download-weights --list               what can be fetched, and what is here

Each command explains itself:  cvae COMMAND --help"""

app = typer.Typer(
    name="cvae",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train", epilog=train.EPILOG)(train.train)
app.command("reconstruct", epilog=reconstruct.EPILOG)(reconstruct.reconstruct)
app.command("generate", epilog=generate.EPILOG)(generate.generate)
app.command("evaluate", epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command("download-weights", epilog=download_weights.EPILOG)(download_weights.download_weights)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.result(None, f"cvae {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog="Exit codes:\n\n\b\n" + "\n".join(
    f"{code:>5}  {code.describe()}" for code in ExitCode
))  # fmt: skip
def cvae(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Draw, train and measure conditional variational autoencoders."""
    if context.invoked_subcommand is None:
        console.result(None, OVERVIEW)


def main() -> NoReturn:
    """Run `cvae`; every way it can end is here."""
    if (recorded := launch.recorded_exit_code()) is not None:
        sys.exit(recorded)
    try:
        code = app(standalone_mode=False)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:
        if console.debug:
            import traceback

            traceback.print_exc()
        known = _as_cvae_error(error)
        console.error(known)
        code = known.exit_code
    launch.record_exit_code(code or ExitCode.OK)
    sys.exit(code or ExitCode.OK)


def _as_cvae_error(error: Exception) -> CvaeError:
    if isinstance(error, CvaeError):
        return error
    if hasattr(error, "format_message"):  # the parser's own, whichever click this typer carries
        command = getattr(getattr(error, "ctx", None), "command_path", "cvae")
        return UsageError(error.format_message().rstrip("."), hint=f"see  {command} --help")
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text:
        return OutOfMemoryError("out of memory", hint="try fewer pictures, or a smaller --batch-size")
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CvaeError(f"no space left on the device{_where(error)}; nothing half-written was kept")
    if isinstance(error, PermissionError):
        return UsageError(f"permission denied{_where(error)}")
    if isinstance(error, OSError):
        return CvaeError(f"{(error.strerror or type(error).__name__).lower()}{_where(error)}")
    first_line = text.splitlines()[0] if text else ""
    return CvaeError(
        f"unexpected {type(error).__name__}: {first_line}",
        hint="a defect in cvae: run again with --debug and report it",
    )


def _where(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""
