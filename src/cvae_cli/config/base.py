"""The base of all settings classes, and the sentences for mistakes in settings."""

import re
import reprlib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cvae_cli.errors import did_you_mean

Width = Annotated[int, Field(ge=1, le=65_536)]
"""A number of channels or features. The upper bound, far beyond any use, keeps a typo from taking all memory."""


class Settings(BaseModel):
    """The base of all settings: immutable, and strict, so that an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


S = TypeVar("S", bound=Settings)


_WORDS = {
    r"(Input|Value) should be ": "must be ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid boolean": "true or false",
    ", unable to .*": "",
}
"""What pydantic says -> what we say."""


class SettingsError(ValueError):
    """Values that do not fit their settings class. The message is one sentence that names the key.

    Attributes:
        key: the dotted key of the mistake.
    """

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def build(cls: type[S], values: dict[str, Any]) -> S:
    """Build a `cls` from values, validated.

    Raises:
        SettingsError: the first mistake, with its dotted key; for an unknown key, the most similar known one.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        # Report an unknown key first: a key that is missing may be the same one, misspelt.
        mistake = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")
        path = [part for part in mistake["loc"] if not _is_union_tag(values, mistake["loc"], part)]
        key = ".".join(str(part) for part in path)
        raise SettingsError(_sentence(cls, values, key, mistake), key) from error


def _sentence(cls: type[Settings], values: Any, key: str, mistake: Any) -> str:
    if mistake["type"] == "extra_forbidden":
        known = known_keys(cls)
        if re.sub(r"\.\d+(?=\.)", "", key) in known:  # without the numbers in lists
            tags = [part for part in mistake["loc"] if _is_union_tag(values, mistake["loc"], part)]
            return f'"{key}" is not a setting of the kind "{tags[-1]}"'
        same_end = [each for each in known if each.endswith("." + key.rsplit(".", 1)[-1])]
        suggestion = f' Did you mean "{same_end[0]}"?' if same_end else did_you_mean(key, known)
        return f'unknown key "{key}".{suggestion}'
    if mistake["type"] == "missing":
        return f'"{key}" is missing'
    if mistake["type"] == "needs":  # what one setting needs of another one
        return f'"{key}" {mistake["msg"]}'
    said = mistake["msg"]
    for theirs, ours in _WORDS.items():
        said = re.sub(theirs, ours, said)
    said = said if said.startswith("must be ") else f"cannot be taken: {said[:1].lower()}{said[1:]}"
    given = reprlib.repr(mistake["input"])
    if isinstance(mistake["input"], str):
        given = f'"{given[1:-1]}"'
    return f'"{key}" {said}, not {given}'


def _is_union_tag(values: Any, location: tuple[int | str, ...], part: int | str) -> bool:
    """Whether `part` of a location is no key, but the `kind` by which pydantic names the member of a union."""
    for step in location:
        if isinstance(values, dict) and values.get("kind") == step == part:
            return True
        if isinstance(values, dict):
            values = values.get(step)  # type: ignore[arg-type]
        elif isinstance(values, (list, tuple)) and isinstance(step, int) and step < len(values):
            values = values[step]
    return False


def known_keys(cls: type[Settings], prefix: str = "") -> list[str]:
    """Return every dotted key of `cls` and of the settings inside it, in order."""
    keys = []
    for name, field in cls.model_fields.items():
        keys.append(prefix + name)
        for inner in _settings_in(field.annotation):
            keys += [key for key in known_keys(inner, f"{prefix}{name}.") if key not in keys]
    return keys


def kinds(union: Any) -> list[str]:
    """Return the `kind` of every settings class in a union, in order."""
    return [cls.model_fields["kind"].default for cls in _settings_in(union)]


def _settings_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [cls for part in getattr(annotation, "__args__", ()) for cls in _settings_in(part)]
