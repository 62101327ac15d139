"""The report of an evaluation: one HTML page with everything in it, which needs no other file and no network."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvae_cli.errors import UsageError, spelled_out
from cvae_cli.evaluation.result import Evaluation
from cvae_cli.events import Callback, ignore
from cvae_cli.paths import check_writable, write_text
from cvae_cli.version import __version__

if TYPE_CHECKING:
    from cvae_cli.data.dataset import Dataset
    from cvae_cli.evaluation.page.content import Page
    from cvae_cli.models.cvae import CVAE, Source

ENDINGS = (".html", ".htm")
_FILES = Path(__file__).parent / "files"
STYLE = _FILES / "page.css"
"""The style of pages, for light and dark screens of any width."""


def check_page(path: str | Path) -> Path:
    """Check that a page can be written to a file, before anything is measured.

    Raises:
        UsageError: it cannot.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path} does not end in .html", hint="for example:  --report report.html")
    check_writable(path)
    return path


def write_page(
    evaluation: Evaluation,
    path: str | Path,
    *,
    models: "Sequence[Source] | None" = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    command: str | None = None,
    callback: Callback = ignore,
) -> None:
    """Write the report of an evaluation: its table with its protocol, and pictures of each model.

    Args:
        models: the models that were measured, in this order; needed only for those in memory.
        data_dir, device: see `evaluate`.
        command: the command that made the page, which it then shows.
        callback: receives the progress.

    Raises:
        UsageError: the page cannot be written, or a model in memory is not given.
        MissingError, CorruptError: files of a model or the data set are gone or damaged.
    """
    from cvae_cli.evaluation.page.content import make_page

    path = check_page(path)
    sources = list(models) if models is not None else [scores.source for scores in evaluation.models]
    if len(sources) != len(evaluation.models):
        raise UsageError(f"give the models that were measured: {len(evaluation.models)}, not {len(sources)}")
    loaded = [_load(source, device, callback) for source in sources]
    data = _measured_pictures(evaluation, loaded[0], data_dir, callback)
    named = [str(source) if isinstance(source, str | Path) else None for source in sources]
    page = make_page(evaluation, loaded, named, data, data_dir=data_dir, command=command, callback=callback)
    write_text(path, render(page))


def render(page: "Page") -> str:
    """Return the page as HTML. Every text is escaped, and spelled out where a reader could not see what it is."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FILES), autoescape=True, undefined=StrictUndefined, finalize=_visible, trim_blocks=True
    )
    script = (_FILES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        page=page,
        style=STYLE.read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
        version=__version__,
        date=datetime.now().astimezone().strftime("%d %B %Y"),
    )


def _visible(value: Any) -> Any:
    """Names may have characters that are invisible, or that no file of UTF-8 can hold; our own HTML has none."""
    return spelled_out(value) if type(value) is str else value


def _load(source: "Source | None", device: str, callback: Callback) -> "CVAE":
    from cvae_cli.models.cvae import load_model
    from cvae_cli.runtime.device import pick_device
    from cvae_cli.runtime.distributed import local_device

    if source is None:
        raise UsageError("a model in memory was measured", hint="give the models:  write_page(..., models=[model])")
    return load_model(source, device=pick_device(local_device(device)), callback=callback)


def _measured_pictures(
    evaluation: Evaluation, model: "CVAE", data_dir: str | Path | None, callback: Callback
) -> "Dataset":
    """Load the pictures on which the models were measured."""
    from cvae_cli.data.catalog import load_dataset

    protocol = evaluation.protocol
    size = model.config.image.size
    data = load_dataset(protocol["dataset"], protocol["split"], size=size, data_dir=data_dir, callback=callback)
    return data.sample(protocol["real_images"], protocol["seed"])
