"""`cvae doctor`: what a report about a problem needs to say."""

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.errors import CvaeError

EPILOG = """\b
Examples:
  cvae doctor
  cvae doctor > doctor.txt
  cvae doctor --json

Nothing is downloaded or changed. Tokens are left out, and your home folder is written as ~.
"""


def doctor(json: options.Json = False, debug: options.Debug = False) -> None:
    """Look at the installation and the machine, for a report about a problem."""
    console.configure(json=json, debug=debug)
    with console.events("checking the installation") as callback:
        from cvae_cli.doctor import examine

        report = examine(callback)
    console.result(report.to_dict(), console.fit("\n".join(report.lines())).split("\n"))
    if report.problems:
        found = "a problem" if len(report.problems) == 1 else f"{len(report.problems)} problems, first"
        raise CvaeError(f"{found}:  {report.problems[0].strip()}", hint="see  problems  above")
