"""Upload a model folder to the Hugging Face Hub."""

import hashlib
import tempfile
from pathlib import Path

from cvae_cli.errors import CorruptError
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.models.card.content import complete, prompt_of, put_samples, put_use
from cvae_cli.models.card.document import parse_card, read_card, render_card
from cvae_cli.models.checksums import SUMS, render_sums
from cvae_cli.models.pretrained import CARD, CONFIG, SAMPLES, WEIGHTS, check_known, find_model, load_model, read_config
from cvae_cli.models.verify import check_folder
from cvae_cli.weights.upload import check_upload, upload


def push_model(
    model: str | Path, repo: str, *, private: bool = False, revision: str | None = None, callback: Callback = ignore
) -> str:
    """Upload a model to the Hub in one commit, and return the address of the commit.

    Its files are verified first. The card says how to draw with the model under its new name, and shows samples: those
    of the training, or some that are drawn now.

    Args:
        model: see `CVAE.from_pretrained`.
        repo: `org/name`; the repository is created if there is none.
        private: whether a new repository is to be private.
        revision: the branch; it is created if there is none. By default `main`.

    Raises:
        UsageError, MissingError: see `upload`, and `CVAE.from_pretrained`.
        CorruptError: a file of the model is damaged.
    """
    check_known(model)
    check_upload(repo)
    return push_folder(
        find_model(model, callback=callback), repo, private=private, revision=revision, callback=callback
    )


def push_folder(folder: Path, repo: str, *, private: bool, revision: str | None, callback: Callback = ignore) -> str:
    """Upload a model folder; see `push_model`."""
    check_upload(repo)
    problems = check_folder(folder)
    if any(not problem.startswith(CARD) for problem in problems):
        raise CorruptError(f"{folder}: {'; '.join(problems)}; nothing was sent", hint="see  cvae models verify")
    for problem in problems:
        callback(Notice(f"{problem}: it is sent as it is now"))
    content = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
    content |= _card_and_samples(folder, f"{repo}@{revision}" if revision else repo)
    digests = {name: hashlib.sha256(each).hexdigest() for name, each in content.items()}
    content[SUMS] = render_sums(digests).encode()
    message = f"Upload {read_config(folder).name}"
    return upload(repo, content, private=private, revision=revision, message=message, callback=callback)


def _card_and_samples(folder: Path, name: str) -> dict[str, bytes]:
    """Return the card for a model that will have this name, and the picture that it shows."""
    card, config = read_card(folder / CARD), read_config(folder)
    has_text, samples = bool(card.text.strip()), folder / SAMPLES
    with tempfile.TemporaryDirectory(prefix="cvae-") as drafts:
        if not (has_text and samples.is_file()):
            from cvae_cli.models.autoencoder import Autoencoder
            from cvae_cli.models.card.own import SAMPLES_NOTE, draw_samples, own_card

            model = load_model(folder, Autoencoder).eval()
            if not has_text:
                card = parse_card(own_card(model))
            if not samples.is_file():
                samples = Path(drafts) / SAMPLES
                draw_samples(model, samples)
                put_samples(card, SAMPLES_NOTE)
        picture = samples.read_bytes()
    complete(card, config)
    put_use(card, config, model=name, prompt=prompt_of(card))
    return {CARD: render_card(card).encode(), SAMPLES: picture}
