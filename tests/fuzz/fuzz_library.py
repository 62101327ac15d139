"""What the commands do with the files of a user, without the command line around it."""

from pathlib import Path

from cvae_cli.config.recipe_files import parse_assignment, recipe_to_toml
from cvae_cli.data.catalog import load_dataset
from cvae_cli.events import Callback
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.pretrained import read_config
from cvae_cli.pictures.opening import open_picture
from cvae_cli.text.condition import encode_prompts
from cvae_cli.text.prompts import Prompts
from cvae_cli.training.plan import plan_training


def load(callback: Callback, model: str) -> None:
    """Load a model, and draw with it."""
    loaded = CVAE.from_pretrained(model, callback=callback)
    loaded.sample(loaded.condition(["dress"], callback=callback))


def open(callback: Callback, picture: str) -> None:
    """Open a picture in the size of a model."""
    open_picture(Path(picture), size=28, channels=1)


def prompts(callback: Callback, model: str, *given: str) -> None:
    """Read prompts, and encode them for a model."""
    wanted = Prompts([], given[1]) if given[0] == "--from" else Prompts(list(given), None)
    condition = read_config(Path(model)).condition
    for prompt in wanted:
        encode_prompts(condition, [prompt.text], callback=callback)


def plan(callback: Callback, recipe: str, *options: str) -> None:
    """Plan a training."""
    given = list(zip(options[::2], options[1::2], strict=True))
    settings = dict(parse_assignment(value) for option, value in given if option == "--set")
    planned = plan_training(recipe, data=dict(given).get("--data"), settings=settings)
    recipe_to_toml(planned.recipe)


def read(callback: Callback, name: str, *options: str) -> None:
    """Read a data set."""
    given = dict(zip(options[::2], options[1::2], strict=True))
    folder = given.get("--data-dir")
    data = load_dataset(name, given.get("--split", "train"), size=8, data_dir=folder, callback=callback)
    if not len(data) or data.pixels.max() > 255:
        raise AssertionError(name)
