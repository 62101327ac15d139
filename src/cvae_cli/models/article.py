"""The networks of the article."""

import math

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.config import model as config
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition, Join, as_vector, embedding
from cvae_cli.models.network import Network


def article_network(settings: config.ModelConfig) -> Network:
    """Build the network for the size of the pictures."""
    return FashionNetwork(settings) if settings.image.size == 28 else PhotoNetwork(settings)


class FashionNetwork(Network):
    """Three strided convolutions down to 4x4 and two linear heads; a linear layer and three transposed convolutions.

    With `concat`, one label embedding joins both the encoder's features and z; with `add`, each has its own.
    """

    _FEATURES = 128 * 4 * 4
    decoder_parts = ("spread", "up")

    def __init__(self, settings: config.ModelConfig) -> None:
        super().__init__(settings)
        architecture, channels = settings.architecture, settings.image.channels
        assert isinstance(architecture.network, config.ArticleNetwork)
        method, latent_dim = architecture.conditioning, architecture.latent_dim
        self.latent_shape = (latent_dim,)
        label_width = architecture.network.label_width
        label = (embedding(settings.condition, label_width), label_width) if method == "concat" else None

        self.down = nn.Sequential(  # (b, c, 28, 28) -> (b, 128, 4, 4)
            nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(64, 128, 3, stride=2, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.join_features = Join(method, settings.condition, width=self._FEATURES, vector=label)
        self.mean = nn.Linear(self.join_features.out_width, latent_dim)
        self.log_variance = nn.Linear(self.join_features.out_width, latent_dim)

        self.join_z = Join(method, settings.condition, width=latent_dim, vector=label)
        self.spread = nn.Linear(self.join_z.out_width, self._FEATURES)
        self.up = nn.Sequential(  # (b, 128, 4, 4) -> 7x7 -> 14x14 -> (b, c, 28, 28)
            nn.ConvTranspose2d(128, 64, 2, stride=2, padding=1, output_padding=1), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
            nn.ConvTranspose2d(32, channels, 3, stride=2, padding=1, output_padding=1),
        )  # fmt: skip

    def encode(
        self, images: Float[Tensor, "b c h w"], condition: Condition
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        features = self.join_features(self.down(images).flatten(1), condition)  # (b, 2048 + label width)
        return self.mean(features), self.log_variance(features)

    def decode(self, z: Float[Tensor, "b d"], condition: Condition) -> Float[Tensor, "b c h w"]:
        features = self.spread(self.join_z(z, condition))  # (b, 2048)
        return self.up(features.unflatten(1, (128, 4, 4)))


class PhotoNetwork(Network):
    """Strided convolutions that halve the picture down to 4x4 and double the channels from 32; transposed convolutions
    back to 16 channels at full size, and a convolution to the colours.

    The condition goes through a linear layer before it joins the features at the heads, and joins z unchanged. The
    article's text concatenates, its code adds.
    """

    _FIRST_WIDTH, _LAST_WIDTH, _BOTTOM = 32, 16, 4
    decoder_parts = ("spread", "up")

    def __init__(self, settings: config.ModelConfig) -> None:
        super().__init__(settings)
        size, channels = settings.image.size, settings.image.channels
        levels = round(math.log2(size / self._BOTTOM))
        if levels < 1 or self._BOTTOM << levels != size:
            raise UsageError(
                f'the network "article" takes pictures of 28x28, or of a power of two from 8x8, not {size}x{size}',
                hint="choose another: --set architecture.network.kind=residual",
            )
        architecture = settings.architecture
        assert isinstance(architecture.network, config.ArticleNetwork)
        method, latent_dim = architecture.conditioning, architecture.latent_dim
        self.latent_shape = (latent_dim,)
        widths = [self._FIRST_WIDTH << level for level in range(levels)]  # 32, 64, ..., 512 for 128x128
        self.bottom = (widths[-1], self._BOTTOM, self._BOTTOM)
        flat = math.prod(self.bottom)

        down: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):  # (b, c, s, s) -> (b, widths[-1], 4, 4)
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.down = nn.Sequential(*down)
        vector, vector_width = as_vector(settings.condition, architecture.network.label_width)
        wide = nn.Sequential(vector, nn.Linear(vector_width, architecture.network.condition_width))
        joined = (wide, architecture.network.condition_width) if method == "concat" else None
        self.join_features = Join(method, settings.condition, width=flat, vector=joined)
        self.mean = nn.Linear(self.join_features.out_width, latent_dim)
        self.log_variance = nn.Linear(self.join_features.out_width, latent_dim)

        self.join_z = Join(method, settings.condition, width=latent_dim, vector=(vector, vector_width))
        self.spread = nn.Linear(self.join_z.out_width, flat)
        up: list[nn.Module] = []
        for before, after in zip(widths[::-1], [*widths[-2::-1], self._LAST_WIDTH], strict=True):
            up += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.up = nn.Sequential(*up, nn.Conv2d(self._LAST_WIDTH, channels, 3, padding=1))

    def encode(
        self, images: Float[Tensor, "b c h w"], condition: Condition
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        features = self.join_features(self.down(images).flatten(1), condition)
        return self.mean(features), self.log_variance(features)

    def decode(self, z: Float[Tensor, "b d"], condition: Condition) -> Float[Tensor, "b c h w"]:
        return self.up(self.spread(self.join_z(z, condition)).unflatten(1, self.bottom))
