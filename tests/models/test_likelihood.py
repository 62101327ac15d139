"""Likelihoods are normalised probabilities or densities."""

import math

import pytest
import torch

from cvae_cli.config.model import BernoulliLikelihood, GaussianLikelihood, LogisticLikelihood
from cvae_cli.models.bernoulli import Bernoulli
from cvae_cli.models.gaussian import Gaussian
from cvae_cli.models.likelihood import Likelihood
from cvae_cli.models.logistic import DiscretisedLogistic

torch.manual_seed(0)
OUTPUT, IMAGES = torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5)


def test_a_gaussian_is_that_of_torch_and_follows_the_squared_error() -> None:
    gaussian = Gaussian(GaussianLikelihood(), channels=3).eval()
    gaussian.variance.fill_(0.02)
    normal = torch.distributions.Normal(OUTPUT.sigmoid(), 0.02**0.5)
    torch.testing.assert_close(gaussian.distortion(OUTPUT, IMAGES), -normal.log_prob(IMAGES).sum((1, 2, 3)))
    assert gaussian.variance == pytest.approx(0.02)  # it is learned in training only
    gaussian.train().distortion(OUTPUT, IMAGES)
    error = (OUTPUT.sigmoid() - IMAGES).square().mean().item()
    assert gaussian.variance == pytest.approx(0.02 + 0.01 * (error - 0.02))
    gaussian.variance.fill_(1e-5)
    gaussian.distortion(OUTPUT, OUTPUT.sigmoid())
    assert gaussian.variance == pytest.approx(1e-5)  # the smallest


def test_a_bernoulli_is_that_of_torch() -> None:
    bernoulli = Bernoulli(BernoulliLikelihood(), channels=3)
    black_or_white = IMAGES.round()
    expected = -torch.distributions.Bernoulli(logits=OUTPUT).log_prob(black_or_white).sum((1, 2, 3))
    torch.testing.assert_close(bernoulli.distortion(OUTPUT, black_or_white), expected)


@pytest.mark.parametrize(
    "likelihood",
    [
        Bernoulli(BernoulliLikelihood(), channels=3),
        Gaussian(GaussianLikelihood(), channels=3),
        DiscretisedLogistic(LogisticLikelihood(), channels=3),
    ],
)
def test_the_mean_is_a_picture_whose_grey_is_an_output_of_zero(likelihood: Likelihood) -> None:
    output = torch.tensor([-1e3, 0.0, math.log(3), 1e3]).expand(1, 3, 1, 4)
    torch.testing.assert_close(likelihood.mean(output), torch.tensor([0, 0.5, 0.75, 1]).expand(1, 3, 1, 4))


def test_a_logistic_is_never_narrower_than_its_smallest_scale() -> None:
    likelihood = DiscretisedLogistic(LogisticLikelihood(), channels=3)
    likelihood.log_scale.data.fill_(-7)
    smallest = likelihood.distortion(OUTPUT, IMAGES)
    likelihood.log_scale.data.fill_(-9)
    torch.testing.assert_close(likelihood.distortion(OUTPUT, IMAGES), smallest)


@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -2.0, 1.0])
def test_the_256_values_of_a_pixel_share_one(log_scale: float) -> None:
    likelihood = DiscretisedLogistic(LogisticLikelihood(), channels=1)
    likelihood.log_scale.data.fill_(log_scale)
    values = torch.arange(256).view(-1, 1, 1, 1) / 255
    for output in (-9.0, 0.3, 9.0):
        shares = (-likelihood.distortion(torch.full_like(values, output), values)).exp()
        assert shares.sum().item() == pytest.approx(1, abs=1e-5)


def test_a_pixel_far_away_still_pulls() -> None:
    likelihood = DiscretisedLogistic(LogisticLikelihood(), channels=3)
    likelihood.log_scale.data.fill_(-7)
    output = torch.full((1, 3, 1, 1), -3.0, requires_grad=True)
    distortion = likelihood.distortion(output, torch.full((1, 3, 1, 1), 0.9))
    distortion.sum().backward()
    assert torch.isfinite(distortion).all()
    assert (output.grad < -1).all()
