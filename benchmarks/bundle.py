"""Put a trained model into the package: weights in half precision, scores in its card.

    python benchmarks/bundle.py runs/fashion [--data-dir DIR]

What ships is what is measured: `cvae evaluate` reads the rounded weights. Its table is the last thing printed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from cvae_cli import CVAE
from cvae_cli.models.pretrained import CARD, find, named_tensors, save
from cvae_cli.paths import bundled_dir, write_text

CVAE_COMMAND = str(Path(sys.executable).with_name("cvae"))


def scores_section(scored: dict, protocol: dict) -> str:
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in scored["scores"].items())
    facts = (
        f"{protocol['real_images']:,} {protocol['split']} pictures of {protocol['dataset']}, as many samples with "
        f"their labels, seed {protocol['seed']}, temperature {protocol['temperature']}; reconstructions: "
        f"{protocol['reconstruction']}; -ELBO is rate {scored['rate']:.2f} + distortion {scored['distortion']:.2f}."
    )
    table = f"| metric | value |\n| --- | --- |\n{rows}"
    return f"## Scores\n\n{table}\n\n{facts}\n\nThe weights come under the MIT licence.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()

    model = CVAE.from_pretrained(options.run)
    folder = bundled_dir() / model.config.name
    rounded = {name: t.half() if t.is_floating_point() else t for name, t in named_tensors(model).items()}
    card = (find(options.run) / CARD).read_text(encoding="utf-8")
    save(model, folder, tensors=rounded, card=card)

    place = ["--data-dir", str(options.data_dir)] if options.data_dir else []
    command = [CVAE_COMMAND, "evaluate", "--model", str(folder), "--json", *place]
    measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    section = scores_section(measured["models"][0], measured["protocol"])
    write_text(folder / CARD, f"{card}\n{section}")
    print(section)


if __name__ == "__main__":
    main()
