"""The conditional variational autoencoder: a class in which training and sampling can be compared line by line."""

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from cvae_cli.config.model import ModelConfig
from cvae_cli.events import Callback, Notice, Progress, ignore
from cvae_cli.models.bound import Bound
from cvae_cli.models.build import build_likelihood, build_network, build_prior
from cvae_cli.models.condition import Condition
from cvae_cli.models.network import Latents
from cvae_cli.models.prior import Prior
from cvae_cli.models.sampling import chunk_size, pad, sample_noise
from cvae_cli.pictures.pixels import check_finite
from cvae_cli.runtime.device import full_precision, send
from cvae_cli.runtime.threads import map_on_cores

Images = Float[Tensor, "b c h w"]


class Autoencoder(nn.Module):
    """The model p(x, z | c) = p(z | c) p(x | z, c), trained with an approximate posterior q(z | x, c).

    Sohn, Lee & Yan 2015, "Learning Structured Output Representation using Deep Conditional Generative Models".

    Images are float `(b, c, h, w)` in [0, 1]. Latents are float `(b, d)` or `(b, d, h, w)`. Conditions are class
    indices, int64 `(b,)`, mixtures of classes, float `(b, classes)`, or vectors of texts, float `(b, w)`;
    `condition` makes them from prompts.

    Attributes:
        called: how messages name the model: as the user did who loaded it, or by its configuration.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.called = config.name
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

    def elbo(
        self, images: Images, condition: Condition, *, noise: Latents | None = None, prior: Prior | None = None
    ) -> Bound:
        """Return the evidence lower bound on log p(x | c) for each image (Sohn, Lee & Yan 2015, eq. 4).

        Args:
            noise: standard normal noise for the one sample of the posterior; random by default.
            prior: the prior of the rate; by default the model's own.
        """
        posterior = self.posterior(images, condition)  # q(z | x, c)
        if noise is None:
            noise = torch.randn_like(posterior.mean)
        z = posterior.mean + posterior.stddev * noise  # a sample of q(z | x, c)
        output = self.network.decode(z, condition).float()  # p(x | z, c)
        return Bound(
            rate=(prior or self.prior).rate(posterior, z, condition, noise=noise),
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
        noise = self.noise(
            condition, seed=seed, prompts=prompts, indices=indices, temperature=temperature, same_noise=same_noise
        )
        return self.draw(noise, condition, guidance=guidance)

    def noise(
        self,
        condition: Condition,
        *,
        seed: int = 0,
        prompts: Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
        temperature: float = 1.0,
        same_noise: bool = False,
    ) -> Latents:
        """Return the noise that `sample` draws pictures from, on the CPU; see there."""
        settings, shape = self.config.condition, self.latent_shape
        return temperature * sample_noise(
            condition, settings, shape, seed=seed, prompts=prompts, indices=indices, same_noise=same_noise
        )

    def draw(
        self, noise: Latents, condition: Condition, *, guidance: float | None = None, callback: Callback = ignore
    ) -> Images:
        """Turn standard normal noise into pictures: noise to z by the prior, and z to the mean of p(x | z, c).

        Args:
            guidance: the guidance scale; see `Prior.from_noise`.
            callback: receives the progress.
        """
        chunks = self.draw_chunks(noise, condition, guidance=guidance)
        return joined(chunks, len(condition), callback)

    def draw_chunks(
        self, noise: Latents, condition: Condition, *, guidance: float | None = None
    ) -> Generator[Images, None, None]:
        """Yield the pictures of `draw` in order, a few at a time."""
        self.prior.check_guidance(guidance)
        return self.in_chunks(partial(self._draw_chunk, guidance), noise, condition)

    def _draw_chunk(self, guidance: float | None, noise: Latents, condition: Condition) -> Images:
        with full_precision(self.device):
            z = self.prior.from_noise(send(noise, self.device), condition, guidance=guidance)  # a sample of p(z | c)
        return self.decode(z, condition)  # p(x | z, c)

    def in_chunks(self, work: Callable[..., Tensor], *rows: Tensor) -> Generator[Tensor, None, None]:
        """Yield what `work` makes of a few rows of some tensors at a time, in order; on a CPU on all cores."""
        size = chunk_size(self.device, self.config.image.size)
        chunks = zip(*(each.split(size) for each in rows), strict=True)
        return map_on_cores(partial(_compute_chunk, work, size), chunks, self.device)

    @torch.inference_mode()
    def encode(self, images: Images, condition: Condition) -> Latents:
        """Return the mean of q(z | x, c).

        Raises:
            UsageError: a picture has values that are not finite numbers.
        """
        check_finite(images)
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

        Raises:
            UsageError: a picture has values that are not finite numbers.
        """
        check_finite(images)
        with full_precision(self.device):
            posterior = self.posterior(images, condition)
        z = posterior.mean if noise is None else posterior.mean + posterior.stddev * noise
        return self.decode(z, condition)

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
            callback(Notice(f"{self.called} has no condition: it ignores what a prompt says", is_warning=True))
        return encode_prompts(self.config.condition, prompts, ignored=not self.is_conditional, callback=callback).to(
            self.device
        )

    # ---- facts ------------------------------------------------------------------------------------------------

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


@torch.inference_mode()
def _compute_chunk(work: Callable[..., Tensor], size: int, rows: Sequence[Tensor]) -> Tensor:
    """Return what `work` makes of some rows, which are padded to `size`."""
    return work(*(pad(part, size) for part in rows))[: len(rows[0])]


def joined(chunks: Iterable[Images], total: int, callback: Callback = ignore) -> Images:
    """Join pictures that come a few at a time, and report the progress; there are `total` of them."""
    parts: list[Tensor] = []
    for part in chunks:
        parts.append(part)
        callback(Progress("drawing", sum(map(len, parts)), total))
    return torch.cat(parts)
