"""`python -m cvae_cli` is `cvae`."""

from cvae_cli.app import main

if __name__ == "__main__":
    main()
