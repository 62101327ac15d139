"""Find the files of a CLIP model, and read its weights.

The networks, the tokenizer and the names of published models are those of open_clip. Importing it takes seconds, so it
is imported inside the functions that need it.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cvae_cli.errors import CorruptError, MissingError, UsageError, did_you_mean, quoted
from cvae_cli.events import Callback, ignore
from cvae_cli.weights import hub
from cvae_cli.weights.download import file_sha256
from cvae_cli.weights.registry import get_weights, require_weights

DEFAULT = "ViT-B-32-quickgelu/openai"
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
_QUICK = "-quickgelu"
_PICKLE = "open_clip_pytorch_model.bin"  # the published pickle, beside which there may be a safetensors file
_REVISION = "main"  # open_clip pins no revision; the digest in a model's config.json shows if the file changes


@dataclass(frozen=True)
class ClipSource:
    """The files of a CLIP model.

    Attributes:
        name: `ARCHITECTURE/TAG` or the absolute path of a folder; `find_clip` finds the same model by it.
        model: the architecture, in open_clip's format. It always has `quick_gelu`: the activation that the weights
            were trained with, which the name that was asked for does not decide.
        preprocess: how pictures are preprocessed, in open_clip's format; what is absent has open_clip's defaults.
        weights: a safetensors file.
        sha256: digest of that file.
    """

    name: str
    model: dict[str, Any]
    preprocess: dict[str, Any]
    weights: Path
    sha256: str


def find_clip(model: str | None, callback: Callback = ignore) -> ClipSource:
    """Find a CLIP model, and download it if needed.

    Args:
        model: `ARCHITECTURE/TAG` of a model that open_clip knows, or a folder as open_clip saves it; OpenAI's ViT-B/32
            by default.

    Raises:
        UsageError: no such model, or it is only published as a pickle, or it needs another tokenizer.
        MissingError: no such folder, or the weights are not on this machine and cannot be downloaded.
        CorruptError: the weights have another digest, or the folder's configuration is damaged.
    """
    import open_clip

    name = model or DEFAULT
    architecture, _, tag = name.partition("/")
    if architecture in open_clip.list_models():
        return _find_published(architecture, tag, callback)
    if os.path.isdir(name) or os.path.isabs(name) or name.startswith((".", "~")):
        return _find_folder(Path(os.path.expanduser(name)))
    raise UsageError(
        f"no CLIP model {quoted(name)}.{did_you_mean(architecture, open_clip.list_models())}",
        hint=f"a CLIP model is ARCHITECTURE/TAG as open_clip names them (such as {DEFAULT}), or a folder",
    )


def make_tokenizer(source: ClipSource) -> Any:
    """Return CLIP's own tokenizer, for the model's context length."""
    return _tokenizer(source.model["text_cfg"].get("context_length", 77))


@cache
def _tokenizer(context_length: int) -> Any:
    """Return the tokenizer; reading its vocabulary takes longer than all else about a small model."""
    import open_clip

    return open_clip.SimpleTokenizer(context_length=context_length)


def load_tensors(module: nn.Module, source: ClipSource, *, skip: str | None = None) -> None:
    """Load the weights file into a network, tensor by tensor, as float32. A network on "meta" moves to the CPU.

    Args:
        skip: ignore tensors of the file whose names start with this.

    Raises:
        CorruptError: the file is damaged, or its names and shapes are not exactly the network's. This is checked before
            memory is allocated.
    """
    expected = _expected_tensors(module)
    try:
        with safe_open(source.weights, framework="pt") as file:
            names = {_short(name): name for name in file.keys() if not (skip and name.startswith(skip))}  # noqa: SIM118
            names = {short: name for short, name in names.items() if not short.startswith("logit_")}
            if missing := sorted(expected.keys() ^ names.keys()):
                verb = "lacks" if missing[0] in expected else "has the unknown"
                raise _mismatch_error(source, f'it {verb} tensor "{missing[0]}"')
            for short, tensor in expected.items():
                shape = tuple(file.get_slice(names[short]).get_shape())
                if shape != tuple(tensor.shape):
                    raise _mismatch_error(source, f'"{names[short]}" is {shape}, not {tuple(tensor.shape)}')
            if any(tensor.is_meta for tensor in expected.values()):
                module.to_empty(device="cpu")
            with torch.no_grad():
                for short, tensor in _expected_tensors(module).items():
                    given = file.get_tensor(names[short])
                    if given.is_floating_point() != tensor.is_floating_point():
                        raise _mismatch_error(source, f'"{names[short]}" has numbers that weights cannot have')
                    if not tensor.copy_(given).isfinite().all():
                        raise _mismatch_error(source, f'"{names[short]}" has numbers that weights cannot have')
    except (SafetensorError, ValueError) as error:
        raise CorruptError(f"{source.weights} is damaged or not a safetensors file ({error})") from error


def _find_published(architecture: str, tag: str, callback: Callback) -> ClipSource:
    """Find a model that open_clip knows by name.

    The tag decides which activation the network has, because the weights were trained with it. With the other
    activation the network would give vectors that look right and are wrong. A name that contradicts the tag is an
    error.
    """
    import open_clip

    plain = architecture.removesuffix(_QUICK)
    tag = tag.lower().replace("-", "_")
    published = open_clip.get_pretrained_cfg(plain, tag) or open_clip.get_pretrained_cfg(architecture, tag)
    if not published:
        known = open_clip.list_pretrained_tags_by_model(plain)
        raise UsageError(
            f"{architecture} has no weights {quoted(tag)}.{did_you_mean(tag, known)}"
            if tag
            else f"{architecture} is an architecture, and needs a tag after a slash",
            hint=f"tags of {plain}: {', '.join(known) or 'none'}",
        )
    quick = bool(published.get("quick_gelu"))
    if architecture != plain and not quick:
        raise UsageError(f"{plain}/{tag} was not trained with QuickGELU", hint=f"ask for {plain}/{tag}")
    if quick and plain + _QUICK in open_clip.list_models():
        architecture = plain + _QUICK
    name = f"{architecture}/{tag}"
    model = open_clip.get_model_config(architecture) | {"quick_gelu": quick}
    _check_text_config(name, model)
    if name == DEFAULT:
        entry = get_weights("clip")
        path = require_weights(entry, callback)  # verifies the digest
        return ClipSource(name, model, published, path, entry.sha256)
    path = _download(name, published, callback)
    return ClipSource(name, model, published, path, file_sha256(path))


def _download(name: str, published: dict[str, Any], callback: Callback) -> Path:
    """Return the safetensors file of a published model; download it unless it is in the Hub's cache, intact."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    repo, _, file = published.get("hf_hub", "").rpartition("/")
    file = WEIGHTS if file in {"", _PICKLE} else str(Path(file).with_suffix(".safetensors"))
    pickled = UsageError(
        f"the weights of {name} are published as a pickle only, and a pickle can run any code",
        hint=f"save the model with open_clip as a folder with {CONFIG} and {WEIGHTS}, and give the folder",
    )
    if not repo:
        raise pickled
    try:
        return hub.download_file(repo, file, _REVISION, callback=callback)
    except MissingError as error:
        if isinstance(error.__cause__, RemoteEntryNotFoundError):
            raise pickled from error
        raise MissingError(
            f"the weights of {name} are not on this machine: {error.message}", hint=error.hint
        ) from error


