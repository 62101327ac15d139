"""Prompts to conditions, and conditions to pictures, a few at a time."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.sampling import check_sampling
from cvae_cli.pictures.grid import to_pil
from cvae_cli.text.prompts import Prompt, Prompts
from cvae_cli.version import __version__


@dataclass(frozen=True)
class Sampling:
    """How pictures are sampled: the arguments of `CVAE.sample` that all pictures share."""

    seed: int = 0
    temperature: float = 1.0
    guidance: float | None = None
    same_noise: bool = False

    def __post_init__(self) -> None:
        check_sampling(seed=self.seed, temperature=self.temperature, guidance=self.guidance)

    def metadata(self, model: CVAE) -> dict[str, Any]:
        """What a picture's file says about how the picture was made."""
        values = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        return {"model": model.config.name, **values, "software": f"cvae-cli {__version__}"}

    def number(self, prompt: Prompt, sample: int, n: int) -> int:
        """Return the number of a picture among all pictures of its prompt's text.

        Equal prompts continue each other's numbers, so that their pictures differ. With the same noise they do not.

        Args:
            sample: the number of the picture among those of this prompt.
            n: pictures per prompt.
        """
        return sample if self.same_noise else prompt.earlier * n + sample


def make_prompts(prompts: Prompts | str | Sequence[str]) -> Prompts:
    """Return the prompts as `Prompts`; a text is a single prompt."""
    if isinstance(prompts, Prompts):
        return prompts
    if not prompts:
        raise UsageError("there is no prompt")
    return Prompts([prompts] if isinstance(prompts, str) else prompts)


def prompt_conditions(model: CVAE, prompts: Sequence[Prompt], callback: Callback = ignore) -> Condition:
    """Return the condition of each prompt, one row per prompt (see `CVAE.condition`).

    Raises:
        UsageError: the model cannot use a prompt; the message names the line of the file that the prompt comes from.
    """
    try:
        return model.condition([prompt.text for prompt in prompts], callback=callback)
    except UsageError:
        for prompt in prompts:  # find out which one it is
            try:
                model.condition([prompt.text])
            except UsageError as error:
                source = f"{prompt.source}: " if prompt.source else ""
                raise UsageError(source + error.message, hint=error.hint) from error
        raise


def note_repeats(prompts: Prompts, sampling: Sampling, callback: Callback) -> None:
    """Say that equal prompts give equal pictures, if they do."""
    if sampling.same_noise and prompts.has_repeats:
        text = "a prompt occurs more than once: at the same noise its pictures are the same each time"
        callback(Notice(text, is_warning=True))


def sample_pictures(
    model: CVAE, prompts: Sequence[Prompt], conditions: Condition, n: int, sampling: Sampling, numbers: range
) -> Generator[list[Image.Image], None, None]:
    """Yield pictures in order, a few at a time.

    Args:
        conditions: one row per prompt.
        n: pictures per prompt.
        numbers: which pictures to sample. Picture `row * n + i` is sample `i` of the prompt in that row.
    """
    places = [divmod(number, n) for number in numbers]
    chosen = conditions[[row for row, _ in places]]
    noise = model.noise(
        chosen,
        seed=sampling.seed,
        prompts=[prompts[row].text for row, _ in places],
        indices=[sampling.number(prompts[row], sample, n) for row, sample in places],
        temperature=sampling.temperature,
        same_noise=sampling.same_noise,
    )
    with closing(model.draw_chunks(noise, chosen, guidance=sampling.guidance)) as chunks:
        yield from map(to_pil, chunks)
