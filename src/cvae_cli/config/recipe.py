"""What a recipe is: all settings of a training run. `recipe_files` reads, changes and writes them."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator
from pydantic_core import PydanticCustomError

from cvae_cli.config.base import Settings
from cvae_cli.config.model import Architecture, LearnedPrior, ScorePrior

Precision = Literal["auto", "fp32", "bf16"]


class DataSettings(Settings):
    """The data that a model is trained on."""

    name: str
    """The name of a data set, `folder:PATH` or `webdataset:PATTERN`."""
    size: PositiveInt | None = None
    """Pixels a side; by default the data set's own size, or 64 if it has none."""
    condition: str | None = None
    """What the model is conditioned on: `labels`, or the captions by a text encoder (`static`, `clip`,
    `clip:ARCHITECTURE/TAG`, `clip:FOLDER`). By default `labels` if the data set has classes, else `static`."""
    dir: str | None = None
    """A folder with the published files of the data set, used instead of the cache."""
    limit: PositiveInt | None = None
    """Train on so many pictures only: the first ones, or the first ones of each class."""
    stream: bool = False
    """Read the pictures of shards (`webdataset:PATTERN`) while training, instead of preparing them in the cache."""
    buffer: PositiveInt = 10_000
    """Pictures in the shuffle buffer of a stream."""
    readers: PositiveInt = 4
    """Processes that read and decode a stream. With another number the pictures come in another order."""
    holdout: PositiveInt = 2000
    """Number of training pictures held out for validation, at most a tenth of them; for a folder with `val/`, none."""
    flip: bool = False
    """Mirror pictures at random, with probability 1/2."""
    windows: PositiveInt | None = None
    """Keep the training pictures in this size too, and show half of them in part: a random square window, from 5/8 to
    7/8 of a side, resized to `size`. Only for data sets whose pictures are available in any size."""
    epoch_size: PositiveInt = 1
    """Least number of pictures in an epoch. A smaller data set is repeated within an epoch."""


class TrainingSettings(Settings):
    """How a model is trained."""

    epochs: PositiveInt
    steps: PositiveInt | None = None
    """Steps in an epoch; by default an epoch goes through the pictures as `data.epoch_size` says."""
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "one-cycle"] = "constant"
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of Adam's average of squared gradients. Short trainings learn faster with a smaller value."""
    weight_decay: NonNegativeFloat = 0.0
    beta: NonNegativeFloat = 1.0
    """Weight of the rate in the loss; with 1 the loss is the negative ELBO."""
    beta_warmup_epochs: NonNegativeFloat = 0.0
    """Number of epochs over which the weight of the rate grows from 0 to `beta`."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which becomes the model; 0 turns averaging off."""
    keep: Literal["best", "last"] = "best"
    """The epoch whose weights become the model: the one with the best bound on the validation pictures, or the last.
    With little data, the bound of a prior starts to overfit long before its samples are at their best."""
    gradient_clip: NonNegativeFloat = 0.0
    """Largest norm of the gradient; 0 turns clipping off."""
    skip_above: NonNegativeFloat = 0.0
    """Skip (and count) steps whose gradient has a larger norm; 0 skips none."""
    free_bits: NonNegativeFloat = 0.0
    """Nats of rate that each number of the latent has for free, averaged over the batch (Kingma et al. 2016). Only
    for the standard prior."""
    perceptual: NonNegativeFloat = 0.0
    """Weight of the distance between pictures and reconstructions in the features of a network: the frozen one that
    `features` names, or a discriminator that is trained beside the model. Makes a hybrid."""
    features: str | None = None
    """The frozen network of `perceptual`: `vgg16`, or `MODULE:CALLABLE` for your own, a torch module from pictures in
    [0, 1], `(b, 3, h, w)`, to a list of feature maps `(b, c, h, w)`. Without, the network is a discriminator."""
    adversarial: NonNegativeFloat = 0.0
    """Weight of a discriminator's loss on reconstructions; makes a hybrid."""
    precision: Precision = "auto"
    compile: bool = False
    """Compile the training step with `torch.compile`, on a GPU into CUDA graphs. The first step takes up to a minute,
    later ones may be faster. On a CPU this needs a C++ compiler."""
    seed: int = Field(0, ge=0, lt=2**32)

    @property
    def is_hybrid(self) -> bool:
        """Whether the loss has terms besides the bound."""
        return bool(self.perceptual or self.adversarial)


