"""The Bernoulli likelihood, a cross-entropy, as in the article."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from cvae_cli.models.likelihood import Images, Likelihood


class Bernoulli(Likelihood):
    """Each pixel is Bernoulli with probability sigmoid(output).

    Grey values are taken as probabilities (Kingma & Welling 2014, appendix C.1). So this is a cross-entropy, and its
    minimum is the entropy of the picture, not 0.
    """

    def mean(self, output: Images) -> Images:
        return output.sigmoid()

    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        return F.binary_cross_entropy_with_logits(output, images, reduction="none").flatten(1).sum(1)
