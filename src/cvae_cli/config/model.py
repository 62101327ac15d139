"""What a model is: the settings in `config.json` and in the [architecture] of a recipe, from which it can be rebuilt.

A network, likelihood or prior has a settings class here, which is a member of the union of its kind.
"""

from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from cvae_cli.config.base import Settings, Width
from cvae_cli.config.condition import ClipCondition, ConditionSettings

Depth = Annotated[int, Field(ge=1, le=1_000)]
"""A number of layers."""
Conditioning = Literal["none", "concat", "add", "modulate"]
"""How a condition enters a network; see `models.condition.Join`."""


class ImageShape(Settings):
    """Square pictures of `size` pixels a side, with 1 channel (grey) or 3 (RGB)."""

    size: Annotated[int, Field(ge=1, le=4_096)]
    channels: Literal[1, 3]

    def __str__(self) -> str:
        """How the pictures are called: `28x28 grey`, `64x64 colour`."""
        return f"{self.size}x{self.size} {'grey' if self.channels == 1 else 'colour'}"


class Part(Settings):
    """The settings of a part of a model: a network, a likelihood or a prior.

    Attributes:
        implementation: the class that is built from the settings, `MODULE:CLASS` in `models/`.
    """

    implementation: ClassVar[str]


class ArticleNetwork(Part):
    """The article's convolutional networks: one for pictures of 28x28, one for powers of two from 8x8."""

    kind: Literal["article"] = "article"
    implementation = "article:article_network"
    label_width: Width = 32
    """Width of a label's embedding. (With `add`, the width is that of the features it is added to.)"""
    condition_width: Width = 1024
    """Width of the linear layer between a condition and the features of larger pictures."""


class ResidualNetwork(Part):
    """Residual blocks at half of the picture's size, at a quarter, and so on."""

    kind: Literal["residual"] = "residual"
    implementation = "residual:ResidualNetwork"
    width: Width = 64
    """Channels at half size; each further halving of the size doubles them."""
    blocks: Depth = 2
    """Residual blocks at each size, in the encoder and again in the decoder."""
    levels: Annotated[int, Field(ge=1, le=8)] | None = None
    """How often the size is halved; by default until 8 pixels a side or an odd number are left."""
    latent: Literal["vector", "map"] = "vector"
    """One latent vector for each picture, or one for each position at the smallest size."""
    full_width: Annotated[int, Field(ge=8, le=65_536, multiple_of=8)] | None = None
    """Channels of decoder blocks at full size. Without, the last layer unfolds pixels from channels at half size, which
    is cheaper and can leave a lattice in flat areas."""

    def halvings(self, size: int) -> int:
        """Return how often pictures of `size` pixels a side are halved."""
        times = 1
        while size >> times > 8 and size % 2 ** (times + 1) == 0:
            times += 1
        return self.levels or times


class DenseNetwork(Part):
    """Fully connected layers: fast trainings on small pictures."""

    kind: Literal["dense"] = "dense"
    implementation = "dense:DenseNetwork"
    width: Width = 512
    """Features of a hidden layer."""
    layers: Depth = 2
    """Hidden layers, in the encoder and again in the decoder."""


Network = Annotated[ArticleNetwork | ResidualNetwork | DenseNetwork, Field(discriminator="kind")]


class BernoulliLikelihood(Part):
    """The cross-entropy of grey values in [0, 1], as in the article."""

    kind: Literal["bernoulli"] = "bernoulli"
    implementation = "bernoulli:Bernoulli"


class GaussianLikelihood(Part):
    """A Gaussian with one variance for all pixels, kept at its optimum: the mean squared error."""

    kind: Literal["gaussian"] = "gaussian"
    implementation = "gaussian:Gaussian"


class LogisticLikelihood(Part):
    """A logistic distribution over the 256 values of a pixel, with one learned scale for each channel."""

    kind: Literal["logistic"] = "logistic"
    implementation = "logistic:DiscretisedLogistic"


Likelihood = Annotated[BernoulliLikelihood | GaussianLikelihood | LogisticLikelihood, Field(discriminator="kind")]


class StandardPrior(Part):
    """p(z) = N(0, I), for every condition."""

    kind: Literal["standard"] = "standard"
    implementation = "standard_normal:StandardNormal"


class FlowPrior(Part):
    """p(z | c) as a conditional coupling flow, trained together with the model or afterwards."""

    kind: Literal["flow"] = "flow"
    implementation = "coupling_flow:CouplingFlow"
    layers: Depth = 8
    width: Width = 256
    condition_width: Width = 32
    """Width of the condition's embedding in the couplings."""


