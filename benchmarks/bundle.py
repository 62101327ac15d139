"""Put a trained model into the package: weights in half precision, scores in its card.

    python benchmarks/bundle.py runs/fashion [--data-dir DIR]
    python benchmarks/bundle.py runs/scenes --measure folder:DIR --dataset coco --fact "data=Flickr8k and ..."

`cvae evaluate` measures the rounded weights that ship. The script prints the table of scores last. For a model trained
on a folder, --dataset names a data set that others can download, and --fact replaces a row of the model card.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from cvae_cli import CVAE
from cvae_cli.models.pretrained import CARD, find_model
from cvae_cli.models.tensors import named_tensors
from cvae_cli.paths import bundled_dir, write_text

CVAE_COMMAND = str(Path(sys.executable).with_name("cvae"))


def scores_section(scored: dict, protocol: dict) -> str:
    known = {name: value for name, value in scored["scores"].items() if value is not None}
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in known.items())
    source = protocol["dataset"].rsplit("/", 1)[-1]
    facts = (
        f"The scores are measured on {protocol['real_images']:,} `{protocol['split']}` pictures of {source}, and one "
        f"sample for the label or caption of each, with seed {protocol['seed']} and temperature "
        f"{protocol['temperature']}. Reconstructions: {protocol['reconstruction']}."
    )
    table = f"| metric | value |\n| --- | --- |\n{rows}"
    licence = "The weights are released under the MIT licence, subject to the licence of the data."
    return f"## Scores\n\n{table}\n\n{facts}\n\n{licence}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--measure", help="data set to evaluate on; default: the model's own")
    parser.add_argument("--dataset", help="data set to write into the model's config")
    parser.add_argument("--fact", action="append", default=[], help="row of the model card to replace, as NAME=TEXT")
    options = parser.parse_args()

    model = CVAE.from_pretrained(options.run)
    model.config = model.config.model_copy(update={"dataset": options.dataset or model.config.dataset})
    folder = bundled_dir() / model.config.name
    rounded = {name: t.half() if t.is_floating_point() else t for name, t in named_tensors(model).items()}
    card = (find_model(options.run) / CARD).read_text(encoding="utf-8")
    for name, _, text in (fact.partition("=") for fact in options.fact):
        card, found = re.subn(rf"^\| {re.escape(name)} \|.*$", f"| {name} | {text} |", card, flags=re.MULTILINE)
        assert found, f"the card has no {name}"
    model.save_pretrained(folder, tensors=rounded, card=card)

    place = ["--data-dir", str(options.data_dir)] if options.data_dir else []
    measure = ["--dataset", options.measure] if options.measure else []
    command = [CVAE_COMMAND, "evaluate", "--model", str(folder), "--json", *place, *measure]
    measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    section = scores_section(measured["models"][0], measured["protocol"])
    write_text(folder / CARD, f"{card}\n{section}")
    print(section)


if __name__ == "__main__":
    main()
