"""Look at the data of a recipe before anything is loaded, for `--dry-run` and for the first checks of a training.

Nothing here imports torch.
"""

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.catalog import has_classes, look, shape_of
from cvae_cli.errors import UsageError


def look_at_data(recipe: Recipe) -> list[str]:
    """Return lines on what a training by this recipe would learn from.

    Raises:
        CvaeError: the training would not start, because of its data.
    """
    shape_of(recipe.data.name, recipe.data.size)
    lines = look(recipe.data.name, data_dir=recipe.data.dir)
    choose_encoder(recipe)
    return lines


def choose_encoder(recipe: Recipe) -> str | None:
    """Return the text encoder that a recipe asks for; None for labels.

    Raises:
        UsageError: the data has no classes, and the recipe asks for them.
    """
    condition, labelled = recipe.data.condition, has_classes(recipe.data.name)
    if condition == "labels" and not labelled:
        raise UsageError(
            f"{recipe.data.name} has captions, no classes", hint="learn from the captions:  --condition static"
        )
    if condition == "labels" or (condition is None and labelled):
        return None
    return condition or "static"
