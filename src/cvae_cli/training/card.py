"""The model card that is saved beside the weights."""

import math

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.dataset import Dataset
from cvae_cli.models.cvae import CVAE
from cvae_cli.training.checkpoint import TrainerState
from cvae_cli.training.events import duration
from cvae_cli.version import __version__


def model_card(recipe: Recipe, model: CVAE, train: Dataset, state: TrainerState) -> str:
    """Return the model card as Markdown: what the model is, what it was trained on, and how good it is.

    Args:
        train: the training pictures.
        state: the state of the trainer at the end of an epoch.
    """
    architecture, size = recipe.architecture, train.image_shape.size
    parameters = sum(p.numel() for p in model.parameters())
    validation = state.history[-1]["valid"]
    training = "training" if recipe.start is None else f"training of the {recipe.tune or 'prior'} alone"
    condition = f"{architecture.conditioning}; {model.config.published().condition.description}"
    facts = {
        "data": f"{train.name.rsplit('/', 1)[-1]}, {len(train):,} training pictures of {size}x{size}",
        "licence of the data": train.licence,
        "network": f"{architecture.network.kind}, {math.prod(model.latent_shape)} latents, {parameters:,} parameters",
        "condition": condition if model.is_conditional else "none",
        "likelihood, prior": f"{architecture.likelihood.kind}, {architecture.prior.kind}",
        "learned by": _describe_objective(recipe),
        training: f"epoch {state.epoch} of {recipe.training.epochs}, {state.step:,} steps of "
        f"{recipe.training.batch_size}, {duration(state.history[-1]['seconds'])}",
        "-ELBO of the validation pictures": f"{validation['negative_elbo']:.2f} nats an image (rate "
        f"{validation['rate']:.2f}, distortion {validation['distortion']:.2f}), one posterior sample an image",
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


def _describe_objective(recipe: Recipe) -> str:
    """Return what was minimised. A hybrid must say so: its bound is not comparable with a pure CVAE's."""
    if not recipe.is_hybrid:
        return "the bound alone" if recipe.training.beta == 1 else f"the bound, the rate times {recipe.training.beta:g}"
    weights = {"perceptual": recipe.training.perceptual, "adversarial": recipe.training.adversarial}
    terms = [f"{name} {weight:g}" for name, weight in weights.items() if weight]
    if not terms:  # the model that it starts from
        return "hybrid: the bound and a term besides it"
    judge = f"the features of {recipe.training.features}" if recipe.training.features else "a discriminator"
    return f"hybrid: the bound and {judge} ({', '.join(terms)})"
