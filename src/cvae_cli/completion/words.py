"""The words that complete what is being written: names, models and runs on this machine, and paths."""

import os
from collections.abc import Iterator

from cvae_cli.completion.line import Wanted, table

_FILES = {"FILE", "PATH", "IMAGE"}  # kinds of values that the shell completes itself
_FOLDERS = {"DIR"}
_ALSO_PATHS = {"MODEL": "", "RUN": "", "PICTURES": ".tar", "RECIPE": ".toml"}  # kinds that also are a folder, or a file
_PLACES = {"folder:": "", "webdataset:": ".tar"}  # data sets of the user's, each with the ending of its files
_BUNDLED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "bundled")
_MAX_CACHED = 200  # repositories in the Hub's cache that are looked into
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./~-")


def candidates(place: Wanted) -> tuple[str, dict[str, str]]:
    """Return the words that go in a place, with what they mean, and `words`; or `files` or `folders` and none."""
    if place.kind in _FILES:
        return "files", {}
    if place.kind in _FOLDERS:
        return "folders", {}
    known = place.names or _named(place.kind)
    found = {name: meaning for name, meaning in known.items() if _continues(name, place.word)}
    prefix, colon, path = place.word.partition(":")
    place_of = prefix + colon
    if place_of in _PLACES and place_of in known:
        found |= {place_of + each: "" for each in _paths(path, _PLACES[place_of])}
    elif place.word and place.kind in _ALSO_PATHS:
        found |= {each: found.get(each, "") for each in _paths(place.word, _ALSO_PATHS[place.kind])}
    return "words", found


def _continues(name: str, word: str) -> bool:
    """Whether a name begins with a word, and the rest is no more than the next part of it: `key=` of `key=value`."""
    rest = name[len(word) :]
    return name.startswith(word) and bool(rest or not name.endswith(("=", ":"))) and not {":", "="} & set(rest[:-1])


def _named(kind: str) -> dict[str, str]:
    """The names of a kind of value."""
    if "|" in kind:
        return dict.fromkeys(kind.split("|"), "")
    names: dict[str, str] = dict(table()["values"].get(kind, {}))
    if kind == "MODEL":
        names |= dict.fromkeys(sorted(each.name for each in _entries(_BUNDLED)), "bundled")
        names |= dict.fromkeys((run for run in _runs() if os.path.isfile(f"{run}/model/config.json")), "trained here")
        names |= dict.fromkeys(_cached(), "in the Hub's cache")
    if kind == "RUN":
        names |= dict.fromkeys(_runs(), "")
    return names


def _runs(folder: str = "runs") -> Iterator[str]:
    """The runs in `runs/`, and those in a folder there, by their paths."""
    for entry in sorted(_entries(folder), key=lambda each: each.name):
        if os.path.isfile(f"{entry.path}/recipe.toml"):
            yield entry.path
        elif folder == "runs" and entry.is_dir():
            yield from _runs(entry.path)


def _cached() -> Iterator[str]:
    """The models of this program in the cache that all tools of the Hugging Face Hub share."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    cache = os.path.expanduser(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub"))
    repositories = sorted(each.name for each in _entries(cache) if each.name.startswith("models--"))
    for name in repositories[:_MAX_CACHED]:
        if any(_is_ours(f"{each.path}/config.json") for each in _entries(f"{cache}/{name}/snapshots")):
            yield name.removeprefix("models--").replace("--", "/", 1)


def _is_ours(config: str) -> bool:
    """Whether a file is the configuration of a model of this program."""
    try:
        with open(config, "rb") as file:
            content = file.read(100_000)
    except OSError:
        return False
    return b'"architecture"' in content and b'"format"' in content


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _paths(word: str, ending: str) -> Iterator[str]:
    """The folders, and the files of an ending, whose paths begin with a word."""
    folder, name = os.path.split(word)
    for entry in sorted(_entries(os.path.expanduser(folder) or "."), key=lambda each: each.name):
        is_hidden = entry.name.startswith(".") and not name.startswith(".")
        if is_hidden or not entry.name.startswith(name) or not entry.name.isprintable():
            continue
        if entry.is_dir():
            yield os.path.join(folder, entry.name) + "/"
        elif ending and entry.name.endswith(ending):
            yield os.path.join(folder, entry.name)


def escaped(word: str) -> str:
    """Return a word as it is written in bash."""
    return "".join(each if each in _PLAIN or ord(each) > 127 else f"\\{each}" for each in word)
