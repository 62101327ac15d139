"""Recipes with several stages: a network, its decoder, a prior, its guidance, its steps."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import FASHION, Command
from helpers import ATTENTIVE, captioned, data_for, same, small_model
from pictures_data import texts
from test_fit import CPU, Recorder, weights

from cvae_cli import CVAE, CvaeError
from cvae_cli.config.recipe_files import load_recipe, read_recipe, recipe_for_tuning, recipe_to_toml
from cvae_cli.data.batches import Batches
from cvae_cli.data.windows import Windows, describe
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.events import Event, Notice, ignore
from cvae_cli.models.flow_matching import FlowMatching
from cvae_cli.models.pretrained import find_model, stage_folders
from cvae_cli.models.solver import adams_bashforth
from cvae_cli.models.tensors import named_tensors
from cvae_cli.training.closest import closest
from cvae_cli.training.data import load_training_data
from cvae_cli.training.fit import fit
from cvae_cli.training.objectives.distillation import GuidanceObjective, StepsObjective
from cvae_cli.training.objectives.latent_batches import LatentBatches
from cvae_cli.training.plan import plan_training
from cvae_cli.training.run import Run

RECIPE = """
name = "four"
data = { name = "fashion-mnist" }
[architecture]
conditioning = "modulate"
latent_dim = 2
network = { kind = "residual", width = 8, blocks = 1, latent = "map" }
likelihood = { kind = "gaussian" }
[training]
epochs = 1
batch_size = 20
precision = "fp32"
[[then]]
tune = "decoder"
training = { epochs = 2, batch_size = 20 }
[[then]]
prior = { kind = "score", width = 8, blocks = 1, condition_width = 8, steps = 2, guidance = 2.0 }
training = { epochs = 3, batch_size = 20 }
[[then]]
tune = "guidance"
training = { epochs = 2, batch_size = 20 }
"""
FOLDERS = [".", "decoder", "decoder/prior", "decoder/prior/guidance"]


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    file = tmp_path / "four.toml"
    file.write_text(RECIPE)
    return file


def changed(before: CVAE, after: CVAE) -> set[str]:
    """Return the parts of a model, by the first two words of their names, that two models do not share."""
    ours, theirs = named_tensors(before), named_tensors(after)
    differing = {name for name in ours.keys() & theirs.keys() if not same(ours[name].detach(), theirs[name].detach())}
    return {".".join(name.split(".")[:2]) for name in differing | (ours.keys() ^ theirs.keys())}


def test_a_recipe_goes_through_all_its_stages_and_each_changes_its_part(
    cvae: Command, recipe_file: Path, tmp_path: Path
) -> None:
    data = ["--data-dir", str(FASHION), "--limit", "80"]
    done = cvae("train", str(recipe_file), *data, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "afterwards: its decoder, 2 epochs; a prior, 3 epochs; its guidance, 2 epochs" in done.stderr
    run = tmp_path / "run"
    assert stage_folders(run) == [run / folder for folder in FOLDERS]
    assert done.stdout.strip() == str(Path("run", FOLDERS[-1], "model"))
    lines = [len((run / folder / "metrics.jsonl").read_text().splitlines()) for folder in FOLDERS]
    assert lines == [1, 2, 3, 2]
    assert find_model(run) == run / FOLDERS[-1] / "model"

    first, decoded, prior, guided = (CVAE.from_pretrained(run / folder / "model") for folder in FOLDERS)
    decoder = {f"network.{part}" for part in first.network.decoder_parts}
    assert {name for name in changed(first, decoded) if name.startswith("network")} == decoder
    assert all(name.startswith("prior.") for name in changed(decoded, prior))
    assert all(name.startswith("prior.") for name in changed(prior, guided))
    assert [prior.config.architecture.prior.guidance_input, guided.config.architecture.prior.guidance_input] == [
        False,
        True,
    ]

    # what is gone of the last stages is trained again, to the same bits
    weights = {folder: (run / folder / "model" / "model.safetensors").read_bytes() for folder in FOLDERS}
    for path in sorted((run / "decoder" / "prior").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    again = cvae("train", "--resume", "run")
    assert again.returncode == 0, again.stderr
    assert {folder: (run / folder / "model" / "model.safetensors").read_bytes() for folder in FOLDERS} == weights

    # a run is replaced as a whole, and by nothing less
    (run / "decoder" / "prior" / "notes.txt").write_text("mine")
    refused = cvae("train", str(recipe_file), *data, "--out", "run", "--force")
    assert (refused.returncode, "decoder/prior/notes.txt" in refused.stderr) == (2, True)
    (run / "decoder" / "prior" / "notes.txt").unlink()
    done = cvae("train", "fashion-concat", *data, "--out", "run", "--force", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert stage_folders(run) == [run]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("then.2.training.epochs", 9, [1, 2, 3, 9]),
        ("then.0.training.epochs", 9, [1, 9, 3, 2]),
        ("then.training.epochs", 9, [1, 9, 3, 2]),
    ],
)
def test_a_number_says_which_stage_a_setting_is_of(
    recipe_file: Path, key: str, value: int, expected: list[int]
) -> None:
    recipe = read_recipe(recipe_file, {key: value})
    assert [training.epochs for training in recipe.trainings] == expected
    assert recipe.epochs == " + ".join(map(str, expected))


def test_mistakes_in_stages_are_named(recipe_file: Path) -> None:
    for changes, message in [
        ({"then.3.training.epochs": 1}, "there is no number 3, only 3 from 0 on"),
        ({"then.1.training.epoch": 1}, 'unknown key "then.1.training.epoch".* Did you mean "then.1?.?training.epoch'),
        ({"then.1.tune": "prior"}, '"then.1" needs either a prior or a part to tune'),
        ({"then.0.tune": "encoder"}, '"then.0.tune"'),
        ({"then.1.prior.layers": 3}, '"then.1.prior.layers" is not a setting of the kind "score"'),
    ]:
        with pytest.raises(UsageError, match=message):
            read_recipe(recipe_file, changes)


def test_a_recipe_of_an_earlier_version_has_a_single_table(tmp_path: Path) -> None:
    old = tmp_path / "old.toml"
    old.write_text(recipe_to_toml(load_recipe("fashion")).replace("[[then]]", "[then]"))
    assert "[[then]]" not in old.read_text()
    changes = {"then.training.epochs": 5}
    assert read_recipe(old, changes) == load_recipe("fashion", changes)
    assert read_recipe(old, changes).trainings[1].epochs == 5
    assert read_recipe(old, prior="none").then == ()


def test_prior_exchanges_what_trains_the_prior(recipe_file: Path) -> None:
    stages = {
        kind: [each.name for each in read_recipe(recipe_file, prior=kind).then] for kind in ("none", "flow", "score")
    }
    assert stages == {"none": ["decoder"], "flow": ["decoder", "prior"], "score": ["decoder", "prior", "guidance"]}


# ---- the network of a finished model ----------------------------------------------------------------------------


@pytest.mark.usefixtures("no_grids")
@pytest.mark.parametrize("variant", ["map-attentive", "map-flow", "dense-concat"])
def test_tuning_the_network_keeps_the_prior(tmp_path: Path, variant: str) -> None:
    model, start = small_model(variant), tmp_path / variant
    model.save_pretrained(start)
    run = Run(tmp_path / "run")
    recipe = recipe_for_tuning(str(start), model.config, "network", {"training.epochs": 1, "training.batch_size": 8})
    run.create(recipe, force=False)
    data = data_for(variant, 8), data_for(variant, 4)
    fit(run, recipe, *data, device=CPU, resume=False, callback=Recorder())
    parts = {name.split(".")[0] for name in changed(model, CVAE.from_pretrained(run.folder))}
    assert "network" in parts
    assert "prior" not in parts


def test_a_captioned_folder_starts_from_the_closest_model_unless_asked_otherwise(
    cvae: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts(tmp_path / "pics", 20)
    short = ["--epochs", "1", "--set", "data.epoch_size=1", "--set", "training.steps=1", "--set", "then=[]"]
    done = cvae("train", "folder:pics", *short, "--batch-size", "2", "--limit", "4")
    assert done.returncode == 0, done.stderr
    assert "starts from one of scenes, emoji; from nothing:" in done.stderr
    assert "starts from scenes, which describes them best (-ELBO: scenes " in done.stderr
    model = CVAE.from_pretrained(tmp_path / "runs" / "pics")
    scenes = CVAE.from_pretrained("scenes")
    assert model.config.hybrid
    assert model.config.architecture == scenes.config.architecture
    # two steps of two pictures change little
    weight = "network.encoder.0.blocks.0.first.weight"
    change = (named_tensors(model)[weight] - named_tensors(scenes)[weight]).abs().max()
    assert 0 < change < 0.01

    for options, recipe, start in [
        ({}, "finetune", "scenes"),  # or emoji: the pictures decide when the training starts
        ({"model": "scenes"}, "finetune", "scenes"),
        ({"model": "emoji"}, "finetune", "emoji"),
        ({"settings": {"start": "emoji"}}, "finetune", "emoji"),
        ({"settings": {"start": "none"}}, "pictures", None),
        ({"size": 32}, "pictures", None),
        ({"latent_dim": 4}, "pictures", None),
        ({"prior": "flow"}, "pictures", None),
    ]:
        planned = plan_training("folder:pics", **options, out="other").recipe
        assert (planned.start or "None").endswith(str(start))
        assert planned.training.epochs == load_recipe(recipe).training.epochs
    assert plan_training("fashion", settings={"start": "none"}) == plan_training("fashion")
    words = ["--latent-dim", "4", "--out", "other", "--dry-run", "--json"]
    planned = json.loads(cvae("train", "folder:pics", *words).stdout)
    assert planned.get("start") is None
    assert planned["training"]["epochs"] == load_recipe("pictures").training.epochs
    refused = cvae("train", "finetune", "--data", "folder:pics", "--size", "32")
    assert refused.returncode == 2
    assert '"data.size" is 64 in scenes, the model to start from, not 32' in refused.stderr
    missing = cvae("train", "folder:pics", "--model", "scened")
    assert missing.returncode == 2
    assert 'Did you mean "scenes"' in missing.stderr


def test_the_closest_start_has_the_lowest_bound_on_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples of a bundled model are its own kind of picture."""
    models = {name: CVAE.from_pretrained(name) for name in ("scenes", "emoji")}
    monkeypatch.setattr(CVAE, "from_pretrained", lambda start, device: models[Path(start).name])  # they are loaded once
    for name, model in models.items():
        folder = tmp_path / name
        folder.mkdir()
        for caption in ("a dog on grass", "a red house"):
            (picture,) = model.generate(caption)
            for number in (1, 2):
                picture.save(folder / f"{caption} {number}.png")
                (folder / f"{caption} {number}.txt").write_text(caption)
        plan = plan_training(f"folder:{folder}", out=tmp_path / "run")
        recipes = [plan.recipe, *plan.alternatives]
        assert [Path(recipe.start or "").name for recipe in recipes] == ["scenes", "emoji"]
        _, validation = load_training_data(plan.recipe, CPU, callback=ignore)
        notices: list[Event] = []
        chosen = closest(recipes, validation, CPU, notices.append)
        assert chosen is recipes[("scenes", "emoji").index(name)]
        assert chosen.architecture == model.config.architecture
        bound = evaluate_bound(model, Batches(validation, batch_size=8, device=CPU)).negative_elbo.mean()
        (notice,) = (each.text for each in notices if isinstance(each, Notice))
        assert notice.startswith(f"starts from {name}, which describes them best (-ELBO: scenes ")
        assert f"{name} {float(bound):,.0f}" in notice


