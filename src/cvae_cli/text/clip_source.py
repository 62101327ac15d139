"""Finding the files of a CLIP model, and reading its weights.

Networks, tokenizer and the names of published models are open_clip's. Importing it takes seconds, so it is imported
where it is needed.
"""

import json
import os
from dataclasses import dataclass
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
_PUBLISHED_AS = "open_clip_pytorch_model.bin"  # where a published model's address names no file
_REVISION = "main"  # open_clip pins none; the digest in a model's config.json tells when the file changes


@dataclass(frozen=True)
class ClipSource:
    """The files of a CLIP model, found.

    Attributes:
        name: what `resolve` finds it by again: `ARCHITECTURE/TAG`, or its folder's absolute path.
        model: the architecture, in open_clip's words. `quick_gelu` is always there, and is what the weights were
            trained with, whatever name they were asked for by.
        preprocess: what pictures are to be like, in open_clip's words, which mean its defaults where they say nothing.
        weights: a safetensors file.
        sha256: of that file.
    """

    name: str
    model: dict[str, Any]
    preprocess: dict[str, Any]
    weights: Path
    sha256: str


def find_clip(model: str | None, callback: Callback = ignore) -> ClipSource:
    """Find a CLIP model, and fetch it unless it is here.

    Args:
        model: `ARCHITECTURE/TAG`, a model that open_clip knows; or a folder as open_clip saves it; OpenAI's ViT-B/32
            when absent.

    Raises:
        UsageError: no such model, or one that is not to be had without unpickling or needs another tokenizer.
        MissingError: no such folder, or the weights are not here and cannot be fetched.
        CorruptError: the weights do not have their digest, or the folder's configuration is damaged.
    """
    import open_clip

    name = model or DEFAULT
    architecture, _, tag = name.partition("/")
    if architecture in open_clip.list_models():
        return _published(architecture, tag, callback)
    if os.path.isdir(name) or os.path.isabs(name) or name.startswith((".", "~")):
        return _saved(Path(os.path.expanduser(name)))
    raise UsageError(
        f"no CLIP model {quoted(name)}.{did_you_mean(architecture, open_clip.list_models())}",
        hint=f"a CLIP model is ARCHITECTURE/TAG as open_clip names them (such as {DEFAULT}), or a folder",
    )


def make_tokenizer(source: ClipSource) -> Any:
    """CLIP's own tokenizer, of the model's context length."""
    import open_clip

    return open_clip.SimpleTokenizer(context_length=source.model["text_cfg"].get("context_length", 77))


def load_tensors(module: nn.Module, source: ClipSource, *, without: str | None = None) -> None:
    """Fill a network from the weights file, tensor by tensor, as float32; it may be on "meta" and comes to the CPU.

    Args:
        without: the beginning of the names in the file that the network does not have.

    Raises:
        CorruptError: damaged, or not exactly the names and shapes of the network. Nothing is allocated before.
    """
    expected = _wanted(module)
    try:
        with safe_open(source.weights, framework="pt") as file:
            names = {_short(name): name for name in file.keys() if not (without and name.startswith(without))}  # noqa: SIM118
            names = {short: name for short, name in names.items() if not short.startswith("logit_")}
            if missing := sorted(expected.keys() ^ names.keys()):
                verb = "lacks" if missing[0] in expected else "has the unknown"
                raise _unfit(source, f'it {verb} tensor "{missing[0]}"')
            for short, tensor in expected.items():
                shape = tuple(file.get_slice(names[short]).get_shape())
                if shape != tuple(tensor.shape):
                    raise _unfit(source, f'"{names[short]}" is {shape}, not {tuple(tensor.shape)}')
            if any(tensor.is_meta for tensor in expected.values()):
                module.to_empty(device="cpu")
            with torch.no_grad():
                for short, tensor in _wanted(module).items():
                    given = file.get_tensor(names[short])
                    if given.is_floating_point() != tensor.is_floating_point():
                        raise _unfit(source, f'"{names[short]}" has numbers that no weights have')
                    if not tensor.copy_(given).isfinite().all():
                        raise _unfit(source, f'"{names[short]}" has numbers that no weights have')
    except (SafetensorError, ValueError) as error:
        raise CorruptError(f"{source.weights} is damaged or not a safetensors file ({error})") from error


