"""The card and the samples of a model that is not from a training: what the model itself knows."""

import math
from pathlib import Path

from cvae_cli.config.condition import LabelCondition
from cvae_cli.models.autoencoder import Autoencoder
from cvae_cli.models.card.content import CardFacts, example_prompt, make_card

_PROMPTS, _ROWS = 10, 4
SAMPLES_NOTE = "Samples with the seed 0; no picture was chosen."


def own_card(model: Autoencoder, *, has_samples: bool = False) -> str:
    """Return a model card without anything about a training.

    Args:
        has_samples: whether there is a picture of `draw_samples` beside it.
    """
    return make_card(
        CardFacts(
            config=model.config,
            description="A conditional variational autoencoder"
            if model.is_conditional
            else "A variational autoencoder",
            parameters=sum(p.numel() for p in model.parameters()),
            latents=math.prod(model.latent_shape),
            samples=SAMPLES_NOTE if has_samples else None,
        )
    )


def draw_samples(model: Autoencoder, path: Path, prompts: list[str] | None = None) -> None:
    """Draw samples into a PNG: a column for each prompt, or for each of the first classes."""
    from cvae_cli.pictures.files import save_picture
    from cvae_cli.pictures.grid import Labels, enlarge, grid, readable_scale, to_pil

    condition = model.config.condition
    if not model.is_conditional:
        prompts = [""] * _PROMPTS
    elif prompts is None:
        is_of_classes = isinstance(condition, LabelCondition)
        prompts = condition.names[:_PROMPTS] if is_of_classes else [example_prompt(model.config)]  # type: ignore[union-attr]
    columns = [prompt for _ in range(_ROWS) for prompt in prompts]
    pictures = to_pil(model.sample(model.condition(columns), prompts=columns))
    scale = readable_scale(model.config.image.size)
    labels = Labels(pictures=[*prompts, *[""] * (len(columns) - len(prompts))])
    save_picture(grid([enlarge(each, scale) for each in pictures], columns=len(prompts), labels=labels), path)
