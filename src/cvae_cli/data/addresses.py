"""Files by a path, or by any address that fsspec opens, as `s3://bucket/shards/000.tar`.

This module imports neither torch nor pydantic, so that the processes that read a stream start quickly.
"""

import os
import re
from typing import BinaryIO
from urllib.parse import urlsplit

from cvae_cli.errors import MissingError, UsageError, without_keys


def is_address(place: str) -> bool:
    """Whether a place is an address for fsspec, and not a path."""
    return "://" in place or "::" in place


def path_of(place: str) -> str:
    """Return the path in an address, without a server's name and a query."""
    return urlsplit(place).path if "://" in place else place


def open_place(place: str) -> BinaryIO:
    """Open a file to be read from its beginning.

    Raises:
        OSError, and what fsspec raises: it cannot be opened.
    """
    if not is_address(place):
        return open(place, "rb")
    import fsspec

    return fsspec.open(with_variables(place), "rb").open()


def with_variables(address: str) -> str:
    """Return an address with the values of environment variables, so that a key in it is written down nowhere.

    Raises:
        UsageError: a variable is not set.
    """
    found = os.path.expandvars(address)
    if without_keys(found) != found and (missing := re.search(r"\$\w+", found)):
        raise UsageError(f"the address has {missing[0]}, and there is no such environment variable")
    return found


def list_addresses(address: str) -> list[str]:
    """Return the addresses that one with `*` stands for. The one of a single file is not looked up.

    Raises:
        UsageError: fsspec does not know such addresses, or needs a package for them.
        MissingError: the server cannot be asked.
    """
    import fsspec

    place = with_variables(address)
    try:
        system, path = fsspec.core.url_to_fs(place)
        if "*" not in address:
            return [address]
        return [system.unstrip_protocol(found) for found in sorted(system.glob(path))]
    except (ImportError, ValueError) as error:
        raise UsageError(f"{address} cannot be opened", hint=" ".join(str(error).split())) from error
    except Exception as error:  # the libraries of servers have errors of their own
        raise MissingError(f"{address} cannot be listed", hint=" ".join(str(error).split()) or None) from error
