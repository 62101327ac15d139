"""The command, or the lines of Python, that make what the page shows."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from cvae_cli.explore.asked import Drawing, Sampling
from cvae_cli.text.prompts import slug


def generate_command(source: str, asked: Drawing) -> str:
    """The command that draws the same pictures: one into a file, several into a folder, as the page names them."""
    stem = slug(asked.prompt)
    number = ["-n", str(asked.n)] if asked.n > 1 else []
    place = ["--format", "png", "-o", f"{stem}/"] if asked.n > 1 else ["-o", f"{stem}.png"]
    options = [*number, *_sampling(source, asked), *place]
    if asked.prompt.startswith("-"):  # which would be taken for an option
        return _join("generate", *options, "--", asked.prompt)
    return _join("generate", asked.prompt, *options)


def reconstruct_command(source: str, name: str, prompt: str | None) -> str:
    """The command that reconstructs a picture that lies in the working folder."""
    return _join("reconstruct", name, *_option("--prompt", prompt), "--model", source, "-o", "pair.png")


def morph_command(source: str, asked: Sampling, start: str, end: str, prompt: str | None, steps: int) -> str:
    """The command that draws the way from one end to another, a prompt or the name of a file each."""
    words = ["--interpolate", start, end, *_option("--prompt", prompt), "--steps", str(steps)]
    return _join("latents", *words, *_sampling(source, asked), "-o", "morph.png")


def map_command(source: str, *, method: str, n: int, data_dir: Path | None) -> str:
    """The command that draws the map."""
    place = _option("--data-dir", None if data_dir is None else str(data_dir))
    return _join("latents", "--model", source, "--method", method, "-n", str(n), *place, "-o", "latents.png")


def move_code(source: str, name: str, prompt: str | None, amounts: Mapping[str, float], latents: str) -> str:
    """The lines of Python that move the latent of a picture.

    Args:
        latents: the call that gives the latents which the directions come from.
    """
    shows = "" if prompt is None else f", prompt={prompt!r}"
    return (
        "from cvae_cli import CVAE\n\n"
        f"model = CVAE.from_pretrained({source!r})\n"
        f"directions = model.directions({latents})\n"
        f"picture = model.move({name!r}, {dict(amounts)!r}, directions{shows})\n"
        'picture.save("moved.png")'
    )


def _sampling(source: str, asked: Sampling) -> list[str]:
    words = ["--model", source]
    words += ["--seed", str(asked.seed)] if asked.seed else []
    words += ["--temperature", str(asked.temperature)] if asked.temperature != 1 else []
    return [*words, *_option("--guidance", None if asked.guidance is None else str(asked.guidance))]


def _option(name: str, value: str | None) -> list[str]:
    if value is None:
        return []
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _join(*words: str) -> str:
    return shlex.join(["cvae", *words])
