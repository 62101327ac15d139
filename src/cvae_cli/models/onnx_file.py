"""A model as one ONNX file, which draws pictures in programs without torch.

The file has the sampler (the prior, with its steps and its guidance unrolled) and the decoder. A model that reads
prompts by the embedded text encoder brings it along, from tokens on; the tokenizer is data in the file. So a client
needs an ONNX runtime, the library `tokenizers`, and random numbers.
"""

import copy
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cvae_cli.config.condition import LabelCondition, StaticCondition
from cvae_cli.config.model import ScorePrior
from cvae_cli.errors import CvaeError, MissingError, UsageError
from cvae_cli.models.onnx_graph import OPSET, Sampler, make_graph
from cvae_cli.paths import check_writable, write_bytes
from cvae_cli.runtime import randomness
from cvae_cli.version import __version__

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from cvae_cli.models.autoencoder import Autoencoder

TOLERANCE = 1e-4
"""How far a number of a picture may be from torch's: a fortieth of a grey level."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """An ONNX file that was written.

    Attributes:
        bytes: its size.
        opset: the version of ONNX's operators in it.
        inputs: what it takes, with type and shape: `noise`, and what the pictures show (`tokens`, `classes` or
            `condition`).
        outputs: what it gives: `images`, in [0, 1].
        guidance: the guidance scale that is unrolled in it; None for a prior without guidance.
        difference: between the pictures of onnxruntime and of torch, the largest of any number.
    """

    path: Path
    bytes: int
    opset: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    guidance: float | None
    difference: float


def check_place(path: Path) -> None:
    """Check that a file can be written, before a model is loaded.

    Raises:
        UsageError: not at this path, or its name ends otherwise.
        MissingError: a package that writes or runs such files is not installed.
    """
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path} does not end in .onnx", hint=f"name it {path.with_suffix('.onnx').name}")
    check_writable(path)
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise MissingError(f"{missing[0]} is not installed", hint='pip install "cvae-cli[onnx]"')


def write_onnx(
    model: "Autoencoder", path: Path, *, guidance: float | None = None, text_encoder: bool = True
) -> OnnxFile:
    """Write a model to an ONNX file, whose pictures are compared with torch's before; see `CVAE.export_onnx`."""
    check_place(path)
    model.prior.check_guidance(guidance)
    prior = model.config.architecture.prior
    if guidance is None and isinstance(prior, ScorePrior) and model.is_conditional:
        guidance = prior.guidance
    sampler, inputs = _sampler(model, guidance=guidance, text_encoder=text_encoder)
    content = _encode(sampler, inputs, _metadata(model, guidance, inputs))
    session = _session(content)
    difference = _difference(session, sampler, inputs)
    if not difference <= TOLERANCE:  # also where it is not a number
        raise CvaeError(
            f"{path} was not written: its pictures differ from torch's by {difference:.2g}, more than {TOLERANCE:g}"
        )
    write_bytes(path, content)
    return OnnxFile(
        path=path,
        bytes=len(content),
        opset=OPSET,
        inputs={each.name: _signature(each) for each in session.get_inputs()},
        outputs={each.name: _signature(each) for each in session.get_outputs()},
        guidance=guidance,
        difference=difference,
    )


def _sampler(model: "Autoencoder", *, guidance: float | None, text_encoder: bool) -> tuple[Sampler, dict[str, Tensor]]:
    """Return what the file computes, on a copy of the model, and an example of its inputs by name."""
    model = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
    settings, rows, encoder = model.config.condition, 2, None
    inputs = {"noise": randomness.noise(0, range(rows), model.latent_shape)}
    if not model.is_conditional:
        pass
    elif isinstance(settings, LabelCondition):
        inputs["classes"] = torch.arange(rows) % len(settings.classes)
    elif isinstance(settings, StaticCondition) and text_encoder:
        from cvae_cli.text.static_graph import StaticGraph

        encoder = StaticGraph()
        inputs["tokens"] = torch.tensor([[7, 2000, 500], [9, 1000, 0]])
    else:
        inputs["condition"] = randomness.noise(1, range(rows), (settings.width,))
    return Sampler(model, guidance=guidance, encoder=encoder).eval().requires_grad_(False), inputs


def _encode(sampler: Sampler, inputs: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Return the content of the file."""
    proto = make_graph(sampler, inputs)
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    content: bytes = proto.SerializeToString()
    return content


def _metadata(model: "Autoencoder", guidance: float | None, inputs: dict[str, Tensor]) -> dict[str, str]:
    """Return what a client and its reader need to know, as JSON or plain text."""
    config = model.config.to_dict()
    facts = {
        "model": model.config.name,
        "made_with": f"cvae-cli {__version__}",
        "condition": json.dumps(config["condition"], ensure_ascii=False),
        "guidance": json.dumps(guidance),
        "hybrid": json.dumps(model.config.hybrid),
    }
    if "tokens" in inputs:
        from cvae_cli.text.static_graph import client_tokenizer

        facts["tokenizer"] = client_tokenizer()
    return facts


def _session(content: bytes) -> "InferenceSession":
    import onnxruntime

    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@torch.inference_mode()
def _difference(session: "InferenceSession", sampler: Sampler, inputs: dict[str, Tensor]) -> float:
    """Return the largest difference between pictures of onnxruntime and of torch, in batches of two sizes."""
    differences = []
    for batch in (inputs, {name: torch.cat([tensor, tensor[:1]]) for name, tensor in inputs.items()}):
        (drawn,) = session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})
        differences.append((torch.from_numpy(drawn) - sampler(*batch.values())).abs().max())
    return float(torch.stack(differences).max())


def _signature(value: Any) -> str:
    """Return the type and the shape of an input or an output, such as `float32 (batch, 4, 7, 7)`."""
    kind = {"tensor(float)": "float32"}.get(value.type, value.type.removeprefix("tensor(").removesuffix(")"))
    return f"{kind} ({', '.join(map(str, value.shape))}{',' if len(value.shape) == 1 else ''})"
