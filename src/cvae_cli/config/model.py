"""What a model is: everything needed to rebuild it, as it stands in `config.json` and in a recipe's [architecture]."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from cvae_cli.config.base import Settings

Width = Annotated[int, Field(ge=1, le=65_536)]
"""A number of channels or features; the upper end, far beyond use, keeps a slip of the pen from taking all memory."""
Depth = Annotated[int, Field(ge=1, le=1_000)]
"""A number of layers."""
Conditioning = Literal["none", "concat", "add", "modulate"]


class ImageShape(Settings):
    """Square pictures: `size` pixels a side, 1 (grey) or 3 (RGB) channels."""

    size: Annotated[int, Field(ge=1, le=4_096)]
    channels: Literal[1, 3]


class LabelClass(Settings):
    """A class that a prompt can name: its name, and every word or phrase that means it."""

    name: str
    words: tuple[str, ...]

    @field_validator("words")
    @classmethod
    def _can_be_said(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if not any(character.isalnum() for word in words for character in word):
            raise ValueError("no word that a prompt could have")
        return words


class LabelCondition(Settings):
    """Conditions are class indices `(batch,)`; prompts are matched to classes by keyword."""

    kind: Literal["labels"] = "labels"
    classes: Annotated[tuple[LabelClass, ...], Field(min_length=1)]

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.classes]


class StaticCondition(Settings):
    """Conditions are vectors `(batch, width)`: prompts as the embedded sentence encoder sees them."""

    kind: Literal["static"] = "static"
    width: Width
    sha256: str
    """Digest of the encoder's weights: vectors of another encoder mean nothing to the model."""


class ClipCondition(Settings):
    """Conditions are vectors `(batch, width)`: prompts as a CLIP text tower sees them."""

    kind: Literal["clip"] = "clip"
    model: str
    """Where the tower comes from: `ARCHITECTURE/TAG` as open_clip names them, or a folder."""
    width: Width
    sha256: str
    """Digest of the weights file."""


TextCondition = StaticCondition | ClipCondition
Condition = LabelCondition | TextCondition


class ArticleNetwork(Settings):
    """The article's convolutional networks: one for pictures of 28x28, one for 32x32 to 256x256 and beyond."""

    kind: Literal["article"] = "article"
    label_width: Width = 32
    """Width of a label's embedding (`add` takes the widths of what it is added to)."""
    condition_width: Width = 1024
    """Width of the linear layer that a condition passes before it joins the features of larger pictures."""


class ResidualNetwork(Settings):
    """Residual blocks at a half of the picture's size, a quarter, and so on."""

    kind: Literal["residual"] = "residual"
    width: Width = 64
    """Channels at half size; twice as many at each smaller one."""
    blocks: Depth = 2
    """Residual blocks at each size, in the encoder and again in the decoder."""
    levels: Annotated[int, Field(ge=1, le=8)] | None = None
    """How often the size is halved; unless told otherwise until 8 pixels a side are left, or an odd number."""
    latent: Literal["vector", "map"] = "vector"
    """One vector for a picture, or one for each position at the smallest size."""

    def halvings(self, size: int) -> int:
        """How often pictures of `size` pixels a side are halved."""
        times = 1
        while size >> times > 8 and size % 2 ** (times + 1) == 0:
            times += 1
        return self.levels or times


class DenseNetwork(Settings):
    """Fully connected layers, for small pictures in a hurry."""

    kind: Literal["dense"] = "dense"
    width: Width = 512
    """Features of a hidden layer."""
    layers: Depth = 2
    """Hidden layers, in the encoder and again in the decoder."""


class BernoulliLikelihood(Settings):
    """Cross-entropy of grey values in [0, 1], as the article has it."""

    kind: Literal["bernoulli"] = "bernoulli"


class GaussianLikelihood(Settings):
    """A Gaussian with one variance for all pixels, kept at its optimum: the mean squared error."""

    kind: Literal["gaussian"] = "gaussian"


class LogisticLikelihood(Settings):
    """A logistic density summed over each of the 256 values that a pixel can have; one learned scale a channel."""

    kind: Literal["logistic"] = "logistic"


Likelihood = Annotated[BernoulliLikelihood | GaussianLikelihood | LogisticLikelihood, Field(discriminator="kind")]


class StandardPrior(Settings):
    """p(z) = N(0, I), whatever the condition."""

    kind: Literal["standard"] = "standard"


class FlowPrior(Settings):
    """p(z | c): a conditional coupling flow, trained with the rest or afterwards."""

    kind: Literal["flow"] = "flow"
    layers: Depth = 8
    width: Width = 256
    condition_width: Width = 32
    """Width of what the couplings see of the condition."""


class ScorePrior(Settings):
    """p(z | c): a flow-matching network, fitted to the posterior of a finished model in a second stage."""

    kind: Literal["score"] = "score"
    width: Annotated[int, Field(ge=8, le=65_536, multiple_of=8)] = 96
    blocks: Depth = 4
    condition_width: Width = 128
    """Width of what the blocks see of time and condition."""
    steps: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Steps from noise to latent, unless told otherwise."""
    guidance: Annotated[float, Field(ge=0, le=100)] = 1.0
    """How far samples are driven towards the condition, unless told otherwise: 0 ignores it, 1 is p(z | c)."""
    guided: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.0, 1.0)
    """Times, from noise at 1 to latent at 0, between which they are driven; outside it costs time for little."""


Prior = Annotated[StandardPrior | FlowPrior | ScorePrior, Field(discriminator="kind")]


class Architecture(Settings):
    """How a model is built, whatever its data."""

    network: Annotated[ArticleNetwork | ResidualNetwork | DenseNetwork, Field(discriminator="kind")] = ArticleNetwork()
    conditioning: Conditioning = "concat"
    latent_dim: Width = 128
    """Numbers in a latent; of a map, at each position."""
    likelihood: Likelihood = BernoulliLikelihood()
    prior: Prior = StandardPrior()


class ModelConfig(Settings):
    """`config.json` of a model folder."""

    format: Literal[1] = 1
    name: str
    dataset: str
    """The data set the model learned, by its name: what `cvae evaluate` measures it on unless told otherwise."""
    image: ImageShape
    condition: Annotated[Condition, Field(discriminator="kind")]
    architecture: Architecture
    hybrid: bool = False
    """Whether it learned with a perceptual or an adversarial term beside the bound, and is no pure CVAE."""

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")
