"""What `cvae train` shows: the recipes, what it would do, and what it has made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvae_cli import console

if TYPE_CHECKING:
    from cvae_cli.training.plan import TrainingPlan
    from cvae_cli.training.train import TrainingResult


def show_recipes() -> None:
    """Print the recipes that ship with the package."""
    from cvae_cli.config.catalog import shipped_recipes
    from cvae_cli.config.recipe_files import load_recipe

    recipes = [load_recipe(name) for name in shipped_recipes()]
    console.table(
        [each.model_dump(mode="json") for each in recipes],
        columns=["recipe", "data", "epochs", "description"],
        rows=[[each.name, each.data.name, each.epochs, each.description] for each in recipes],
        footer="cvae train RECIPE --dry-run shows all settings of one",
    )


def show_plans(plans: "Sequence[TrainingPlan]") -> None:
    """Look at the data, and print what a training would do, and all settings; of several seeds, those of the first."""
    from cvae_cli.config.recipe_files import recipe_to_toml
    from cvae_cli.training.look import look_at_data

    recipe = plans[0].recipe
    for text in [*look_at_data(recipe), *(line for plan in plans for line in plan.describe())]:
        console.note(text)
    console.result(recipe.model_dump(mode="json"), recipe_to_toml(recipe).split("\n"))


def show_results(results: "Sequence[TrainingResult]", *, is_group: bool) -> None:
    """Print where the models are, and how to measure them.

    Args:
        is_group: whether they are those of several seeds.
    """
    made = [
        {
            "run": str(each.run),
            "model": str(each.model),
            "best_negative_elbo": each.best_negative_elbo,
            "last": each.history[-1],
        }
        for each in results
    ]
    place = results[0].run.parent if is_group else results[0].run
    console.hint(f"measure {'them' if is_group else 'it'}:  cvae evaluate --model {place}")
    console.result({"runs": made} if is_group else made[0], [str(each.model) for each in results])
