"""The score prior: its bound, its samples, its guidance."""

import math

import pytest
import torch
from helpers import small_model

from cvae_cli.config.condition import LabelClass, LabelCondition
from cvae_cli.config.model import ScorePrior
from cvae_cli.errors import UsageError
from cvae_cli.models.flow_matching import FlowMatching

SETTINGS = ScorePrior(width=32, blocks=2, condition_width=32, steps=20)
TWO = LabelCondition(classes=(LabelClass(name="a", words=("a",)), LabelClass(name="b", words=("b",))))


@pytest.fixture(scope="module")
def fitted() -> FlowMatching:
    """A prior fitted to two Gaussians: class 0 at (3, 3), class 1 at (-3, 3), both with standard deviation 0.5."""
    torch.manual_seed(0)
    prior = FlowMatching(SETTINGS, latent_shape=(2,), condition=TWO)
    prior.calibrate(torch.cat(draw(2000)[:1]))
    optimizer = torch.optim.Adam(prior.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=200)
    for _ in range(200):
        loss = prior.loss(*draw(512)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return prior.eval()


def draw(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    label = torch.randint(2, (n,))
    centre = torch.stack([3.0 - 6.0 * label, torch.full((n,), 3.0)], dim=1)
    return centre + 0.5 * torch.randn(n, 2), label


def test_bound_is_exact_where_the_velocities_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a standard normal the velocities are known, and the mean of -log p is its entropy."""
    prior = FlowMatching(SETTINGS, latent_shape=(4, 3, 3), condition=None)
    prior.shift.fill_(2.0)
    prior.scale.fill_(3.0)

    def velocity(y: torch.Tensor, t: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        t = t.view(-1, 1, 1, 1)
        return (2 * t - 1) / (1 - 2 * t + 2 * t * t) * y

    monkeypatch.setattr(prior, "_velocity", velocity)
    z = 2 + 3 * torch.randn(2000, 4, 3, 3)
    entropy = 36 * (0.5 * math.log(2 * math.pi * math.e) + math.log(3))
    assert -prior.log_prob(z, torch.zeros(2000)).mean().item() == pytest.approx(entropy, rel=0.01)


def test_samples_are_those_of_the_data(fitted: FlowMatching) -> None:
    label = torch.tensor([0, 1]).repeat_interleave(500)
    with torch.no_grad():
        z = fitted.from_noise(torch.randn(1000, 2), label)
    for index, centre in enumerate([(3.0, 3.0), (-3.0, 3.0)]):
        part = z[label == index]
        torch.testing.assert_close(part.mean(0), torch.tensor(centre), atol=0.15, rtol=0)
        torch.testing.assert_close(part.std(0), torch.full((2,), 0.5), atol=0.15, rtol=0)


def test_density_prefers_the_right_class(fitted: FlowMatching) -> None:
    z, label = draw(500)
    with torch.no_grad():
        right, wrong = fitted.log_prob(z, label), fitted.log_prob(z, 1 - label)
        again = fitted.log_prob(z, label)
    assert torch.equal(right, again)
    assert right.mean() > wrong.mean() + 5
    truth = -math.log(2 * math.pi * 0.25) - 1  # mean log-density of a Gaussian with deviation 0.5 in two dimensions
    assert truth - 2 < right.mean() < truth + 0.2


def test_guidance_leads_from_no_condition_to_more_of_it(fitted: FlowMatching) -> None:
    noise, label = torch.randn(400, 2), torch.zeros(400, dtype=torch.long)
    with torch.no_grad():
        places = [fitted.from_noise(noise, label, guidance=g)[:, 0].mean().item() for g in (0.0, 0.5, 1.0, 2.0)]
        assert torch.equal(fitted.from_noise(noise, label), fitted.from_noise(noise, label, guidance=1.0))
    assert abs(places[0]) < 1
    assert places[0] < places[1] < places[2] < places[3]


def test_guidance_works_between_its_times(fitted: FlowMatching, monkeypatch: pytest.MonkeyPatch) -> None:
    noise, label = torch.randn(40, 2), torch.zeros(40, dtype=torch.long)

    def drawn(guidance: float, low: float, high: float) -> torch.Tensor:
        monkeypatch.setattr(fitted, "guided", (low, high))
        with torch.no_grad():
            return fitted.from_noise(noise, label, guidance=guidance)

    plain, everywhere, between = drawn(1.0, 0, 1), drawn(3.0, 0, 1), drawn(3.0, 0.3, 0.6)
    assert torch.equal(drawn(3.0, 0.99, 0.991), plain)  # between two steps
    assert plain[:, 0].mean() < between[:, 0].mean() < everywhere[:, 0].mean()
    assert torch.equal(drawn(0.0, 0.3, 0.6), drawn(0.0, 0, 1))  # without the condition, the guided times do not matter


def test_other_priors_refuse_guidance() -> None:
    model = small_model("residual-modulate")
    assert model.sample(torch.tensor([1]), guidance=1.0).shape == (1, 1, 28, 28)
    with pytest.raises(UsageError, match="guidance needs a prior of the kind score"):
        model.sample(torch.tensor([1]), guidance=2.0)


def test_a_narrow_prior_takes_a_single_latent_vector_as_it_takes_several() -> None:
    """With width 8 each group that is normalised has one value, which torch's own module refuses for one latent."""
    torch.manual_seed(0)
    prior = FlowMatching(ScorePrior(width=8, blocks=1, condition_width=8, steps=2), latent_shape=(2,), condition=TWO)
    torch.nn.init.ones_(prior.write[2].weight)
    z, label = draw(2)
    torch.testing.assert_close(prior.log_prob(z[:1], label[:1]), prior.log_prob(z, label)[:1])
    assert prior.loss(z[:1], label[:1]).isfinite().all()
    torch.testing.assert_close(prior.from_noise(z[:1], label[:1]), prior.from_noise(z, label)[:1])
