"""Conditional variational autoencoders for text-to-image.

    from cvae_cli import CVAE

    model = CVAE.from_pretrained("fashion")
    pictures = model.generate("a red summer dress", n=4, seed=0)    # four Pillow images

The command line, `cvae`, is the same library with options; see `cvae --help`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cvae_cli.version import __version__

if TYPE_CHECKING:
    from cvae_cli.data.catalog import load_dataset
    from cvae_cli.errors import CvaeError
    from cvae_cli.models.cvae import CVAE

__all__ = ["CVAE", "CvaeError", "__version__", "load_dataset"]

_HOME = {
    "CVAE": "cvae_cli.models.cvae",
    "CvaeError": "cvae_cli.errors",
    "load_dataset": "cvae_cli.data.catalog",
}


def __getattr__(name: str) -> Any:
    # Importing the package must cost nothing: torch is imported with the first thing that needs it.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
