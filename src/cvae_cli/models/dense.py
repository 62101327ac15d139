"""A fully connected network: few operations for a small picture, most of them in large matrix products."""

import itertools
import math

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.config import model as config
from cvae_cli.models.condition import Condition, Join, as_vector
from cvae_cli.models.network import Network

_LABEL_WIDTH = 32


class DenseNetwork(Network):
    """Hidden layers of one width from pixels to latents and back. The condition joins the pixels, and z."""

    decoder_parts = ("decoder", "write")

    def __init__(self, settings: config.ModelConfig) -> None:
        super().__init__(settings)
        architecture, image = settings.architecture, settings.image
        assert isinstance(architecture.network, config.DenseNetwork)
        method, latent_dim, width = architecture.conditioning, architecture.latent_dim, architecture.network.width
        layers = architecture.network.layers
        self.latent_shape = (latent_dim,)
        self.image_shape = (image.channels, image.size, image.size)
        pixels = math.prod(self.image_shape)
        appended = as_vector(settings.condition, _LABEL_WIDTH) if method == "concat" else None
        self.join_pixels = Join(method, settings.condition, width=pixels, vector=appended)
        self.encoder = hidden_layers(self.join_pixels.out_width, width, layers)
        self.moments = nn.Linear(width, 2 * latent_dim)
        self.join_z = Join(method, settings.condition, width=latent_dim, vector=appended)
        self.decoder = hidden_layers(self.join_z.out_width, width, layers)
        self.write = nn.Linear(width, pixels)

    def encode(
        self, images: Float[Tensor, "b c h w"], condition: Condition
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        features = self.encoder(self.join_pixels(images.flatten(1), condition))  # (b, width)
        mean, log_variance = self.moments(features).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Float[Tensor, "b d"], condition: Condition) -> Float[Tensor, "b c h w"]:
        features = self.decoder(self.join_z(z, condition))  # (b, width)
        return self.write(features).unflatten(1, self.image_shape)  # type: ignore[no-any-return]


def hidden_layers(inputs: int, width: int, layers: int) -> nn.Sequential:
    """Return `layers` linear layers of one width, each with a SiLU, initialised as in He et al. 2015."""
    parts: list[nn.Module] = []
    for pair in itertools.pairwise([inputs, *[width] * layers]):
        linear = nn.Linear(*pair)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        parts += [linear, nn.SiLU()]
    return nn.Sequential(*parts)
