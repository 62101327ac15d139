"""The conditional variational autoencoder: a class in which training and sampling can be compared line by line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from cvae_cli.config.model import ModelConfig
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.models import pretrained
from cvae_cli.models.bound import Bound
from cvae_cli.models.build import build_likelihood, build_network, build_prior
from cvae_cli.models.condition import Condition
from cvae_cli.models.network import Latents
from cvae_cli.models.sampling import check_sampling, chunk_size, pad, sample_noise
from cvae_cli.models.tensors import named_tensors, tensors_bytes
from cvae_cli.runtime.device import full_precision, pick_device, send

if TYPE_CHECKING:
    from PIL import Image

Images = Float[Tensor, "b c h w"]


class CVAE(nn.Module):
    """The model p(x, z | c) = p(z | c) p(x | z, c), trained with an approximate posterior q(z | x, c).

    Sohn, Lee & Yan 2015, "Learning Structured Output Representation using Deep Conditional Generative Models".

    Images are float `(b, c, h, w)` in [0, 1]. Latents are float `(b, d)` or `(b, d, h, w)`. Conditions are class
    indices, int64 `(b,)`, or vectors, float `(b, w)`; `condition` makes them from prompts.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(config)
        self.likelihood = build_likelihood(config.architecture.likelihood, channels=config.image.channels)
        self.prior = build_prior(
            config.architecture.prior,
            latent_shape=self.latent_shape,
            condition=config.condition if self.is_conditional else None,
        )

    # ---- the model -------------------------------------------------------------------------------------------

    def posterior(self, images: Images, condition: Condition) -> Independent:
        """Return q(z | x, c), a diagonal Gaussian over latents."""
        mean, log_variance = self.network.encode(images, condition)
        scale = (0.5 * log_variance.float().clamp(-14, 14)).exp()  # bounded, so that no latent overflows
        normal = Normal(mean.float(), scale, validate_args=False)
        return Independent(normal, len(self.latent_shape), validate_args=False)

    def elbo(self, images: Images, condition: Condition, *, noise: Latents | None = None) -> Bound:
        """Return the evidence lower bound on log p(x | c) for each image (Sohn, Lee & Yan 2015, eq. 4).

        Args:
            noise: standard normal noise for the one sample of the posterior; random by default.
        """
        posterior = self.posterior(images, condition)  # q(z | x, c)
        if noise is None:
            noise = torch.randn_like(posterior.mean)
        z = posterior.mean + posterior.stddev * noise  # a sample of q(z | x, c)
        output = self.network.decode(z, condition).float()  # p(x | z, c)
        return Bound(
            rate=self.prior.rate(posterior, z, condition),
            distortion=self.likelihood.distortion(output, images),
            posterior=posterior,
            output=output,
        )

    @torch.inference_mode()
    def sample(
        self,
        condition: Condition,
        *,
        seed: int = 0,
        prompts: Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
        temperature: float = 1.0,
        guidance: float | None = None,
        same_noise: bool = False,
    ) -> Images:
        """Sample pictures from p(x | c): draw z from the prior and return the mean of p(x | z, c).

        The noise of a picture comes from the seed, its prompt and its number among the pictures of that prompt. So the
        picture depends neither on the batch nor on the other prompts.

        Args:
            condition: one row for each picture.
            prompts: the prompt of each picture. By default the name of its class, or the condition itself.
            indices: the number of each picture among those of its prompt; by default 0, 1, 2, ... for equal prompts.
            same_noise: whether the prompt has no influence on the noise, so that prompts can be compared.
            temperature: scale of the noise; values below 1 give likelier, less varied pictures.
            guidance: the guidance scale; see `Prior.from_noise`.
        """
        settings = self.config.condition
        all_noise = temperature * sample_noise(  # (b, d)
            condition, settings, self.latent_shape, seed=seed, prompts=prompts, indices=indices, same_noise=same_noise
        )
        chunks, size = [], chunk_size(self.device)
        for start in range(0, len(condition), size):
            c = pad(condition[start : start + size], size)
            noise = send(pad(all_noise[start : start + size], size), self.device)
            with full_precision(self.device):
                z = self.prior.from_noise(noise, c, guidance=guidance)  # a sample of p(z | c)
            chunks.append(self.decode(z, c))  # p(x | z, c)
        return torch.cat(chunks)[: len(condition)]

    @torch.inference_mode()
    def encode(self, images: Images, condition: Condition) -> Latents:
        """Return the mean of q(z | x, c)."""
        with full_precision(self.device):
            mean: Tensor = self.posterior(images, condition).mean
        return mean

    @torch.inference_mode()
    def decode(self, z: Latents, condition: Condition) -> Images:
        """Return the mean picture of p(x | z, c)."""
        with full_precision(self.device):
            return self.likelihood.mean(self.network.decode(z, condition).float())

    @torch.inference_mode()
    def reconstruct(self, images: Images, condition: Condition, *, noise: Latents | None = None) -> Images:
        """Encode pictures and decode them again.

        Args:
            noise: standard normal noise, to decode a sample of the posterior instead of its mean.
        """
        with full_precision(self.device):
            posterior = self.posterior(images, condition)
        z = posterior.mean if noise is None else posterior.mean + posterior.stddev * noise
        return self.decode(z, condition)

    # ---- files and prompts -----------------------------------------------------------------------------------

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

    def save_pretrained(self, folder: str | Path, *, card: str = "", tensors: dict[str, Tensor] | None = None) -> None:
        """Write `config.json`, `model.safetensors` and the model card into `folder`, each file atomically.

        The configuration holds the digest of the weights, and no path of this machine.

        Args:
            card: the model card, in Markdown.
            tensors: weights to write instead of the model's own, for example rounded ones.
        """
        weights = tensors_bytes(named_tensors(self) if tensors is None else tensors)
        pretrained.write_model(Path(folder), self.config, weights, card=card)

    def condition(self, prompts: Sequence[str], *, callback: Callback = ignore) -> Condition:
        """Turn prompts into conditions, one row for each prompt.

        Args:
            callback: receives a notice for each part of a prompt that has no effect.

        Raises:
            UsageError: a prompt names no class of this model, or has no word that its text encoder knows.
            MissingError, CorruptError: the text encoder that the model was trained with is not available.
        """
        from cvae_cli.text.condition import encode_prompts

        if not self.is_conditional:
            callback(Notice(f"{self.config.name} has no condition: it ignores what a prompt says", is_warning=True))
        return encode_prompts(self.config.condition, prompts, ignored=not self.is_conditional, callback=callback).to(
            self.device
        )

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

    @property
    def is_conditional(self) -> bool:
        """Whether conditions have any effect."""
        return self.config.architecture.conditioning != "none"

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one picture's latent."""
        return self.network.latent_shape


Source = str | Path | CVAE
"""A model: a bundled name, a folder, `org/name` on the Hub, or a model in memory, which stays on its device."""


def load_model(source: Source, *, device: str | torch.device, callback: Callback = ignore) -> CVAE:
    """Load a model onto a device (see `CVAE.from_pretrained`); a model in memory is returned as it is."""
    if isinstance(source, CVAE):
        return source
    chosen = pick_device(device) if isinstance(device, str) else device
    return CVAE.from_pretrained(source, device=chosen, callback=callback)
