"""Write the cards of the bundled models, with pictures of samples; the scores in a card stay.

    python benchmarks/cards.py [NAME ...]

What the models do not say themselves is in `bundled.toml`. Then measure: `cvae evaluate --model FOLDER --card`.
"""

import argparse
import math
import tomllib
from pathlib import Path

from cvae_cli import CVAE
from cvae_cli.models.card.content import CardFacts, make_card
from cvae_cli.models.card.document import read_card
from cvae_cli.models.card.own import SAMPLES_NOTE, draw_samples
from cvae_cli.models.pretrained import CARD, SAMPLES, bundled_models
from cvae_cli.models.verify import accept_changes
from cvae_cli.paths import bundled_dir, write_text

FACTS = tomllib.loads(Path(__file__).with_name("bundled.toml").read_text(encoding="utf-8"))


def write_card(folder: Path, name: str, *, keep_scores: bool) -> None:
    """Write the card of a model that is called `name` in `bundled.toml`, its samples, and the digests of its files."""
    facts, model = FACTS[name], CVAE.from_pretrained(folder)
    prompts = facts["prompts"] or None
    draw_samples(model, folder / SAMPLES, prompts)
    card = make_card(
        CardFacts(
            config=model.config,
            description=facts["description"],
            parameters=sum(p.numel() for p in model.parameters()),
            latents=math.prod(model.latent_shape),
            data=facts["data"],
            licence=facts["licence"],
            licence_id=facts.get("licence_id"),
            objective=facts["objective"],
            training={"training": facts["training"]},
            samples=SAMPLES_NOTE,
            prompt=facts.get("prompt", facts["prompts"][0] if facts["prompts"] else None),
            name=name,
            made_with=facts["made_with"],
            results=read_card(folder / CARD).data.get("eval_results", []) if keep_scores else [],
        )
    )
    write_text(folder / CARD, card)
    accept_changes(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(bundled_models())}")
    for name in parser.parse_args().names or bundled_models():
        write_card(bundled_dir() / name, name, keep_scores=True)


if __name__ == "__main__":
    main()
