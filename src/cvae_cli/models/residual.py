"""A residual network that works at a half and a quarter of the picture's size, where arithmetic is cheap."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli import config
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition, Join, embedding
from cvae_cli.models.network import Network

_LABEL_WIDTH = 64


class Block(nn.Module):
    """A pre-activation residual block; with `modulate` the condition scales and shifts its normalised features."""

    def __init__(self, channels: int, code_width: int) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second_norm = nn.GroupNorm(8, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)  # a fresh block changes nothing
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        self.code = nn.Linear(code_width, 2 * channels) if code_width else None

    def forward(self, x: Float[Tensor, "b c h w"], code: Tensor | None) -> Float[Tensor, "b c h w"]:
        y = self.first(F.silu(self.first_norm(x)))
        y = self.second_norm(y)
        if self.code is not None:
            scale, shift = self.code(code)[..., None, None].chunk(2, dim=1)  # each (b, c, 1, 1)
            y = y * (1 + scale) + shift
        return x + self.second(F.silu(y))


class ResidualNetwork(Network):
    """Pixels are folded into channels on the way in and unfolded on the way out: (c, s, s) <-> (4c, s/2, s/2)."""

    def __init__(self, settings: config.ModelConfig) -> None:
        super().__init__()
        size, channels = settings.image.size, settings.image.channels
        if size % 4:
            raise UsageError(f'the network "residual" draws sizes divisible by 4, not {size}x{size}')
        architecture = settings.architecture
        assert isinstance(architecture.network, config.ResidualNetwork)
        width, blocks = architecture.network.width, architecture.network.blocks
        if width % 8:
            raise UsageError(f"the residual network's width must be divisible by 8, not {width}")
        method, latent_dim = architecture.conditioning, architecture.latent_dim
        self.low = (2 * width, size // 4, size // 4)
        flat = 2 * width * (size // 4) ** 2
        # Only `modulate` reaches into the blocks; the other ways join where the article's networks have them.
        self.label = embedding(settings.condition, _LABEL_WIDTH) if method in {"modulate", "concat"} else None
        code = _LABEL_WIDTH if method == "modulate" else 0
        appended = (self.label, _LABEL_WIDTH) if self.label is not None and method == "concat" else None
        joint = "none" if method == "modulate" else method

        self.read = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.encode_high = nn.ModuleList(Block(width, code) for _ in range(blocks))
        self.down = nn.Conv2d(4 * width, 2 * width, 1)
        self.encode_low = nn.ModuleList(Block(2 * width, code) for _ in range(blocks))
        self.join_features = Join(joint, settings.condition, width=flat, appended=appended)
        self.moments = nn.Linear(self.join_features.out_width, 2 * latent_dim)

        self.join_z = Join(joint, settings.condition, width=latent_dim, appended=appended)
        self.spread = nn.Linear(self.join_z.out_width, flat)
        code = code + latent_dim if code else 0  # z speaks to every block of the decoder too
        self.decode_low = nn.ModuleList(Block(2 * width, code) for _ in range(blocks))
        self.up = nn.Conv2d(2 * width, 4 * width, 1)
        self.decode_high = nn.ModuleList(Block(width, code) for _ in range(blocks))
        self.write = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 4 * channels, 3, padding=1))

    def encode(
        self, images: Float[Tensor, "b c h w"], condition: Condition
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        code = self._code(condition)
        x = self.read(F.pixel_unshuffle(images, 2))  # (b, w, s/2, s/2)
        for block in self.encode_high:
            x = block(x, code)
        x = self.down(F.pixel_unshuffle(x, 2))  # (b, 2w, s/4, s/4)
        for block in self.encode_low:
            x = block(x, code)
        mean, log_variance = self.moments(self.join_features(x.flatten(1), condition)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Float[Tensor, "b d"], condition: Condition) -> Float[Tensor, "b c h w"]:
        code = self._code(condition)
        if code is not None:
            code = torch.cat([code, z], dim=1)
        x = self.spread(self.join_z(z, condition)).unflatten(1, self.low)  # (b, 2w, s/4, s/4)
        for block in self.decode_low:
            x = block(x, code)
        x = F.pixel_shuffle(self.up(x), 2)  # (b, w, s/2, s/2)
        for block in self.decode_high:
            x = block(x, code)
        return F.pixel_shuffle(self.write(x), 2)

    def _code(self, condition: Condition) -> Tensor | None:
        return self.label(condition) if self.label is not None and self._modulates else None

    @property
    def _modulates(self) -> bool:
        return self.encode_high[0].code is not None