MOST_GUIDANCE = 5.0
"""The largest guidance scale that a network learns which has it as an input."""


class ScorePrior(Part):
    """p(z | c) as a flow-matching network, fitted to the posterior of a trained model in a second stage."""

    kind: Literal["score"] = "score"
    implementation = "flow_matching:FlowMatching"
    width: Annotated[int, Field(ge=8, le=65_536, multiple_of=8)] = 96
    blocks: Depth = 4
    condition_width: Width = 128
    """Width of the embedding of time and condition in the blocks."""
    steps: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Steps from noise to latent."""
    solver_order: Literal[1, 2, 3] = 2
    """Order of the Adams-Bashforth method: how many velocities a step uses. 3 suits weak guidance, 2 strong."""
    time_shift: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    """Where the steps are: 1 for equal steps, larger values for smaller steps near the noise (Esser et al. 2024)."""
    guidance: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Default guidance scale: 1 samples p(z | c), larger values follow the condition more closely, and 0 samples
    the latents of all conditions."""
    attention: bool = False
    """Whether the positions of a latent map attend to each other after every second block, in heads of 32 channels."""
    guidance_input: bool = False
    """Whether the guidance scale is an input of the network, which was distilled from one that is called twice."""
    step_input: bool = False
    """Whether the length of a step is an input of the network, which was distilled to take a few large ones. They are
    of the first order."""
    window_input: bool = False
    """Whether the network is told which part of its picture a latent shows. Then it also learns from the windows of
    `data.windows`, and draws whole pictures all the same."""
    guided: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.0, 1.0)
    """Guide only between these times, from noise at 1 to latent at 0. Outside, it costs time for little effect."""

    @field_validator("attention")
    @classmethod
    def _check_heads(cls, attention: bool, others: ValidationInfo) -> bool:
        width = others.data.get("width")
        if attention and width is not None and width % 32:
            raise PydanticCustomError("needs", "needs a width divisible by 32, not {width}", {"width": width})
        return attention

    @field_validator("step_input")
    @classmethod
    def _check_order(cls, step_input: bool, others: ValidationInfo) -> bool:
        if step_input and others.data.get("solver_order") != 1:
            raise PydanticCustomError("needs", "needs solver_order = 1")
        return step_input

    def taught(self, part: str | None, *, steps: int | None = None) -> "ScorePrior":
        """Return the settings of this prior once it has learned guidance or steps as an input.

        Args:
            part: "guidance" or "steps"; any other part changes nothing.
            steps: how many steps the prior takes then; by default 4, or as many as it has learned already.
        """
        if part == "guidance":
            return self.model_copy(update={"guidance_input": True})
        if part == "steps":
            steps = steps or (self.steps if self.step_input else 4)
            return self.model_copy(update={"step_input": True, "solver_order": 1, "steps": steps})
        return self


LearnedPrior = Annotated[FlowPrior | ScorePrior, Field(discriminator="kind")]
"""The priors that can be fitted to a trained model."""
Prior = Annotated[StandardPrior | FlowPrior | ScorePrior, Field(discriminator="kind")]


class Architecture(Settings):
    """How a model is built, for any data."""

    network: Network = ArticleNetwork()
    conditioning: Conditioning = "concat"
    latent_dim: Width = 128
    """Numbers in a latent vector; for a map, at each position."""
    likelihood: Likelihood = BernoulliLikelihood()
    prior: Prior = StandardPrior()


class ModelConfig(Settings):
    """`config.json` of a model folder."""

    format: Literal[1] = 1
    name: str
    dataset: str
    """The data set that the model was trained on, which `cvae evaluate` uses by default; `folder:NAME` for a folder
    elsewhere."""
    image: ImageShape
    condition: Annotated[ConditionSettings, Field(discriminator="kind")]
    architecture: Architecture
    hybrid: bool = False
    """Whether the loss had perceptual or adversarial terms besides the bound, so that this is not a pure CVAE."""

    def published(self) -> "ModelConfig":
        """Return the settings as others may see them: with the names of folders instead of their paths."""
        kind, colon, place = self.dataset.partition(":")
        if "://" in place:  # whose query may hold a key
            place = place.partition("?")[0]
        changes: dict[str, Any] = {"dataset": f"{kind}:{PurePath(place).name}"} if colon else {}
        if isinstance(self.condition, ClipCondition) and PurePath(self.condition.model).is_absolute():
            changes["condition"] = self.condition.model_copy(update={"model": PurePath(self.condition.model).name})
        return self.model_copy(update=changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as they are written to JSON."""
        return self.published().model_dump(mode="json")
