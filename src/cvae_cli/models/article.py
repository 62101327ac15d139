"""The article's networks, as it describes them."""

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli import config
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition, Join, embedding
from cvae_cli.models.network import Network


class FashionNetwork(Network):
    """Three strided convolutions down to 4x4, two linear heads; a linear layer and three transposed ones back.

    With `concat` one label embedding joins both the encoder's features and z; with `add` each has a table of its own.
    """

    _FEATURES = 128 * 4 * 4

    def __init__(self, settings: config.ModelConfig) -> None:
        super().__init__()
        if settings.image.size != 28:
            raise UsageError(
                f'the network "article" draws 28x28 pictures, not {settings.image.size}x{settings.image.size}',
                hint="choose another: --set architecture.network.kind=residual",
            )
        architecture, channels = settings.architecture, settings.image.channels
        assert isinstance(architecture.network, config.ArticleNetwork)
        method, latent_dim = architecture.conditioning, architecture.latent_dim
        label_width = architecture.network.label_width
        label = (embedding(settings.condition, label_width), label_width) if method == "concat" else None

        self.down = nn.Sequential(  # (b, c, 28, 28) -> (b, 128, 4, 4)
            nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(64, 128, 3, stride=2, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.join_features = Join(method, settings.condition, width=self._FEATURES, appended=label)
        self.mean = nn.Linear(self.join_features.out_width, latent_dim)
        self.log_variance = nn.Linear(self.join_features.out_width, latent_dim)

        self.join_z = Join(method, settings.condition, width=latent_dim, appended=label)
        self.spread = nn.Linear(self.join_z.out_width, self._FEATURES)
        self.up = nn.Sequential(  # (b, 128, 4, 4) -> 7x7 -> 14x14 -> (b, c, 28, 28)
            nn.ConvTranspose2d(128, 64, 2, stride=2, padding=1, output_padding=1), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
            nn.ConvTranspose2d(32, channels, 3, stride=2, padding=1, output_padding=1),
        )  # fmt: skip

    def encode(
        self, images: Float[Tensor, "b c h w"], condition: Condition
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        features = self.join_features(self.down(images).flatten(1), condition)  # (b, 2048 and the label's width)
        return self.mean(features), self.log_variance(features)

    def decode(self, z: Float[Tensor, "b d"], condition: Condition) -> Float[Tensor, "b c h w"]:
        features = self.spread(self.join_z(z, condition))  # (b, 2048)
        return self.up(features.unflatten(1, (128, 4, 4)))
