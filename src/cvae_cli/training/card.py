"""The model card that stands beside the weights."""

import math

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.dataset import Dataset
from cvae_cli.models.cvae import CVAE
from cvae_cli.training.checkpoint import Position
from cvae_cli.version import __version__


def model_card(recipe: Recipe, model: CVAE, train: Dataset, position: Position) -> str:
    """What the model is, what it learned from, and how well, as Markdown."""
    architecture, size = recipe.architecture, train.image_shape.size
    parameters = sum(p.numel() for p in model.parameters())
    valid = position.history[-1]["valid"]
    learned = "training" if recipe.start is None else "training of the prior alone"
    facts = {
        "data": f"{train.name.rsplit('/', 1)[-1]}, {len(train):,} training pictures of {size}x{size}",
        "licence of the data": train.licence,
        "network": f"{architecture.network.kind}, {math.prod(model.latent_shape)} latents, {parameters:,} parameters",
        "condition": f"{architecture.conditioning}; {model.config.condition.description}"
        if model.is_conditional
        else "none",
        "likelihood, prior": f"{architecture.likelihood.kind}, {architecture.prior.kind}",
        "learned by": _objective(recipe),
        learned: f"epoch {position.epoch} of {recipe.training.epochs}, {position.step:,} steps of "
        f"{recipe.training.batch_size}, {position.seconds / 60:.1f} minutes",
        "-ELBO on pictures held back": f"{valid['negative_elbo']:.2f} nats an image (rate {valid['rate']:.2f}, "
        f"distortion {valid['distortion']:.2f}), one posterior sample an image",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"""---
library_name: cvae-cli
pipeline_tag: text-to-image
tags: [cvae]
---

# {recipe.name}

{recipe.description}.

| | |
| --- | --- |
{rows}

Made by cvae-cli {__version__} with `cvae train`; `recipe.toml` of the run has every setting. Measure it with
`cvae evaluate --model FOLDER`.
"""


def _objective(recipe: Recipe) -> str:
    """What was minimised: whoever compares models must know which of them are no pure CVAEs."""
    if not recipe.is_hybrid:
        return "the bound alone" if recipe.training.beta == 1 else f"the bound, the rate times {recipe.training.beta:g}"
    weights = {"perceptual": recipe.training.perceptual, "adversarial": recipe.training.adversarial}
    terms = [f"{name} {weight:g}" for name, weight in weights.items() if weight]
    return "hybrid: the bound and a discriminator" + (f" ({', '.join(terms)})" if terms else "")
