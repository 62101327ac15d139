"""Write model folders, so that their files fit each other at any moment."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from cvae_cli.config.model import ModelConfig
from cvae_cli.errors import CorruptError
from cvae_cli.models.checksums import SUMS, changing, read_sums, write_sums
from cvae_cli.models.pretrained import CARD, CONFIG, DIGEST, SAMPLES, WEIGHTS, read_digests, weights_sha256
from cvae_cli.paths import write_bytes, write_text


def write_model(folder: Path, config: ModelConfig, weights: bytes, *, card: str, samples: bytes | None = None) -> None:
    """Write a model folder, also over another model.

    Args:
        weights: the content of `model.safetensors`.
        card: the model card.
        samples: a PNG that the model card shows.
    """
    digest = hashlib.sha256(weights).hexdigest()
    _forget_sums(folder)
    _write_config(folder, config, digests=list(dict.fromkeys([digest, *_digests_before(folder)])))
    write_bytes(folder / WEIGHTS, weights)
    files = {CONFIG: _write_config(folder, config, digests=[digest]), CARD: card.encode()}
    if samples is not None:
        files[SAMPLES] = samples
        write_bytes(folder / SAMPLES, samples)
    write_bytes(folder / CARD, files[CARD])
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_sums(folder, sums | {WEIGHTS: digest})


def write_card(folder: Path, card: str) -> None:
    """Replace the model card in a model folder, and its digest."""
    with changing(folder, [CARD]):
        write_text(folder / CARD, card)


def _forget_sums(folder: Path) -> None:
    """Remove the digests of the model that is replaced, and its samples if they are known to be ours."""
    try:
        known = read_sums(folder) or {}
    except CorruptError:
        known = {}
    (folder / SUMS).unlink(missing_ok=True)
    if SAMPLES in known:
        (folder / SAMPLES).unlink(missing_ok=True)


def _write_config(folder: Path, config: ModelConfig, *, digests: Sequence[str]) -> bytes:
    """Write the configuration and return what was written.

    Args:
        digests: the SHA-256 of the weights; or of those that are about to be written, and of those that are there.
    """
    values = config.to_dict() | {DIGEST: digests[0] if len(digests) == 1 else list(digests)}
    content = (json.dumps(values, indent=2) + "\n").encode()
    write_bytes(folder / CONFIG, content)
    return content


def _digests_before(folder: Path) -> list[str]:
    if not (folder / WEIGHTS).is_file():
        return []
    try:
        return read_digests(folder) or [weights_sha256(folder)]
    except (CorruptError, OSError):
        return [weights_sha256(folder)]
