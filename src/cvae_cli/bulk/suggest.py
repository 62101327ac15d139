"""Suggest a bundled model that suits the prompts better than the default one."""

from collections.abc import Iterable
from itertools import islice

from cvae_cli.models.pretrained import read_config
from cvae_cli.paths import bundled_dir
from cvae_cli.text.labels import names_only_classes
from cvae_cli.text.prompts import Prompt

_CLOTHES = "fashion"
_MAX_PROMPTS = 100  # prompts that are looked at


def suggest_model(prompts: Iterable[Prompt]) -> str | None:
    """Return the bundled model for clothes if one of the first prompts names nothing but clothes."""
    condition = read_config(bundled_dir() / _CLOTHES).condition
    assert condition.kind == "labels"
    clothes = (names_only_classes(prompt.text, condition.classes) for prompt in islice(prompts, _MAX_PROMPTS))
    return _CLOTHES if any(clothes) else None
