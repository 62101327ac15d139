"""Look at the data of a recipe before anything is loaded, for `--dry-run` and for the first checks of a training.

Nothing here imports torch.
"""

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.catalog import has_classes, has_sizes, look, shape_of, short_name
from cvae_cli.errors import UsageError


def look_at_data(recipe: Recipe) -> list[str]:
    """Return lines on what a training by this recipe would learn from.

    Raises:
        CvaeError: the training would not start, because of its data.
    """
    shape_of(recipe.data.name, recipe.data.size)
    check_windows(recipe)
    if recipe.data.stream:
        from cvae_cli.data.stream_source import describe_stream

        lines = describe_stream(recipe.data.name)
    else:
        lines = look(recipe.data.name, data_dir=recipe.data.dir)
    choose_encoder(recipe)
    return lines


def check_windows(recipe: Recipe) -> None:
    """Raise a UsageError if a recipe asks for windows of pictures that there are not, or that are too small."""
    data, windows = recipe.data, recipe.data.windows
    if windows is None:
        return
    if data.stream:
        raise UsageError("data.windows needs prepared pictures, and a stream has none", hint="leave out one of them")
    if not has_sizes(data.name):
        raise UsageError(f"data.windows needs larger pictures, and {short_name(data.name)} has one size only")
    size = shape_of(data.name, data.size).size
    if shape_of(data.name, windows).size <= size:
        raise UsageError(
            f"data.windows must be larger than the pictures, which have {size} pixels, not {windows}",
            hint=f"for example:  --set data.windows={2 * size}",
        )


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
