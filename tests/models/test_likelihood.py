"""Likelihoods are normalised probabilities or densities."""

import pytest
import torch

from cvae_cli.config.model import LogisticLikelihood
from cvae_cli.models.logistic import DiscretisedLogistic


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
