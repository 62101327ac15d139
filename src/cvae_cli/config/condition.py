"""What a model is conditioned on: classes, or texts through an encoder. Each kind is a settings class."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from cvae_cli.config.base import Settings, Width


class LabelClass(Settings):
    """A class that a prompt can name: its name, and every word or phrase that means it."""

    name: str
    words: tuple[str, ...]

    @field_validator("words")
    @classmethod
    def _has_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if not any(character.isprintable() and not character.isspace() for word in words for character in word):
            raise ValueError("no word that a prompt could have")
        return words


class LabelCondition(Settings):
    """Conditions are class indices `(batch,)`; prompts are matched to classes by keyword."""

    kind: Literal["labels"] = "labels"
    classes: Annotated[tuple[LabelClass, ...], Field(min_length=1)]

    @property
    def names(self) -> list[str]:
        """The names of the classes."""
        return [each.name for each in self.classes]

    @property
    def option(self) -> str:
        """The value of `--condition` that selects this condition."""
        return "labels"

    @property
    def description(self) -> str:
        """What a model learns from, for its model card."""
        return f"{len(self.classes)} classes, matched to prompts by keyword"


class StaticCondition(Settings):
    """Conditions are vectors `(batch, width)` of texts, by the text encoder that ships with the package."""

    kind: Literal["static"] = "static"
    width: Width
    sha256: str
    """Digest of the encoder's weights. A model can only use vectors of the encoder that it was trained with."""

    @property
    def option(self) -> str:
        """The value of `--condition` that selects this encoder."""
        return "static"

    @property
    def description(self) -> str:
        """What a model learns from, for its model card."""
        return f"captions through the embedded text encoder ({self.width} numbers)"


class ClipCondition(Settings):
    """Conditions are vectors `(batch, width)` of texts, by the text tower of a CLIP model."""

    kind: Literal["clip"] = "clip"
    model: str
    """The CLIP model: `ARCHITECTURE/TAG` as open_clip names it, or a folder: its path, or in a saved model its name."""
    width: Width
    sha256: str
    """Digest of the weights file."""

    @property
    def option(self) -> str:
        """The value of `--condition` that selects this encoder."""
        return f"clip:{self.model}"

    @property
    def description(self) -> str:
        """What a model learns from, for its model card."""
        return f"captions through CLIP's text tower {self.model} ({self.width} numbers)"


TextCondition = StaticCondition | ClipCondition
ConditionSettings = LabelCondition | TextCondition
