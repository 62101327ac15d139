"""Recipes: read, change, validate and write them."""

from pathlib import Path

import pytest

from cvae_cli.config.catalog import shipped_recipes
from cvae_cli.config.recipe_files import load_recipe, parse_assignment, recipe_to_toml
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.training.plan import plan_training


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipe_survives_writing_and_reading(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    (tmp_path / "recipe.toml").write_text(recipe_to_toml(recipe))
    assert load_recipe(str(tmp_path / "recipe.toml")) == recipe


@pytest.mark.parametrize("name", shipped_recipes())
def test_recipe_file_begins_with_the_command_that_runs_it(name: str) -> None:
    first = shipped_recipes()[name].read_text().splitlines()[0]
    assert first.split()[:4] == ["#", "cvae", "train", name]


def test_change_reaches_its_key() -> None:
    changes = dict(map(parse_assignment, ["training.epochs=3", "architecture.network.kind=residual", "name=mine"]))
    recipe = load_recipe("fashion-concat", changes)
    assert recipe.training.epochs == 3
    assert recipe.architecture.network.kind == "residual"
    assert recipe.name == "mine"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("training.epoch=3", 'unknown key "training.epoch". Did you mean "training.epochs"'),
        ("epochs=3", 'unknown key "epochs". Did you mean "training.epochs"'),
        ("traning.epochs=3", 'unknown key "traning"'),
        ("architecture.network.widht=8", 'unknown key "architecture.network.widht"'),
        ("training.epochs=many", '"training.epochs"'),
        ("training.epochs=0", '"training.epochs"'),
        ("training.epochs.more=1", '"training.epochs.more"'),
        ("training.learning_rate=nan", '"training.learning_rate"'),
        ("architecture.conditioning=multiply", '"architecture.conditioning"'),
        ("architecture.network.kind=transformer", '"architecture.network"'),
        (
            "architecture.prior={kind='score', width=48, attention=true}",
            '"architecture.prior.attention" needs a width divisible by 32, not 48',
        ),
    ],
)
def test_wrong_change_is_refused_by_its_name(change: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("fashion-concat", dict([parse_assignment(change)]))
    assert complaint in caught.value.message


def test_change_without_equals_sign_is_refused() -> None:
    with pytest.raises(UsageError, match="key=value"):
        parse_assignment("training.epochs")


def test_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match='Did you mean "fashion-concat"'):
        load_recipe("fashion-concatt")


def test_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe nonsense")
    with pytest.raises(CorruptError, match="not TOML"):
        load_recipe(str(tmp_path / "x.toml"))


def test_a_model_is_not_replaced_by_a_training_that_starts_from_it(quick_model: Path) -> None:
    for out in (quick_model, quick_model.parent):
        with pytest.raises(UsageError, match="holds the model to start from"):
            plan_training(model=quick_model, prior="score", out=out, force=True)


def test_guidance_that_is_an_input_is_said_to_be_untaught() -> None:
    told = [
        plan_training("pictures", settings={"then.prior.guidance_input": chosen}, out="somewhere").notices
        for chosen in (False, True)
    ]
    assert [any("guidance as an input" in text for text in notices) for notices in told] == [False, True]


@pytest.mark.parametrize(
    ("part", "untaught"),
    [("prior", ["guidance", "length"]), ("guidance", ["length"]), ("steps", []), ("decoder", [])],
)
def test_inputs_are_taught_again_after_what_they_depend_on(part: str, untaught: list[str]) -> None:
    """`fashion` has the guidance and the length of a step as inputs."""
    notices = plan_training(model="fashion", tune=part, out="somewhere").notices
    words = ("guidance as an input", "length of its steps as an input")
    assert [word.split()[0] for word in words if any(word in text for text in notices)] == untaught


def test_steps_that_are_taught_again_stay_as_many_unless_another_number_is_asked_for() -> None:
    plans = [plan_training(model="fashion", tune="steps", settings=each, out="somewhere") for each in
             ({}, {"architecture.prior.steps": 2})]  # fmt: skip
    assert [plan.recipe.architecture.prior.steps for plan in plans] == [3, 2]