def test_a_folder_of_classes_is_learned_from_nothing(tmp_path: Path) -> None:
    from test_train_function import make_folder

    plan = plan_training(f"folder:{make_folder(tmp_path / 'pics', 4)}", out=tmp_path / "run")
    assert plan.recipe.start is None
    assert plan.recipe.training == load_recipe("pictures").training


# ---- guidance -----------------------------------------------------------------------------------------------------


def guided(model: CVAE, z: torch.Tensor, t: float, guidance: float) -> torch.Tensor:
    prior = model.prior
    assert isinstance(prior, FlowMatching)
    condition = torch.arange(len(z)) % 10
    with torch.no_grad():
        return prior._guided_velocity(z, t, prior._code(condition), condition, guidance)


def test_one_call_learns_what_guidance_makes_of_two() -> None:
    model = small_model("map-score")
    architecture = recipe_for_tuning("start", model.config, "guidance").architecture
    student = CVAE(model.config.model_copy(update={"architecture": architecture}))
    student.load_state_dict(model.state_dict(), strict=False)
    objective = GuidanceObjective(student)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
    batches = objective.make_batches(data_for("map-score", 32), batch_size=32, device=CPU)
    objective.calibrate(batches)
    torch.manual_seed(0)
    for epoch in range(100):
        ((moments, condition),) = batches.epoch(epoch)
        optimizer.zero_grad()
        objective.losses(moments, condition).mean().backward()
        optimizer.step()
    z = torch.randn(32, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    alone = guided(model, z, 0.5, 1.0)
    for guidance in (3.0, 5.0):
        wanted = guided(model, z, 0.5, guidance)
        left = (guided(student, z, 0.5, guidance) - wanted).square().mean() / (alone - wanted).square().mean()
        assert left < 0.5  # without an effect of the scale it would be 1


@pytest.mark.usefixtures("no_grids")
def test_the_teacher_of_a_training_that_goes_on_is_the_prior_of_its_start(tmp_path: Path) -> None:
    model = small_model("map-score")
    model.save_pretrained(tmp_path / "start")
    changes = {"training.epochs": 2, "training.batch_size": 8, "training.learning_rate": 1e-2}
    recipe = recipe_for_tuning(str(tmp_path / "start"), model.config, "guidance", changes)
    data = data_for("map-score", 16), data_for("map-score", 4)
    runs = [Run(tmp_path / name) for name in ("whole", "broken")]
    for run in runs:
        run.create(recipe, force=False)
    fit(runs[0], recipe, *data, device=CPU, resume=False, callback=Recorder())
    with pytest.raises(ConnectionError):
        fit(runs[1], recipe, *data, device=CPU, resume=False, callback=Recorder(stop_after=1))
    fit(runs[1], recipe, *data, device=CPU, resume=True, callback=Recorder())
    assert weights(runs[0]) == weights(runs[1])


def test_guidance_needs_a_prior_that_has_it(tmp_path: Path) -> None:
    for variant in ("map-flow", "map-none"):
        model = small_model(variant)
        recipe = recipe_for_tuning("start", model.config, "guidance")
        assert recipe.architecture == model.config.architecture
        with pytest.raises(CvaeError, match="guidance is taught to a conditional prior of the kind score"):
            GuidanceObjective(model)


# ---- steps --------------------------------------------------------------------------------------------------------


def test_a_large_step_learns_to_lead_where_small_ones_do() -> None:
    student = small_model("map-attentive", {"architecture.prior": ATTENTIVE["architecture.prior"] | {"blocks": 1}})
    prior = student.prior
    assert isinstance(prior, FlowMatching)
    torch.manual_seed(0)
    for parameter in prior.write.parameters():  # a field of velocities that a straight step does not follow
        parameter.data += 0.5 * torch.randn_like(parameter)
    objective = StepsObjective(student)
    optimizer = torch.optim.Adam(objective.parameters(), lr=2e-3)
    batches = objective.make_batches(data_for("map-attentive", 8), batch_size=8, device=CPU)
    objective.calibrate(batches)
    ((moments, condition),) = batches.epoch(0)
    noise = torch.randn(8, *student.latent_shape, generator=torch.Generator().manual_seed(0))

    def ends(of: FlowMatching, steps: int, *, is_mean: bool = True) -> torch.Tensor:
        with torch.no_grad():
            plan = adams_bashforth(steps, order=1, shift=1.0)
            return of._path(noise, plan, condition, 3.0, is_mean=is_mean)[-1]

    wanted, before = ends(objective.teacher, 25, is_mean=False), ends(prior, 1)
    for _ in range(20):
        optimizer.zero_grad()
        objective.losses(moments, condition).mean().backward()
        optimizer.step()
    assert (ends(prior, 1) - wanted).square().mean() < 0.6 * (before - wanted).square().mean()
    moment = torch.full((8,), 0.5)
    with torch.no_grad():  # the bound needs the velocity at each moment, still
        now, then = (each.velocity(noise, moment, each._code(condition)) for each in (prior, objective.teacher))
    assert (now - then).square().mean() < 0.4 * then.square().mean()


def test_steps_are_taught_after_the_guidance(tmp_path: Path) -> None:
    recipe = recipe_for_tuning("start", small_model("map-score").config, "steps")
    model = CVAE(small_model("map-score").config.model_copy(update={"architecture": recipe.architecture}))
    with pytest.raises(CvaeError, match="guided in one call of its network"):
        StepsObjective(model)
    with pytest.raises(CvaeError, match="large steps are taught to a prior of the kind score"):
        StepsObjective(small_model("map-flow"))


# ---- windows in the prior's stage --------------------------------------------------------------------------------


def test_what_a_prior_is_told_of_a_window() -> None:
    windows = Windows(np.array([0, 80, 112]), np.array([0, 48, 0]), np.array([0, 0, 16]))
    plain, mirrored = (describe(windows, 128, np.full(3, each)) for each in (False, True))
    torch.testing.assert_close(plain, torch.tensor([[0, 0, 0], [3, 0.75, -0.75], [1, -0.25, 0.25]]))
    torch.testing.assert_close(mirrored, plain * torch.tensor([1, 1, -1]))


def test_latents_of_windows_are_served_with_what_they_show() -> None:
    model = small_model("captioned-map-score")
    small, larger = captioned(40), captioned(40, size=32)
    data = replace(small, larger=larger)
    settings: dict[str, Any] = {"batch_size": 40, "device": CPU, "seed": 3}
    served = LatentBatches(model, data, windows=True, **settings)
    ((moments, _),) = served.epoch(0)
    channels = model.latent_shape[0]
    assert moments.shape[2] == channels + 3
    told = moments[:, 0, channels:, 0, 0]
    is_window = told[:, 0] > 0
    assert 10 < is_window.sum() < 30
    assert not told[~is_window].any()
    ((pictures, condition),) = Batches(small, **settings).in_order()  # with the first caption of each picture
    with torch.no_grad():
        whole = model.posterior(pictures, condition).mean.flatten(1)
    nearest = torch.cdist(moments[:, 0, :channels].flatten(1), whole).amin(1)
    assert nearest[~is_window].max() < 0.02 < nearest[is_window].min()
    ((in_order, _),) = served.in_order()
    assert not in_order[:, 0, channels:].any()
    # without the setting, or without larger pictures, there are whole pictures alone
    for each, has_windows in ((data, False), (small, True)):
        ((plain, _),) = LatentBatches(model, each, windows=has_windows, **settings).epoch(0)
        assert plain.shape[2] == channels


def test_a_prior_learns_from_windows(cvae: Command, tmp_path: Path) -> None:
    texts(tmp_path / "pics", 20)
    small = ["--size", "16", "--set", "architecture.network.width=8", "--set", "architecture.latent_dim=2"]
    small += ["--set", "then.prior.width=32", "--set", "then.prior.blocks=1", "--set", "data.epoch_size=1"]
    small += ["--epochs", "1", "--set", "data.windows=32", "--set", "then.prior.window_input=true"]
    done = cvae("train", "folder:pics", *small, "--out", "run")
    assert done.returncode == 0, done.stderr
    prior = CVAE.from_pretrained(tmp_path / "run").prior
    assert isinstance(prior, FlowMatching)
    assert prior.window is not None
    assert prior.window.weight.any()
    drawn = cvae("generate", "a dog on a beach", "--model", "run", "-o", "dog.png")
    assert drawn.returncode == 0, drawn.stderr