def _find_folder(folder: Path) -> ClipSource:
    """Find a model in a folder that open_clip saved."""
    for name in (CONFIG, WEIGHTS):
        if not os.path.isfile(folder / name):
            raise MissingError(
                f"{folder} has no {name}" if os.path.isdir(folder) else f"{folder} is not a folder",
                hint=f"a CLIP model is a folder with {CONFIG} and {WEIGHTS}, as open_clip saves it",
            )
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is not JSON") from error
    model = values.get("model_cfg") if isinstance(values, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("text_cfg"), dict):
        raise CorruptError(f"{path} is not the configuration of an open_clip model")
    preprocess = values.get("preprocess_cfg", {})
    if not isinstance(preprocess, dict) or not isinstance(model.setdefault("quick_gelu", False), bool):
        raise CorruptError(f"{path} is not the configuration of an open_clip model")
    _check_text_config(str(folder), model)
    return ClipSource(str(folder.resolve()), model, preprocess, folder / WEIGHTS, file_sha256(folder / WEIGHTS))


def _check_text_config(name: str, model: dict[str, Any]) -> None:
    """Raise if a model does not read text as CLIP does: it would need other libraries and other files."""
    text = model["text_cfg"]
    foreign = any(text.get(key) for key in ("hf_model_name", "hf_tokenizer_name", "embed_cls", "output_tokens"))
    if foreign or text.get("vocab_size", 49_408) != 49_408 or "multimodal_cfg" in model:
        raise UsageError(
            f"{name} does not read text as CLIP does, with the tokenizer that open_clip contains",
            hint=f"choose a model that does, such as {DEFAULT}",
        )


def unbuildable_error(source: ClipSource, error: Exception) -> CorruptError:
    """Return the error for a configuration from which open_clip cannot build a network."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return CorruptError(f"{source.name} does not describe a CLIP model that open_clip can build ({reason})")


def _expected_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a network that are read from the file: all but the temperature, which is not used."""
    tensors = {_short(name): tensor for name, tensor in module.state_dict().items()}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("logit_")}


def _short(name: str) -> str:
    """Return a tensor's name without the prefix `text.`, under which some files have the text tower."""
    return name.removeprefix("text.")


def _mismatch_error(source: ClipSource, reason: str) -> CorruptError:
    return CorruptError(f"{source.weights} does not fit its settings: {reason}")
