"""The model as a user meets it: loaded from files, with prompts for conditions and pictures for tensors."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cvae_cli.events import Callback, ignore
from cvae_cli.models import pretrained
from cvae_cli.models.latent_space import LatentSpace
from cvae_cli.models.sampling import check_sampling
from cvae_cli.models.tensors import named_tensors, tensors_bytes
from cvae_cli.runtime.device import pick_device

if TYPE_CHECKING:
    from PIL import Image

    from cvae_cli.models.onnx_file import OnnxFile


class CVAE(LatentSpace):
    """A conditional variational autoencoder with its files; the mathematics are those of `Autoencoder`."""

    @classmethod
    def from_pretrained(
        cls, model: str | Path, *, device: str | torch.device = "cpu", callback: Callback = ignore
    ) -> "CVAE":
        """Load a model by the name of a bundled one, a folder, a run, or a Hub repository `org/name[@revision]`.

        Args:
            callback: receives the progress of a download, and is told what is waited for.

        Raises:
            UsageError: no such model.
            MissingError: the folder lacks a file, or the Hub cannot be reached.
            CorruptError: a file is damaged, of the wrong kind, or belongs to another model.
        """
        loaded = pretrained.load_model(model, cls, callback=callback).eval()
        loaded.called = str(model)
        # the format is the faster one for convolutions
        return loaded.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        card: str | None = None,
        samples: str | Path | None = None,
        tensors: dict[str, Tensor] | None = None,
    ) -> None:
        """Write a model folder: `config.json`, `model.safetensors`, the model card, samples, and digests of all.

        The configuration holds the digest of the weights, and no path of this machine.

        Args:
            card: the model card, in Markdown; without one, a card says what the model itself knows.
            samples: a PNG that the card shows as `samples.png`.
            tensors: weights to write instead of the model's own, for example rounded ones.
        """
        from cvae_cli.models.card.own import own_card
        from cvae_cli.models.save import write_model

        weights = tensors_bytes(named_tensors(self) if tensors is None else tensors)
        content = None if samples is None else Path(samples).read_bytes()
        card = own_card(self, has_samples=samples is not None) if card is None else card
        write_model(Path(folder), self.config, weights, card=card, samples=content)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        revision: str | None = None,
        card: str | None = None,
        samples: str | Path | None = None,
        callback: Callback = ignore,
    ) -> str:
        """Upload the model to the Hugging Face Hub in one commit, and return the commit's address.

        The folder of a training has a better card than a model in memory: `cvae models push` uploads folders.

        Args:
            repo_id: `org/name`; the repository is created if there is none.
            private: whether a new repository is to be private.
            revision: the branch; it is created if there is none. By default `main`.
            card, samples: see `save_pretrained`. Without `samples`, some are drawn.
            callback: receives the progress.

        Raises:
            UsageError: no such name, no token (`HF_TOKEN` or the Hub's login), or one that may not write there.
            MissingError: the Hub cannot be reached.
        """
        import tempfile

        from cvae_cli.models.push import push_folder

        with tempfile.TemporaryDirectory(prefix="cvae-") as name:
            self.save_pretrained(name, card=card, samples=samples)
            return push_folder(Path(name), repo_id, private=private, revision=revision, callback=callback)

    def generate(
        self,
        prompt: str,
        *,
        n: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        guidance: float | None = None,
        same_noise: bool = False,
        callback: Callback = ignore,
    ) -> list["Image.Image"]:
        """Generate `n` pictures for a prompt. Picture i depends on the prompt and the seed, not on `n`; see `sample`.

        Args:
            callback: receives a notice for each part of the prompt that has no effect.
        """
        from cvae_cli.pictures.grid import to_pil

        check_sampling(seed=seed, temperature=temperature, guidance=guidance, n=n)
        condition = self.condition([prompt], callback=callback).repeat_interleave(n, dim=0)
        prompts = [prompt] * n
        return to_pil(
            self.sample(
                condition, seed=seed, prompts=prompts, temperature=temperature, guidance=guidance, same_noise=same_noise
            )
        )

    def export_onnx(self, path: str | Path, *, guidance: float | None = None, text_encoder: bool = True) -> "OnnxFile":
        """Write the sampler and the decoder to an ONNX file, from which a program without torch draws pictures.

        The file takes a batch of any size: `noise`, and what the pictures show: the `tokens` of texts, `classes`, or
        vectors of a text encoder (`condition`). It gives `images` in [0, 1].

        Args:
            guidance: the guidance scale, which is fixed in the file; see `Prior.from_noise`.
            text_encoder: whether the file has the embedded text encoder, if the model was trained with it. Without, it
                takes the vectors of texts.

        Raises:
            UsageError: the file cannot be written, or the model has no such guidance.
            MissingError: the packages of `cvae-cli[onnx]` are not installed.
        """
        from cvae_cli.models.onnx_file import write_onnx

        check_sampling(guidance=guidance)
        return write_onnx(self, Path(path), guidance=guidance, text_encoder=text_encoder)


Source = str | Path | CVAE
"""A model: a bundled name, a folder, `org/name` on the Hub, or a model in memory, which stays on its device."""


def load_model(source: Source, *, device: str | torch.device, callback: Callback = ignore) -> CVAE:
    """Load a model onto a device (see `CVAE.from_pretrained`); a model in memory is returned as it is."""
    if isinstance(source, CVAE):
        return source
    chosen = pick_device(device) if isinstance(device, str) else device
    return CVAE.from_pretrained(source, device=chosen, callback=callback)
