"""The command `cvae`, also as `python -m cvae_cli`."""

import os
import sys

from cvae_cli.completion import VARIABLE, answer


def main() -> None:
    """Run `cvae` and exit; or, where a shell asks what completes a command line, print that and import nothing else."""
    if shell := os.environ.get(VARIABLE):
        lines = answer(shell, sys.argv[1:])
        sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
        return
    from cvae_cli.app import main as run

    run()


if __name__ == "__main__":
    main()
