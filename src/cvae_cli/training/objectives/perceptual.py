"""The bound with a distance in the features of a frozen network: sharper pictures, and no longer a pure CVAE."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.randomness import BatchRandom
from cvae_cli.training.frozen import FeatureMaps, Frozen
from cvae_cli.training.objectives.bound import BoundObjective

_FIRST_WEIGHT = 4.0  # of the distance in the first map; each further map weighs half of the one before
_SHIFT = 3  # pixels, in each direction
_SCALES = (4, 5, 6)  # quarters of the pictures' size


class PerceptualObjective(BoundObjective):
    """-ELBO and the distance of pictures and reconstructions in the feature maps of a frozen network.

    The distance is that of LPIPS (Zhang et al. 2018) without its learned weights: each position of a map is scaled to
    length 1. Both pictures are shifted and enlarged alike, at random in each step: a network that always sees them in
    the same place is blind to patterns of its own strides. The weight is for a mean times the number of pixel values,
    so that it has the same effect at every size.
    """

    def __init__(
        self, model: CVAE, weight: float, free_bits: float, frozen: Frozen, *, keep_prior: bool = False
    ) -> None:
        super().__init__(model, free_bits, keep_prior=keep_prior)
        self.names = (*self.names, "perceptual")
        self.weight, self.frozen = weight, frozen

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        bound = self.bound(images, condition)
        assert bound.output is not None
        reconstructions = self.model.likelihood.mean(bound.output)
        distance = perceptual_loss(self.frozen, reconstructions, images, self.random)
        return torch.cat([self.losses_from_bound(bound), distance[:, None]], dim=1)

    def _evaluation_losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        return F.pad(self.losses_from_bound(self.bound(images, condition)), (0, 1))  # the distance counts as 0

    def total(self, losses: Float[Tensor, "b losses"], beta: float) -> Float[Tensor, " b"]:
        return super().total(losses[:, :-1], beta) + self.weight * losses[:, -1]


def perceptual_loss(
    frozen: Frozen, reconstructions: Float[Tensor, "b c h w"], images: Float[Tensor, "b c h w"], random: BatchRandom
) -> Float[Tensor, " b"]:
    """Return the distance of each reconstruction from its picture, times the number of pixel values."""
    pairs = torch.cat([reconstructions, images]).expand(-1, 3, -1, -1)
    return images[0].numel() * feature_distance(frozen(look_anew(pairs, random)))


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the size of the result is drawn at random
def look_anew(images: Float[Tensor, "b c h w"], random: BatchRandom) -> Float[Tensor, "b c h2 w2"]:
    """Shift and enlarge all pictures alike, at random; what is moved in at a border is reflected."""
    size = images.shape[-1]
    top, left = random.below(2 * _SHIFT + 1), random.below(2 * _SHIFT + 1)
    larger = size * _SCALES[random.below(len(_SCALES))] // _SCALES[0]
    shifted = F.pad(images, [_SHIFT] * 4, mode="reflect")[..., top : top + size, left : left + size]
    if larger == size:
        return shifted
    return F.interpolate(shifted, size=(larger, larger), mode="bilinear", align_corners=False)


def feature_distance(maps: FeatureMaps) -> Float[Tensor, " b"]:
    """Return the distance between the first half of a batch and the second half, picture by picture."""
    total: Tensor | float = 0.0
    for number, each in enumerate(maps):
        a, b = _unit(each.float()).chunk(2)
        total = total + _FIRST_WEIGHT / 2**number * (a - b).square().sum(1).mean((1, 2))
    assert isinstance(total, Tensor)
    return total


def _unit(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Scale the channels at each position to length 1."""
    return x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()
