"""What a model card says: header, what the model is, what it learned from, samples, use, limits and citation."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cvae_cli.config.condition import LabelCondition
from cvae_cli.config.model import ModelConfig
from cvae_cli.models.card.document import cell, put_section, render_card
from cvae_cli.models.card.scores import put_results
from cvae_cli.models.pretrained import SAMPLES
from cvae_cli.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

USE = "Draw with it"
_ON_THE_HUB = {
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "cifar-10": "uoft-cs/cifar10",
}
_LICENCES = {"mit": "mit", "apache-2.0": "apache-2.0", "cc by 4.0": "cc-by-4.0", "cc by-sa 4.0": "cc-by-sa-4.0"}
"""The names of licences on the Hub, by the names in lower case that data sets give."""
_CITATION = """\
@inproceedings{sohn2015learning,
  title     = {Learning Structured Output Representation using Deep Conditional Generative Models},
  author    = {Sohn, Kihyuk and Lee, Honglak and Yan, Xinchen},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2015}
}"""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a model card is made from. Where a fact is not known, it is not claimed.

    Attributes:
        description: one phrase, without a full stop.
        parameters: numbers in the weights.
        latents: numbers in the latent of a picture.
        data: the training pictures.
        licence: of the training pictures, in the words of their source.
        licence_id: of the model, as the Hub names licences; by default that of the data if the Hub has a name for it.
        objective: what was minimised.
        training: how it was trained: names and texts.
        samples: what the picture of samples shows, if there is one.
        prompt: an example.
        name: what `--model` takes; `FOLDER` stands for the folder in which the card lies.
        results: scores.
    """

    config: ModelConfig
    description: str
    parameters: int
    latents: int
    data: str = ""
    licence: str = "not stated"
    licence_id: str | None = None
    objective: str = ""
    training: Mapping[str, str] = field(default_factory=dict)
    samples: str | None = None
    prompt: str | None = None
    name: str = "FOLDER"
    made_with: str = f"cvae-cli {__version__}"
    results: Sequence["EvalResult"] = ()


def make_card(facts: CardFacts) -> str:
    """Return a model card in Markdown."""
    from huggingface_hub import ModelCard

    card = ModelCard(f"---\n{{}}\n---\n# {facts.config.name}\n\n{facts.description or 'A model of pictures'}.\n")
    card.data.__dict__.update(_header(facts))
    put_section(card, "What it is", _what_it_is(facts))
    put_section(card, "What it learned from", _data(facts))
    if facts.samples:
        put_samples(card, facts.samples)
    put_use(card, facts.config, model=facts.name, prompt=facts.prompt)
    put_results(card, facts.results, name=facts.config.name)
    put_section(card, "Limits", _limits(facts.config))
    put_section(card, "Citation", f"The model is a conditional VAE:\n\n```bibtex\n{_CITATION}\n```")
    return render_card(card)


def put_use(card: "ModelCard", config: ModelConfig, *, model: str = "FOLDER", prompt: str | None = None) -> None:
    """Write how to draw with the model.

    Args:
        model: what `--model` takes; `FOLDER` stands for the folder in which the card lies.
    """
    prompt = prompt or example_prompt(config)
    quoted = json.dumps(prompt, ensure_ascii=False)
    put_section(
        card,
        USE,
        f"""\
```python
from cvae_cli import CVAE

CVAE.from_pretrained("{model}").generate({quoted})[0].save("picture.png")
```

or on the command line, after `pip install cvae-cli`:

```sh
cvae generate {shlex.quote(prompt)} --model {model} -n 16 -o pictures.png
```""",
    )


def prompt_of(card: "ModelCard") -> str | None:
    """Return the prompt in the example of a card; None if it has none."""
    found = re.search(r'\.generate\(("(?:[^"\\]|\\.)*")\)', card.text)
    return json.loads(found[1]) if found else None


