"""What a user sees of the pictures that were drawn."""

from pathlib import Path
from typing import TYPE_CHECKING

from cvae_cli import console
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.text.prompts import Prompts

if TYPE_CHECKING:
    from cvae_cli.bulk.generate import GeneratedFiles
    from cvae_cli.bulk.grid import Grid

_MAX_NAMED = 1000  # files in the result; of more than that only the manifest has the names


def show_grid(grid: "Grid", path: Path, *, model: str, seconds: float, is_named: bool, preview: bool) -> None:
    """Show where the sheet is, unless the user has named it, and on a terminal also what it shows.

    Args:
        model: the name that the user gave; the metadata have that of its configuration.
    """
    if preview and console.has_colour():
        from cvae_cli.pictures.terminal import preview as picture_to_text

        console.drawing(picture_to_text(grid.sheet, width=console.width()))
    made = grid.metadata
    name = distinct_labels([model])[0]
    caption = f"{path}   {name} · seed {made['seed']} · {grid.size}x{grid.size} · {seconds:.1f} s"
    text = None if is_named else caption if console.is_terminal() else str(path)
    facts = {"file": str(path), "prompts": grid.prompts, "n": grid.n, "pictures": grid.pictures, **made}
    console.result(facts, text)


def show_files(files: "GeneratedFiles", prompts: Prompts) -> None:
    """Show which files there are now."""
    named = {}
    if files.total <= _MAX_NAMED:
        named = {"files": [str(path) for path in files.paths()], "prompts": [prompt.text for prompt in prompts]}
    console.result({"folder": str(files.folder), "pictures": files.total, **named, **files.metadata}, None)
    if files.new:
        console.hint(f"{files.total:,} pictures in {files.folder}")
    else:
        console.note(f"all {files.total:,} pictures are in {files.folder} already")
