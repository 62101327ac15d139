"""Build what a recipe describes: its model and its objective."""

from cvae_cli.config.condition import ConditionSettings
from cvae_cli.config.model import ImageShape, ModelConfig, Prior, ScorePrior
from cvae_cli.config.recipe import Part, Recipe, TrainingSettings
from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, ignore
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.device import pick_device
from cvae_cli.runtime.randomness import seed_generators
from cvae_cli.training.frozen import load_frozen
from cvae_cli.training.objectives.bound import BoundObjective
from cvae_cli.training.objectives.decoder import DecoderObjective
from cvae_cli.training.objectives.distillation import GuidanceObjective, StepsObjective
from cvae_cli.training.objectives.hybrid import HybridObjective
from cvae_cli.training.objectives.objective import Objective
from cvae_cli.training.objectives.perceptual import PerceptualObjective
from cvae_cli.training.objectives.prior import PriorObjective

_DISTILLATIONS: dict[Part, type[PriorObjective]] = {"guidance": GuidanceObjective, "steps": StepsObjective}


def build_model(recipe: Recipe, dataset: str, image: ImageShape, condition: ConditionSettings) -> CVAE:
    """Build the untrained model of a recipe. The recipe's seed decides its random weights.

    Args:
        dataset: the name of the data set, for the model's configuration.
        image: the shape of its pictures.
        condition: what the pictures are conditioned on.

    Raises:
        UsageError: the parts of the recipe do not fit each other or the pictures.
    """
    seed_generators(recipe.training.seed, pick_device())
    return CVAE(
        ModelConfig(
            name=recipe.name,
            dataset=dataset,
            image=image,
            condition=condition,
            architecture=recipe.architecture,
            hybrid=recipe.is_hybrid,
        )
    )


def build_objective(recipe: Recipe, model: CVAE, callback: Callback = ignore) -> Objective:
    """Build the objective of a recipe, with the frozen network that it names.

    Args:
        callback: receives the progress of a download.

    Raises:
        UsageError: the model cannot be trained with this objective.
        MissingError, CorruptError: see `load_frozen`.
    """
    training = recipe.training
    frozen = None
    if training.features is not None:
        _check_features(training)
        frozen = load_frozen(training.features, model.config.image.size, model.device, callback)
    if recipe.tune in {"network", "decoder"} and training.is_hybrid and frozen is None:
        raise UsageError(f"a {recipe.tune} is tuned without a discriminator", hint="--set training.features=vgg16")
    if recipe.tune == "decoder":
        return DecoderObjective(model, training.perceptual, frozen)
    if recipe.start is not None and recipe.tune != "network":
        if training.is_hybrid:
            raise UsageError("a prior is trained on latents: there are no pictures for another network to judge")
        return (_DISTILLATIONS.get(recipe.tune, PriorObjective) if recipe.tune else PriorObjective)(model)
    keep_prior = recipe.tune == "network"
    if frozen is not None:
        return PerceptualObjective(model, training.perceptual, training.free_bits, frozen, keep_prior=keep_prior)
    if training.is_hybrid:
        return HybridObjective(model, training)
    return BoundObjective(model, training.free_bits, keep_prior=keep_prior)


def _check_features(training: TrainingSettings) -> None:
    """Raise a UsageError if the frozen network would have no effect, or not the one that is expected."""
    if not training.perceptual:
        raise UsageError(
            "training.features needs training.perceptual", hint="for example:  --set training.perceptual=0.1"
        )
    if training.adversarial:
        raise UsageError("give either training.features or training.adversarial", hint="--set training.adversarial=0")


def load_start(model: CVAE, recipe: Recipe) -> None:
    """Load the finished model that a recipe starts from; the prior stays untrained where a new one is fitted.

    Raises:
        UsageError: the two models differ in more than that.
    """
    assert recipe.start is not None
    finished = CVAE.from_pretrained(recipe.start)
    # Draw as many random numbers as loading it did in version 0.1.0, whose runs must go on to the same prior: the noise
    # of its calibration comes next.
    CVAE(finished.config)
    ours, theirs = model.config.published(), finished.config.published()
    architecture = theirs.architecture
    if recipe.tune is None or _only_adds_input(recipe.tune, theirs.architecture.prior, ours.architecture.prior):
        architecture = architecture.model_copy(update={"prior": ours.architecture.prior})
    if (theirs.image, theirs.condition, architecture) != (ours.image, ours.condition, ours.architecture):
        raise UsageError(
            f"{recipe.start} is built differently from what the recipe says",
            hint="its pictures, its classes, its text encoder or its network differ from the recipe's",
        )
    model.network.load_state_dict(finished.network.state_dict())
    model.likelihood.load_state_dict(finished.likelihood.state_dict())
    if recipe.tune is not None:
        # an input that it lacks is new
        model.prior.load_state_dict(finished.prior.state_dict(), strict=recipe.tune not in _DISTILLATIONS)


def _only_adds_input(part: Part, theirs: Prior, ours: Prior) -> bool:
    """Whether a prior has an input for what it is taught, and is otherwise built as another one."""
    if not isinstance(theirs, ScorePrior) or not isinstance(ours, ScorePrior):
        return False
    return ours == theirs.taught(part, steps=ours.steps)
