"""Inception of the published architecture with random weights, in a file that the registry takes for the right one."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from cvae_cli.weights.registry import REGISTRY


class RandomInception(FeatureExtractorInceptionV3):
    """The network of the published weights, with random weights that need no file."""

    def load_state_dict(self, *arguments: object, **options: object) -> None:
        for module in self.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)


def install(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put random weights into the cache in `home`, and return their path."""
    path = home / "weights" / "inception.pth"
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(RandomInception("inception-v3-compat", ["2048"], str(path)).state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = replace(REGISTRY["inception"], url=path.as_uri(), sha256=digest, size=path.stat().st_size)  # type: ignore
    monkeypatch.setitem(REGISTRY, "inception", entry)
    monkeypatch.setenv("CVAE_HOME", str(home))
    return path
