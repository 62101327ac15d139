"""Put a trained model into the package: weights in half precision, a card with samples and scores.

    python benchmarks/bundle.py runs/fashion [--data-dir DIR]
    python benchmarks/bundle.py runs/scenes --measure folder:DIR --dataset coco

First write into `bundled.toml` what the card says of the data and the training. `cvae evaluate` measures the rounded
weights that ship. The script prints the scores last. For a model trained on a folder, --dataset names a data set that
others can download.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from cards import write_card

from cvae_cli import CVAE
from cvae_cli.models.tensors import named_tensors
from cvae_cli.paths import bundled_dir

CVAE_COMMAND = str(Path(sys.executable).with_name("cvae"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--measure", help="data set to evaluate on; default: the model's own")
    parser.add_argument("--dataset", help="data set to write into the model's config")
    options = parser.parse_args()

    model = CVAE.from_pretrained(options.run)
    model.config = model.config.model_copy(update={"dataset": options.dataset or model.config.dataset})
    folder = bundled_dir() / model.config.name
    rounded = {name: t.half() if t.is_floating_point() else t for name, t in named_tensors(model).items()}
    model.save_pretrained(folder, tensors=rounded)
    write_card(folder, model.config.name, keep_scores=False)

    place = ["--data-dir", str(options.data_dir)] if options.data_dir else []
    measure = ["--dataset", options.measure] if options.measure else []
    subprocess.run([CVAE_COMMAND, "evaluate", "--model", str(folder), "--card", *place, *measure], check=True)


if __name__ == "__main__":
    main()