def _published(architecture: str, tag: str, callback: Callback) -> ClipSource:
    """A model that open_clip knows by name.

    Which activation it was trained with is a property of the tag. Weights of the one kind give vectors in the network
    of the other too, which look right and are wrong: so the tag decides, and a name that contradicts it is refused.
    """
    import open_clip

    plain = architecture.removesuffix(_QUICK)
    tag = tag.lower().replace("-", "_")
    about = open_clip.get_pretrained_cfg(plain, tag) or open_clip.get_pretrained_cfg(architecture, tag)
    if not about:
        known = open_clip.list_pretrained_tags_by_model(plain)
        raise UsageError(
            f"{architecture} has no weights {quoted(tag)}.{did_you_mean(tag, known)}"
            if tag
            else f"{architecture} is an architecture, and needs a tag behind a slash",
            hint=f"tags of {plain}: {', '.join(known) or 'none'}",
        )
    quick = bool(about.get("quick_gelu"))
    if architecture != plain and not quick:
        raise UsageError(f"{plain}/{tag} was not trained with QuickGELU", hint=f"ask for {plain}/{tag}")
    if quick and plain + _QUICK in open_clip.list_models():
        architecture = plain + _QUICK
    name = f"{architecture}/{tag}"
    model = open_clip.get_model_config(architecture) | {"quick_gelu": quick}
    _check_words(name, model)
    if name == DEFAULT:
        entry = get_weights("clip")
        path = require_weights(entry, callback)  # verifies the digest
        return ClipSource(name, model, about, path, entry.sha256)
    path = _fetch(name, about, callback)
    return ClipSource(name, model, about, path, file_sha256(path))


def _fetch(name: str, about: dict[str, Any], callback: Callback) -> Path:
    """The safetensors file of a published model, from the Hub's cache where it is there."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    repo, _, file = about.get("hf_hub", "").rpartition("/")
    file = WEIGHTS if file in {"", _PUBLISHED_AS} else str(Path(file).with_suffix(".safetensors"))
    pickled = UsageError(
        f"the weights of {name} are published as a pickle only, and a pickle can run any code",
        hint=f"save the model with open_clip as a folder with {CONFIG} and {WEIGHTS}, and give the folder",
    )
    if not repo:
        raise pickled
    if cached := hub.cached_file(repo, file, _REVISION):
        return cached
    try:
        return hub.download_file(repo, file, _REVISION, callback=callback)
    except MissingError as error:
        if isinstance(error.__cause__, RemoteEntryNotFoundError):
            raise pickled from error
        raise MissingError(f"the weights of {name} are not here: {error.message}", hint=error.hint) from error


def _saved(folder: Path) -> ClipSource:
    """A folder that open_clip saved."""
    for name in (CONFIG, WEIGHTS):
        if not os.path.isfile(folder / name):
            raise MissingError(
                f"{folder} has no {name}" if os.path.isdir(folder) else f"{folder} is no folder",
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
    _check_words(str(folder), model)
    return ClipSource(str(folder.resolve()), model, preprocess, folder / WEIGHTS, file_sha256(folder / WEIGHTS))


def _check_words(name: str, model: dict[str, Any]) -> None:
    """Refuse a model whose text side is not CLIP's: it would need other libraries, and other files."""
    text = model["text_cfg"]
    foreign = any(text.get(key) for key in ("hf_model_name", "hf_tokenizer_name", "embed_cls", "output_tokens"))
    if foreign or text.get("vocab_size", 49_408) != 49_408 or "multimodal_cfg" in model:
        raise UsageError(
            f"{name} does not read text as CLIP does, with the tokenizer that comes along with open_clip",
            hint=f"choose a model that does, such as {DEFAULT}",
        )


def unbuildable_error(source: ClipSource, error: Exception) -> CorruptError:
    """What to raise when open_clip cannot build the network that a configuration describes."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return CorruptError(f"{source.name} does not describe a CLIP model that open_clip can build ({reason})")


def _wanted(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network that are read from a file; its temperature is of no use here."""
    tensors = {_short(name): tensor for name, tensor in module.state_dict().items()}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("logit_")}


def _short(name: str) -> str:
    """A tensor's name, wherever the text tower is: files have it under `text.` or at the top."""
    return name.removeprefix("text.")


def _unfit(source: ClipSource, reason: str) -> CorruptError:
    return CorruptError(f"{source.weights} does not fit its settings: {reason}")
