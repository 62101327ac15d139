"""What the page may ask for: every field bounded, none unknown."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_PROMPT = 2000
"""Characters of a prompt; the longest caption of COCO has 250."""
MAX_PICTURES = 64
"""Pictures of one drawing."""

Name = Annotated[str, Field(max_length=400)]
Prompt = Annotated[str, Field(max_length=MAX_PROMPT)]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""The key of a picture on the shelf."""


class Asked(BaseModel):
    """A question of the page to a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: Name


class Sampling(Asked):
    """A question with settings of sampling; the library knows their bounds."""

    seed: int = 0
    temperature: float = 1.0
    guidance: float | None = None


class Drawing(Sampling):
    """Pictures of a prompt."""

    prompt: Prompt = ""
    n: int = Field(default=8, ge=1, le=MAX_PICTURES)


class Picture(Asked):
    """A picture, and what it shows."""

    picture: Key
    prompt: Prompt | None = None


class Move(Picture):
    """A picture whose latent is moved."""

    amounts: Annotated[dict[Name, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=64)] = {}


class End(BaseModel):
    """An end of a morph: a prompt or a picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Prompt | None = None
    picture: Key | None = None


class Morph(Sampling):
    """A way between two ends."""

    start: End
    end: End
    prompt: Prompt | None = None
    steps: int = Field(default=9, ge=2, le=33)


class Map(Asked):
    """The map of a model's latents."""

    method: Annotated[str, Field(pattern="^(pca|tsne)$")] = "pca"


class Point(Asked):
    """A point of a map."""

    point: int = Field(ge=0)
