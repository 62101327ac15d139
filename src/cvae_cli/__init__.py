"""Conditional variational autoencoders for text-to-image.

    from cvae_cli import CVAE, evaluate, train

    model = CVAE.from_pretrained("fashion")
    pictures = model.generate("a red summer dress", n=4, seed=0)    # four Pillow images

    result = train("folder:my-pictures", size=64)
    scores = evaluate([result.run, "scenes"], metrics=["mse", "ssim"])

The command `cvae` is this library with options; see `cvae --help`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cvae_cli.version import __version__

if TYPE_CHECKING:
    from cvae_cli.data.catalog import load_dataset
    from cvae_cli.errors import CvaeError
    from cvae_cli.evaluation.evaluate import evaluate
    from cvae_cli.evaluation.sets import evaluate_sets
    from cvae_cli.models.cvae import CVAE
    from cvae_cli.training.seeds import train_seeds
    from cvae_cli.training.train import train

__all__ = ["CVAE", "CvaeError", "__version__", "evaluate", "evaluate_sets", "load_dataset", "train", "train_seeds"]

_MODULES = {
    "CVAE": "cvae_cli.models.cvae",
    "CvaeError": "cvae_cli.errors",
    "evaluate": "cvae_cli.evaluation.evaluate",
    "evaluate_sets": "cvae_cli.evaluation.sets",
    "load_dataset": "cvae_cli.data.catalog",
    "train": "cvae_cli.training.train",
    "train_seeds": "cvae_cli.training.seeds",
}


def __getattr__(name: str) -> Any:
    # Importing the package must cost nothing: torch is imported with the first thing that needs it.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