Part = Literal["network", "decoder", "prior", "guidance", "steps"]
"""A part of a finished model that can be trained on: the encoder and the decoder, the decoder alone, the prior, the
prior's guidance, which is taught to do in one call of the network what takes two, or its steps, of which a few large
ones are taught to lead where many small ones do."""


class Stage(Settings):
    """A further training of the model from the training before it: a new prior for it, or a part that is trained on."""

    prior: LearnedPrior | None = None
    """A new prior, which is fitted to the posterior."""
    tune: Part | None = None
    """The part that is trained on, instead."""
    steps: PositiveInt | None = None
    """How many steps the prior takes then, if it is its steps that are tuned; 4 by default."""
    training: TrainingSettings

    @model_validator(mode="after")
    def _check_one(self) -> "Stage":
        if (self.prior is None) == (self.tune is None):
            raise PydanticCustomError("needs", "needs either a prior or a part to tune")
        if self.steps is not None and self.tune != "steps":
            raise PydanticCustomError("needs", 'needs tune = "steps" for a number of steps')
        return self

    @property
    def name(self) -> str:
        """What it trains, which also names the folder of its run."""
        return self.tune or "prior"


class Recipe(Settings):
    """All settings of a run. Together with the data they determine it."""

    name: str
    description: str = ""
    start: str | None = None
    """A trained model, by name or folder, to which only a new prior is fitted, or of which a part is tuned. A recipe
    that names one may leave out its architecture."""
    tune: Part | None = None
    """The part of that model that is trained on, while everything else stays as it is; without, a new prior."""
    start_sha256: str | None = None
    """Digest of the weights of that model, which identifies its version."""
    start_hybrid: bool = False
    """Whether that model was trained with terms besides the bound."""
    data: DataSettings
    architecture: Architecture
    training: TrainingSettings
    then: tuple[Stage, ...] = ()
    """The further trainings, in order."""

    @field_validator("then", mode="before")
    @classmethod
    def _read_table(cls, value: Any) -> Any:
        """Take a single table, `[then]`, for a list of one: in version 0.1.0 there could be no more."""
        return [value] if isinstance(value, dict) else value

    def next_stage(self, model: Path | None = None, sha256: str | None = None) -> "Recipe | None":
        """Return the recipe of the next training, which has the seed of this one; None if this is the last.

        Args:
            model: folder of the model from this training; without, the next training has no start yet.
            sha256: digest of that model's weights.
        """
        if not self.then:
            return None
        stage, *others = self.then
        training = stage.training.model_copy(update={"seed": self.training.seed})
        if training.precision == "auto":
            training = training.model_copy(update={"precision": self.training.precision})
        return self.model_copy(
            update={
                "start": str(model or ""),
                "tune": stage.tune,
                "start_sha256": sha256,
                "start_hybrid": self.is_hybrid,
                "architecture": self._next_architecture(stage),
                "training": training,
                "then": tuple(others),
            }
        )

    def _next_architecture(self, stage: Stage) -> Architecture:
        """Return how the model is built after the next training."""
        prior = self.architecture.prior if stage.prior is None else stage.prior
        if isinstance(prior, ScorePrior):
            prior = prior.taught(stage.tune, steps=stage.steps)
        return self.architecture.model_copy(update={"prior": prior})

    def stages(self) -> "list[Recipe]":
        """Return the recipe of each training, in order, before there are models."""
        stages = [self]
        while (following := stages[-1].next_stage()) is not None:
            stages.append(following)
        return stages

    @property
    def epochs(self) -> str:
        """The numbers of epochs of its trainings: `30`, or `12 + 30` with a second one."""
        return " + ".join(str(training.epochs) for training in self.trainings)

    @property
    def trainings(self) -> tuple[TrainingSettings, ...]:
        """The settings of its trainings, in order."""
        return (self.training, *(stage.training for stage in self.then))

    @property
    def is_hybrid(self) -> bool:
        """Whether the model, or the one that it starts from, is trained with terms besides the bound."""
        return self.training.is_hybrid or self.start_hybrid
