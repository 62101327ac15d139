"""Files by a path, or by any address that fsspec opens, as `s3://bucket/shards/000.tar`.

This module imports neither torch nor pydantic, so that the processes that read a stream start quickly.
"""

import os
import re
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit

from cvae_cli.errors import MissingError, UsageError, without_keys

_PACKAGES = {
    "fsspec[http]": "http https",
    "fsspec[s3]": "s3 s3a",
    "fsspec[gcs]": "gcs gs",
    "fsspec[abfs]": "abfs az",
    "fsspec[sftp]": "sftp ssh",
    "fsspec[smb]": "smb",
    "fsspec[hdfs]": "hdfs arrow_hdfs",
    "fsspec[oci]": "oci ocilake",
    "fsspec[git]": "git",
    "fsspec[github]": "github",
    "fsspec[dropbox]": "dropbox",
    "boxfs": "box",
    "dvc": "dvc",
    "gdrive_fs": "gdrive",
    "lakefs-spec": "lakefs",
    "ossfs": "oss",
    "requests": "dbfs gist jlab jupyter webhdfs",
    "tosfs": "tos tosfs",
    "wandbfs": "wandb",
    "webdav4": "webdav",
}
"""What opens the kinds of addresses that fsspec knows, besides those that it opens by itself."""
_LOGIN = re.compile(r"(\w+)://([^\s/@]+)@")
_QUERY = re.compile(r"\w://[^\s?]*\?(\S+)")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
_NO_KEYS = frozenset({"alt", "dl", "download", "format", "raw", "ref", "rev", "revision", "version", "versionid"})
"""Names of a query whose values open nothing."""


def is_address(place: str) -> bool:
    """Whether a place is an address for fsspec, and not a path."""
    return "://" in place or "::" in place


def path_of(place: str) -> str:
    """Return the path in an address, without a server's name and a query."""
    return urlsplit(place).path if "://" in place else place


def check_no_key(address: str) -> None:
    """Raise a UsageError if a key is written out in an address: files that are shared would show it."""
    if not _has_key(address):
        return
    raise UsageError(
        f"{address} has a key in it, which files of the run would show to everybody who gets them",
        hint="write the name of an environment variable instead, in single quotes, as '...?token=$TOKEN' or\n"
        "'...//$NAME:$PASSWORD@...'; in a run that has a key already, write it so in recipe.toml",
    )


def _has_key(address: str) -> bool:
    """Whether an address has a password, or a query that may open something, and not in variables."""
    for scheme, login in _LOGIN.findall(address):
        name, colon, password = login.partition(":")
        if scheme == "github":  # github://org:repository@branch
            continue
        if not colon and not scheme.startswith("http"):  # a container, or a user who gives a password elsewhere
            continue
        if not _VARIABLE.fullmatch(password if colon else name):
            return True
    return not all(
        name.lower() in _NO_KEYS or _VARIABLE.fullmatch(value or name)
        for query in _QUERY.findall(address)
        for name, value in parse_qsl(query, keep_blank_values=True)
    )


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
    except ImportError as error:
        raise UsageError(f"{address} cannot be opened", hint=_how_to_install(address, error)) from error
    except ValueError as error:
        raise UsageError(f"{address} cannot be opened", hint=" ".join(str(error).split())) from error
    except Exception as error:  # the libraries of servers have errors of their own
        raise MissingError(f"{address} cannot be listed", hint=" ".join(str(error).split()) or None) from error


def _how_to_install(address: str, error: ImportError) -> str:
    """Return the command that installs what an address needs, or what fsspec says where that is not known."""
    kinds = set(re.findall(r"(\w+)(?=://|::)", address))
    wanted = [f'"{package}"' for package, opened in _PACKAGES.items() if kinds & set(opened.split())]
    return f"pip install {' '.join(wanted)}" if wanted else " ".join(str(error).split())
