"""A model card as a document: a header in YAML, and sections in Markdown that are replaced one at a time.

Users edit their cards. So a section is replaced as a whole, and everything else stays as it is.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from cvae_cli.errors import CorruptError

if TYPE_CHECKING:
    from huggingface_hub import ModelCard


def read_card(path: Path) -> "ModelCard":
    """Read the model card in a file; an absent one is empty.

    Raises:
        CorruptError: the header is not that of a model card.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError as error:
        raise CorruptError(f"{path} is not text") from error
    return parse_card(text, path=path)


def parse_card(text: str, *, path: Path | None = None) -> "ModelCard":
    """Return a model card; see `read_card`.

    Args:
        path: of the card, for an error.
    """
    from huggingface_hub import ModelCard

    try:
        return ModelCard(text if re.match(r"\s*---\r?\n", text) else f"---\n{{}}\n---\n{text}")
    except Exception as error:  # whatever the reader of YAML raises
        reason = " ".join(str(error).split())[:200]
        raise CorruptError(
            f"the header of {path or 'the model card'} cannot be read: {reason}", hint="mend it, or train again"
        ) from error


def render_card(card: "ModelCard") -> str:
    """Return a model card as text."""
    return f"---\n{card.data.to_yaml()}\n---\n\n{card.text.strip()}\n"


def put_section(card: "ModelCard", title: str, body: str) -> None:
    """Replace the section of this title, or add it at the end."""
    section = f"## {title}\n\n{body.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}[ \t]*\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    text, count = pattern.subn(lambda _: section + "\n", card.text, count=1)
    card.text = text if count else f"{card.text.rstrip()}\n\n{section}"


def cell(text: str) -> str:
    """Return a text as one cell of a table: in one line, without a bar that would begin the next cell."""
    return " ".join(text.split()).replace("|", "\\|")
