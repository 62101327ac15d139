"""The model as a user meets it: loaded from files, with prompts for conditions and pictures for tensors."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cvae_cli.events import Callback, ignore
from cvae_cli.models import pretrained
from cvae_cli.models.autoencoder import Autoencoder
from cvae_cli.models.sampling import check_sampling, check_steps
from cvae_cli.models.tensors import named_tensors, tensors_bytes
from cvae_cli.runtime.device import pick_device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import Image

    from cvae_cli.data.dataset import Dataset
    from cvae_cli.models.directions import Directions
    from cvae_cli.models.latents import DatasetLatents
    from cvae_cli.models.onnx_file import OnnxFile


class CVAE(Autoencoder):
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
        return loaded.to(memory_format=torch.channels_last).to(device)  # the faster format for convolutions

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

    def latents(
        self,
        dataset: "str | Dataset | None" = None,
        *,
        split: str | None = None,
        n: int = 2000,
        seed: int = 0,
        data_dir: str | Path | None = None,
        callback: Callback = ignore,
    ) -> "DatasetLatents":
        """Encode `n` pictures of a data set, each with its own class or caption, chosen by the seed.

        Args:
            dataset: a name, or a data set that is loaded already; the one that the model was trained on if absent.
            split: `test`, or `val` where there is no `test`, if absent.
            data_dir: see `load_dataset`.
            callback: receives the progress.

        Raises:
            UsageError, MissingError, CorruptError: see `find_data` and `encode_dataset`.
        """
        from cvae_cli.models.latents import encode_dataset, find_data

        check_sampling(seed=seed, n=n)
        if dataset is None:
            dataset = pretrained.training_data(self.config, option="dataset")
        if isinstance(dataset, str):
            dataset = find_data(self, dataset, split=split, data_dir=data_dir, callback=callback)
        return encode_dataset(self, dataset, n=n, seed=seed, callback=callback)

    def interpolate(
        self,
        start: str | Path,
        end: str | Path,
        *,
        steps: int = 9,
        prompt: str | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        guidance: float | None = None,
        callback: Callback = ignore,
    ) -> list["Image.Image"]:
        """Return `steps` pictures from one to another, both included; see `pictures_between`.

        Args:
            start, end: a text is a prompt, a `Path` the file of a picture. Two prompts have the same noise, so the
                pictures at the ends are those of `generate(..., same_noise=True)`.
            prompt: what the pictures of files show. Without it a model of classes takes the name of their folder.
            callback: receives the progress, and what was done to a picture to fit it to the model.

        Raises:
            UsageError, MissingError, CorruptError: an end cannot be used; see `find_ends`.
        """
        from cvae_cli.models.ends import find_ends
        from cvae_cli.models.interpolation import pictures_between
        from cvae_cli.pictures.grid import to_pil

        check_sampling(seed=seed, temperature=temperature, guidance=guidance)
        self.prior.check_guidance(guidance)
        check_steps(steps)
        ends = find_ends(self, start, end, prompt=prompt, seed=seed, temperature=temperature, callback=callback)
        return to_pil(pictures_between(self, *ends, steps=steps, guidance=guidance, callback=callback))

    def traverse(
        self,
        dim: int,
        prompt: str | None = None,
        *,
        steps: int = 9,
        seed: int = 0,
        temperature: float = 1.0,
        guidance: float | None = None,
        callback: Callback = ignore,
    ) -> list["Image.Image"]:
        """Return `steps` pictures that differ in number `dim` of their latent, from low to high; see `pictures_along`.

        Args:
            prompt: what they show; it may be absent for a model without a condition.
            callback: receives the progress, and a notice for each part of the prompt that has no effect.

        Raises:
            UsageError: there is no such number, or the model cannot use the prompt.
        """
        from cvae_cli.models.ends import start_of
        from cvae_cli.models.interpolation import pictures_along
        from cvae_cli.pictures.grid import to_pil

        check_sampling(seed=seed, temperature=temperature, guidance=guidance)
        self.prior.check_guidance(guidance)
        check_steps(steps)
        condition, noise = start_of(self, dim, prompt, seed=seed, temperature=temperature, callback=callback)
        return to_pil(pictures_along(self, condition, noise, dim, steps=steps, guidance=guidance, callback=callback))

    def prior_latents(
        self, prompts: "Sequence[str]", *, n: int = 64, seed: int = 0, callback: Callback = ignore
    ) -> "DatasetLatents":
        """Draw `n` latents from the prior, in turn of each prompt: what there is where no data set is at hand.

        Raises:
            UsageError: there is no prompt, or the model cannot use one.
        """
        from cvae_cli.models.directions import draw_latents

        check_sampling(seed=seed, n=n)
        return draw_latents(self, prompts, n=n, seed=seed, callback=callback)

    def directions(self, latents: "DatasetLatents") -> "Directions":
        """Return the directions along which `move` moves a picture, from latents of this model; see `Directions`.

        Raises:
            UsageError: there are fewer than two latents.
        """
        from cvae_cli.models.directions import find_directions

        return find_directions(latents, self.latent_shape)

    def move(
        self,
        picture: str | Path,
        amounts: "Mapping[str, float]",
        directions: "Directions",
        *,
        prompt: str | None = None,
        callback: Callback = ignore,
    ) -> "Image.Image":
        """Encode the picture of a file, move its latent along directions, and decode it.

        Args:
            amounts: how far, in standard deviations, by the name of the direction, as `{"principal 1": 1.5}`. An empty
                one gives the reconstruction.
            directions: see `directions`.
            prompt: what the picture shows. Without it a model of classes takes the name of its folder.

        Raises:
            UsageError: there is no such direction, or the model needs a prompt.
            MissingError, CorruptError: the picture does not exist, or cannot be read.
        """
        from cvae_cli.models.directions import latent_of_picture, moved_picture
        from cvae_cli.pictures.grid import to_pil

        encoded = latent_of_picture(self, Path(picture), prompt=prompt, callback=callback)
        return to_pil(moved_picture(self, encoded, amounts, directions))[0]


Source = str | Path | CVAE
"""A model: a bundled name, a folder, `org/name` on the Hub, or a model in memory, which stays on its device."""


def load_model(source: Source, *, device: str | torch.device, callback: Callback = ignore) -> CVAE:
    """Load a model onto a device (see `CVAE.from_pretrained`); a model in memory is returned as it is."""
    if isinstance(source, CVAE):
        return source
    chosen = pick_device(device) if isinstance(device, str) else device
    return CVAE.from_pretrained(source, device=chosen, callback=callback)
