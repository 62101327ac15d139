"""The caches, the downloaded weights and the models that came along."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from cvae_cli.errors import CvaeError, byte_size
from cvae_cli.paths import bundled_dir, cache_dir, check_writable


def cache() -> tuple[dict[str, Any], list[str]]:
    """Where the caches are, and how much of each kind is in them."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from cvae_cli.data.cache_contents import KINDS, cache_contents

    problems = []
    try:
        check_writable(cache_dir(), folder=True)
    except CvaeError as error:
        problems.append(f"{error.message}:  CVAE_HOME puts the cache elsewhere")
    lengths: Counter[str] = Counter()
    for each in cache_contents():
        lengths[each.kind] += each.length
    facts: dict[str, Any] = {"folder": cache_dir()}
    facts |= {kind: byte_size(lengths[kind]) for kind in KINDS}
    facts["Hub's cache"] = HF_HUB_CACHE
    facts["models in it"] = byte_size(_length(Path(HF_HUB_CACHE)))
    return facts, problems


def weights() -> tuple[dict[str, Any], list[str]]:
    """Which weights are on this machine; for the others, how to get them."""
    from cvae_cli.weights.registry import REGISTRY

    facts = {}
    for name, entry in REGISTRY.items():
        there = entry.cached_path() is not None
        fetch = f"not here ({byte_size(entry.size)}):  cvae download-weights {name}"
        facts[name] = "here" if there else fetch
    return facts, []


def models() -> tuple[dict[str, Any], list[str]]:
    """Whether the bundled models are as they were made."""
    from cvae_cli.models.pretrained import bundled_models
    from cvae_cli.models.verify import verify_model

    checked = [verify_model(name, bundled_dir() / name) for name in bundled_models()]
    again = "install cvae-cli again"
    problems = [f"the bundled model {each['name']} is damaged: {'; '.join(each['problems'])}:  {again}"
                for each in checked if each["problems"]]  # fmt: skip
    if not checked:
        problems.append(f"no bundled models in {bundled_dir()}:  {again}")
    return {each["name"]: each["state"] for each in checked}, problems


def _length(folder: Path) -> int:
    """The bytes of the repositories of models in the Hub's cache; a file that several revisions share counts once."""
    return sum(
        os.lstat(os.path.join(place, name)).st_size
        for repository in folder.glob("models--*")
        for place, _, names in os.walk(repository / "blobs")
        for name in names
    )
