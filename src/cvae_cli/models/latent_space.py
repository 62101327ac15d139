"""What a user does with the latents of a model: encode a data set, go from one picture to another, move a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from cvae_cli.events import Callback, ignore
from cvae_cli.models import pretrained
from cvae_cli.models.autoencoder import Autoencoder
from cvae_cli.models.sampling import check_sampling, check_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import Image

    from cvae_cli.data.dataset import Dataset
    from cvae_cli.models.directions import Directions
    from cvae_cli.models.latents import DatasetLatents


class LatentSpace(Autoencoder):
    """An autoencoder with the methods that look into its latent space."""

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
            dataset = pretrained.training_data(self.config, option="dataset", called=self.called)
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
