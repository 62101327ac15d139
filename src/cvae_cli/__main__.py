"""The command `cvae`, also as `python -m cvae_cli`."""

import gc
import os
import sys

from cvae_cli.completion import VARIABLE, answer


def main() -> None:
    """Run `cvae` and exit; or, where a shell asks what completes a command line, print that and import nothing else."""
    if shell := os.environ.get(VARIABLE):
        lines = answer(shell, sys.argv[1:])
        sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
        return
    gc.disable()  # imports leave little garbage, and to search for it, again at the end, takes a tenth of the time
    from cvae_cli.app import main as run

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
