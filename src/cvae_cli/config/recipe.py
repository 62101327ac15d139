"""What a recipe is: all settings of a training run. `recipe_files` reads, changes and writes them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from cvae_cli.config.base import Settings
from cvae_cli.config.model import Architecture, FlowPrior, ScorePrior

Precision = Literal["auto", "fp32", "bf16"]


class DataSettings(Settings):
    """What a model learns from."""

    name: str
    """A data set by name, or `folder:PATH`."""
    size: PositiveInt | None = None
    """Pixels a side; the data set's own, or 64, when absent."""
    condition: str | None = None
    """What the model is told of each picture: `labels`, or a text encoder that reads its captions (`static`, `clip`,
    `clip:ARCHITECTURE/TAG`, `clip:FOLDER`); when absent, labels where the data has classes, else `static`."""
    dir: str | None = None
    """A folder with the data set's published files, instead of the cache."""
    limit: PositiveInt | None = None
    """Only the first so many training pictures."""
    holdout: PositiveInt = 2000
    """Training pictures kept back to choose the best epoch by (a tenth of them where that is fewer)."""
    flip: bool = False
    """Mirror every other picture, at random."""
    epoch_size: PositiveInt = 1
    """Pictures in an epoch, at least: a small data set is gone through several times."""


class TrainingSettings(Settings):
    """How a model is fitted."""

    epochs: PositiveInt
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "one-cycle"] = "constant"
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of Adam's average of squared gradients; a training of few steps learns faster with a shorter memory."""
    weight_decay: NonNegativeFloat = 0.0
    beta: NonNegativeFloat = 1.0
    """Weight of the rate in the loss; 1 is the bound itself."""
    beta_warmup_epochs: NonNegativeFloat = 0.0
    """Over how many epochs the weight of the rate grows from 0 to `beta`."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that becomes the model; 0 takes the weights as they are."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights become the model: the best by its bound on the pictures kept back, or the last. After few
    pictures a prior overfits by that bound long before its samples are at their best."""
    gradient_clip: NonNegativeFloat = 0.0
    """Largest norm of a gradient; 0 leaves gradients alone."""
    skip_above: NonNegativeFloat = 0.0
    """Norm of a gradient beyond which no step is taken, only counted; 0 takes every step."""
    free_bits: NonNegativeFloat = 0.0
    """Nats that each number of the latent may cost for nothing, a mean over the batch (Kingma et al. 2016); for the
    standard prior."""
    perceptual: NonNegativeFloat = 0.0
    """Weight of the distance between pictures and reconstructions as a discriminator sees them; makes a hybrid."""
    adversarial: NonNegativeFloat = 0.0
    """Weight of what a discriminator says of reconstructions; makes a hybrid."""
    precision: Precision = "auto"
    compile: bool = False
    """Translate the arithmetic of a step with `torch.compile`, on a GPU into CUDA graphs: the first step takes up to a
    minute, the others may be faster. A CPU needs a C++ compiler for it."""
    seed: int = Field(0, ge=0, lt=2**32)

    @property
    def is_hybrid(self) -> bool:
        """Whether more than the bound is learned."""
        return bool(self.perceptual or self.adversarial)


class PriorStage(Settings):
    """A second training, of a prior alone, on the posterior of the model that the first has made."""

    prior: Annotated[FlowPrior | ScorePrior, Field(discriminator="kind")]
    training: TrainingSettings


class Recipe(Settings):
    """All that a run depends on besides the data itself."""

    name: str
    description: str = ""
    start: str | None = None
    """A finished model, by name or folder: only its prior is learned anew."""
    start_sha256: str | None = None
    """Digest of its weights, by which a later version of it is told from it."""
    start_hybrid: bool = False
    """Whether it learned with more than the bound."""
    data: DataSettings
    architecture: Architecture
    training: TrainingSettings
    then: PriorStage | None = None
    """What is learned after it."""

    def next_stage(self, model: Path | None = None, sha256: str | None = None) -> "Recipe | None":
        """The recipe of the second training, which starts from the first one's model and shares its seed.

        Args:
            sha256: digest of the model's weights.
        """
        if self.then is None:
            return None
        training = self.then.training.model_copy(update={"seed": self.training.seed})
        if training.precision == "auto":
            training = training.model_copy(update={"precision": self.training.precision})
        return self.model_copy(
            update={
                "start": str(model),
                "start_sha256": sha256,
                "start_hybrid": self.training.is_hybrid,
                "architecture": self.architecture.model_copy(update={"prior": self.then.prior}),
                "training": training,
                "then": None,
            }
        )

    @property
    def is_hybrid(self) -> bool:
        """Whether its model, or the one that it starts from, learns with more than the bound."""
        return self.training.is_hybrid or self.start_hybrid
