"""The model card that is saved beside the weights."""

import math
from typing import TYPE_CHECKING

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.conditions import Captions
from cvae_cli.data.dataset import Dataset
from cvae_cli.models.card.content import CardFacts, make_card
from cvae_cli.models.card.scores import make_result
from cvae_cli.models.cvae import CVAE
from cvae_cli.training.checkpoint import TrainerState
from cvae_cli.training.events import duration

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def model_card(recipe: Recipe, model: CVAE, train: Dataset, validation: Dataset, state: TrainerState) -> str:
    """Return the model card as Markdown: what the model is, what it was trained on, and how good it is.

    Args:
        train: the training pictures.
        validation: the pictures that were held out from training.
        state: the state of the trainer at the end of an epoch.
    """
    name, size = train.name.partition("?")[0].rsplit("/", 1)[-1], train.image_shape.size
    training = "training" if recipe.start is None else f"training of the {recipe.tune or 'prior'} alone"
    is_captioned = model.is_conditional and isinstance(validation.conditions, Captions)
    return make_card(
        CardFacts(
            config=model.config,
            description=recipe.description,
            parameters=sum(p.numel() for p in model.parameters()),
            latents=math.prod(model.latent_shape),
            data=f"{name}, {train.pictures:,} training pictures of {size}x{size}",
            licence=train.licence,
            objective=_describe_objective(recipe),
            training={
                training: f"epoch {state.epoch} of {recipe.training.epochs}, {state.step:,} steps of "
                f"{recipe.training.batch_size}, {duration(state.history[-1]['seconds'])}; `recipe.toml` of the run has "
                "every setting"
            },
            samples="From above: pictures held out from training, their reconstructions, and rows of samples"
            + (", each column for its own class or caption." if model.is_conditional else "."),
            prompt=validation.conditions.text(0) if is_captioned else None,
            results=_bound(name, validation, state),
        )
    )


def _bound(dataset: str, validation: Dataset, state: TrainerState) -> "list[EvalResult]":
    """Return the bound of the validation pictures as scores."""
    values = state.history[-1]["valid"]
    labels = {"negative_elbo": ("elbo", "-ELBO, nats"), "rate": ("rate", "rate, nats")}
    labels["distortion"] = ("distortion", "distortion, nats")
    return [
        make_result(
            metric=metric,
            label=label,
            value=values[key],
            better="lower" if metric == "elbo" else None,
            dataset=dataset,
            split="validation",
            protocol=f"{len(validation):,} pictures held out from training, one posterior sample a picture",
        )
        for key, (metric, label) in labels.items()
    ]


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
