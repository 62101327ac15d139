"""A residual network that works at half of the picture's size and below, where arithmetic is cheap."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.config import model as config
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition, Join, as_vector
from cvae_cli.models.network import Latents, Network

_LABEL_WIDTH = 64


class GroupNorm(nn.GroupNorm):
    """Group normalisation that also takes a single picture whose groups have one value each, as it takes several."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class Block(nn.Module):
    """A pre-activation residual block. A `code`, if any, scales and shifts its normalised features.

    Args:
        code_width: width of the code; 0 for none.
    """

    def __init__(self, channels: int, code_width: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.first_norm = GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.second_norm = GroupNorm(8, channels)
        self.second = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        nn.init.zeros_(self.second.weight)  # a new block is the identity
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        self.code = nn.Linear(code_width, 2 * channels) if code_width else None

    def forward(self, x: Float[Tensor, "b c h w"], code: Tensor | None) -> Float[Tensor, "b c h w"]:
        y = self.first(F.silu(self.first_norm(x)))
        y = self.second_norm(y)
        if self.code is not None:
            scale, shift = self.code(code)[..., None, None].chunk(2, dim=1)  # each (b, c, 1, 1)
            y = y * (1 + scale) + shift
        return x + self.second(F.silu(y))


class Stage(nn.Module):
    """A sequence of blocks."""

    def __init__(self, channels: int, code_width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, code_width) for _ in range(blocks))

    def forward(self, x: Float[Tensor, "b c h w"], code: Tensor | None) -> Float[Tensor, "b c h w"]:
        for block in self.blocks:
            x = block(x, code)
        return x


class ResidualNetwork(Network):
    """Residual blocks on pixels that are folded into channels: (c, s, s) to (4c, s/2, s/2), and back."""

    decoder_parts = ("spread", "decoder", "ups", "write")

    def __init__(self, settings: config.ModelConfig) -> None:
        super().__init__(settings)
        size, channels = settings.image.size, settings.image.channels
        architecture = settings.architecture
        assert isinstance(architecture.network, config.ResidualNetwork)
        width, blocks = architecture.network.width, architecture.network.blocks
        levels = architecture.network.halvings(size)
        if size % 2**levels:
            raise UsageError(f'the network "residual" halves sizes {levels} times, which {size}x{size} does not allow')
        if width % 8:
            raise UsageError(f"the residual network's width must be divisible by 8, not {width}")
        method, latent_dim = architecture.conditioning, architecture.latent_dim
        widths = [width << level for level in range(levels)]
        full_width = architecture.network.full_width
        self.bottom = (widths[-1], size >> levels, size >> levels)
        self.is_map = architecture.network.latent == "map"
        self.latent_shape = (latent_dim, *self.bottom[1:]) if self.is_map else (latent_dim,)
        # each position of a latent map depends on its neighbourhood, a latent vector on the whole picture
        layer: Callable[[int, int], nn.Module] = _conv3x3 if self.is_map else nn.Linear
        flat = widths[-1] if self.is_map else math.prod(self.bottom)
        # `modulate` acts in the blocks; `concat` and `add` act where they do in the article's networks.
        vector, vector_width = as_vector(settings.condition, _LABEL_WIDTH)
        self.code = vector if method == "modulate" else None
        code = vector_width if method == "modulate" else 0
        join_method = "none" if method == "modulate" else method
        appended = (vector, vector_width) if method == "concat" else None

        self.read = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.encoder = nn.ModuleList(Stage(each, code, blocks) for each in widths)
        self.downs = nn.ModuleList(nn.Conv2d(4 * each, 2 * each, 1) for each in widths[:-1])
        self.join_features = Join(join_method, settings.condition, width=flat, vector=appended)
        self.moments = layer(self.join_features.out_width, 2 * latent_dim)

        self.join_z = Join(join_method, settings.condition, width=latent_dim, vector=appended)
        self.spread = layer(self.join_z.out_width, flat)
        if code and not self.is_map:
            code += latent_dim  # z modulates the decoder's blocks, too
        self.decoder = nn.ModuleList(Stage(each, code, blocks) for each in widths[::-1])
        self.is_full = full_width is not None
        if full_width is not None:
            decoder_widths = [*widths[::-1], full_width]
            self.decoder.append(Stage(full_width, code, 1))
            self.ups = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(decoder_widths))
            last = nn.Conv2d(full_width, channels, 3, padding=1)
        else:
            self.ups = nn.ModuleList(nn.Conv2d(2 * each, 4 * each, 1) for each in widths[-2::-1])
            last = nn.Conv2d(width, 4 * channels, 3, padding=1)
        self.write = nn.Sequential(GroupNorm(8, last.in_channels), nn.SiLU(), last)

    def encode(self, images: Float[Tensor, "b c h w"], condition: Condition) -> tuple[Latents, Latents]:
        code = self.code(condition) if self.code is not None else None
        x = self.read(F.pixel_unshuffle(images, 2))  # (b, w, s/2, s/2)
        for level, stage in enumerate(self.encoder):
            if level:
                x = self.downs[level - 1](F.pixel_unshuffle(x, 2))  # (b, 2w, s/4, s/4), (b, 4w, s/8, s/8), ...
            x = stage(x, code)
        x = x if self.is_map else x.flatten(1)
        mean, log_variance = self.moments(self.join_features(x, condition)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Latents, condition: Condition) -> Float[Tensor, "b c h w"]:
        code = self.code(condition) if self.code is not None else None
        if code is not None and not self.is_map:
            code = torch.cat([code, z], dim=1)
        x = self.spread(self.join_z(z, condition)).reshape(-1, *self.bottom)
        for level, stage in enumerate(self.decoder):
            if level:
                x = self._enlarge(self.ups[level - 1](x))
            x = stage(x, code)
        return self.write(x) if self.is_full else F.pixel_shuffle(self.write(x), 2)

    def _enlarge(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Double the size: by interpolation, which treats all pixels alike, or by unfolding channels."""
        if self.is_full:
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return F.pixel_shuffle(x, 2)


def _conv3x3(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
