"""Conditional variational autoencoders for text-to-image.

    from cvae_cli import CVAE

    model = CVAE.from_pretrained("fashion")
    pictures = model.generate("a red summer dress", n=4, seed=0)    # four Pillow images

The command line, `cvae`, is the same library with options; see `cvae --help`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["CVAE", "CvaeError", "__version__"]

if TYPE_CHECKING:
    from cvae_cli.errors import CvaeError
    from cvae_cli.models import CVAE


def __getattr__(name: str) -> Any:
    # Importing the package must cost nothing: torch comes in with the first thing that needs it.
    if name == "CVAE":
        from cvae_cli.models import CVAE

        return CVAE
    if name == "CvaeError":
        from cvae_cli.errors import CvaeError

        return CvaeError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