def complete(card: "ModelCard", config: ModelConfig) -> None:
    """Give a card what its header lacks, as those of earlier versions do."""
    facts = CardFacts(config=config, description="", parameters=0, latents=0)
    for key, value in _header(facts).items():
        if card.data.get(key) is None and not (key.startswith("license") and card.data.get("license")):
            card.data[key] = value


def put_samples(card: "ModelCard", note: str) -> None:
    """Show `samples.png` in a card."""
    put_section(card, "Samples", f"![samples]({SAMPLES})\n\n{note}")


def example_prompt(config: ModelConfig) -> str:
    """Return a prompt that the model can use."""
    is_of_classes = isinstance(config.condition, LabelCondition)
    return config.condition.names[0] if is_of_classes else "two dogs on a beach"  # type: ignore[union-attr]


def _header(facts: CardFacts) -> dict[str, object]:
    config = facts.config
    kind = "strict-cvae" if not config.hybrid else "hybrid"
    licence = facts.licence_id or _LICENCES.get(facts.licence.lower())
    other = {} if licence else {"license_name": "that-of-the-training-data", "license_link": "README.md"}
    source = config.published().dataset
    return {
        "license": licence or "other",
        **other,
        "library_name": "cvae-cli",
        "pipeline_tag": "text-to-image" if _is_conditional(config) else "unconditional-image-generation",
        "datasets": [_ON_THE_HUB.get(source, source)] if ":" not in source else None,
        "tags": ["cvae", "variational-autoencoder", "image-generation", kind, f"{config.image.size}px"],
    }


def _what_it_is(facts: CardFacts) -> str:
    config, architecture = facts.config, facts.config.architecture
    condition = f"{architecture.conditioning}; {config.published().condition.description}"
    rows = {
        "pictures": f"{config.image.size}x{config.image.size}, {'RGB' if config.image.channels == 3 else 'grey'}",
        "network": f"{architecture.network.kind}, {facts.latents:,} latents, {facts.parameters:,} parameters",
        "condition": condition if _is_conditional(config) else "none",
        "likelihood, prior": f"{architecture.likelihood.kind}, {architecture.prior.kind}",
        "learned by": facts.objective,
        **facts.training,
        "made with": facts.made_with,
    }
    table = "\n".join(f"| {name} | {cell(text)} |" for name, text in rows.items() if text)
    return f"{_kind(config)}\n\n| | |\n| --- | --- |\n{table}"


def _kind(config: ModelConfig) -> str:
    if config.hybrid:
        return (
            "**A hybrid**: its loss had perceptual or adversarial terms besides the variational bound. It is no strict "
            "CVAE, and its bound cannot be compared with that of one."
        )
    return "**A strict CVAE**: it was trained on the variational bound and nothing else."


def _data(facts: CardFacts) -> str:
    data = facts.data or f"{facts.config.published().dataset}; nothing more is recorded"
    return (
        f"Data: {data}.\n\nLicence of the data: {facts.licence}. The weights are subject to it. Who "
        "publishes them states their own licence in the header of this card."
    )


def _limits(config: ModelConfig) -> str:
    size = config.image.size
    known = "It knows what is in its training pictures and nothing else, with their biases and their quality."
    lines = [f"It draws pictures of {size}x{size} pixels. Enlarging them adds no detail.", known]
    if isinstance(config.condition, LabelCondition):
        lines.append("Of a prompt only the word that names a class counts: colours, numbers and styles have no effect.")
    elif _is_conditional(config):
        lines.append(
            "Captions unlike those it learned from have unforeseeable effects. It does not count well, writes no "
            "letters, and does not draw a particular person or place."
        )
    else:
        lines.append("It takes no prompt: what it draws is chosen by the seed.")
    if config.hybrid:
        lines.append("Its likelihood is no density of pictures that could be compared with that of other models.")
    lines.append("A picture shows nothing that has happened, and must not be passed off as a photograph.")
    return "\n".join(f"- {line}" for line in lines)


def _is_conditional(config: ModelConfig) -> bool:
    return config.architecture.conditioning != "none"
