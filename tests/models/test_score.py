"""The score prior: its bound, its samples, its guidance."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import small_model

from cvae_cli.config.condition import LabelClass, LabelCondition
from cvae_cli.config.model import ScorePrior
from cvae_cli.errors import UsageError
from cvae_cli.models import flow_matching
from cvae_cli.models.flow_matching import FlowMatching
from cvae_cli.runtime import randomness

SETTINGS = ScorePrior(width=32, blocks=1, condition_width=32, steps=20)
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
        loss = prior.loss(*draw(256)).mean()
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

    monkeypatch.setattr(prior, "velocity", velocity)
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


def test_without_guidance_the_condition_is_left_to_the_decoder() -> None:
    """With 0 latents are the same for all conditions, in a network that is called twice and in one with guidance."""
    labels = torch.tensor([0, 1])
    for variant in ("map-score", "map-attentive"):
        model = small_model(variant)
        prior = model.prior
        assert isinstance(prior, FlowMatching)
        torch.nn.init.normal_(prior.write[2].weight)
        noise = torch.randn(1, *model.latent_shape).expand(2, *model.latent_shape)
        first, second = prior.from_noise(noise, labels, guidance=0.0)
        assert torch.equal(first, second) == (variant == "map-score")  # the other one learns it from a teacher


def test_guidance_that_was_not_learned_is_refused() -> None:
    model = small_model("map-attentive")
    assert model.sample(torch.tensor([1]), guidance=5.0).shape == (1, 1, 28, 28)
    with pytest.raises(UsageError, match=r"has learned guidance from 0 to 5, not 5\.5"):
        model.sample(torch.tensor([1]), guidance=5.5)
    model = small_model("map-score")
    assert model.sample(torch.tensor([1]), guidance=50.0).shape == (1, 1, 28, 28)


def test_guidance_needs_a_condition() -> None:
    prior = FlowMatching(ScorePrior(width=8, blocks=1, condition_width=8), latent_shape=(2,), condition=None)
    prior.check_guidance(None)
    prior.check_guidance(1.0)
    with pytest.raises(UsageError, match="guidance needs a condition"):
        prior.check_guidance(2.0)


@pytest.mark.parametrize("variant", ["residual-modulate", "map-modulate"])
def test_other_priors_refuse_guidance(variant: str) -> None:
    model = small_model(variant)
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


# ---- losses, for velocities that are known ---------------------------------------------------------------------


class Velocities:
    """Stands in for a network: remembers its arguments, and answers with a function of the time and the guidance."""

    def __init__(self, answer: Callable[[torch.Tensor, Any], torch.Tensor]) -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []

    def __call__(
        self, y: torch.Tensor, t: torch.Tensor, code: torch.Tensor, guidance: Any = 1.0, length: Any = 0.0
    ) -> torch.Tensor:
        self.calls.append((y, t, code, guidance, length))
        return self.answer(t, guidance).view(-1, 1, 1, 1).expand_as(y)


def prior_of(velocities: Velocities, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> FlowMatching:
    """Return a prior of two numbers with these velocities, for latents around 2 with the deviation 3."""
    condition = settings.pop("condition", None)
    small = ScorePrior(width=8, blocks=1, condition_width=8, **settings)
    prior = FlowMatching(small, latent_shape=(2,), condition=condition)
    prior.shift.fill_(2.0)
    prior.scale.fill_(3.0)
    monkeypatch.setattr(prior, "velocity", velocities)
    return prior


def half(t: torch.Tensor, guidance: Any) -> torch.Tensor:
    return torch.full_like(t, 0.5)


def test_calibration_standardises_each_channel() -> None:
    prior = FlowMatching(SETTINGS, latent_shape=(3, 2, 2), condition=None)
    z = torch.randn(6, 3, 2, 2) * torch.tensor([0.1, 1.0, 0.0]).view(3, 1, 1) + torch.tensor([5.0, 0.0, 7.0]).view(
        3, 1, 1
    )
    prior.calibrate(z)
    y = prior._standardised(z).transpose(0, 1).flatten(1)
    torch.testing.assert_close(y.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(y[:2].std(1, unbiased=False), torch.ones(2))
    assert prior.scale[2].item() == pytest.approx(1e-4)  # a channel that never changes


def test_loss_is_the_error_between_latent_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Velocities(half)
    prior = prior_of(network, monkeypatch, condition=TWO)
    assert prior.nothing is not None
    torch.nn.init.constant_(prior.nothing, 7.0)
    z, label = 2 + 3 * torch.randn(5000, 2), torch.zeros(5000, dtype=torch.long)
    torch.manual_seed(0)
    loss = prior.loss(z, label)
    torch.manual_seed(0)
    noise, t = torch.randn(5000, 2, 1, 1), torch.randn(5000).sigmoid()
    y = ((z - 2) / 3).view(5000, 2, 1, 1)
    torch.testing.assert_close(loss, (0.5 - (noise - y)).square().mean((1, 2, 3)))
    ((at, times, code, *_),) = network.calls
    torch.testing.assert_close(times, t)
    torch.testing.assert_close(at, (1 - t).view(-1, 1, 1, 1) * y + t.view(-1, 1, 1, 1) * noise)
    assert (code == 7).all(1).float().mean().item() == pytest.approx(0.1, abs=0.015)  # of the conditions are dropped


def test_a_window_is_added_to_the_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Velocities(half)
    prior = prior_of(network, monkeypatch, condition=TWO, window_input=True)
    assert prior.window is not None
    torch.nn.init.ones_(prior.window.weight)
    z, label = torch.randn(3, 2), torch.zeros(3, dtype=torch.long)
    for window in (None, torch.tensor([[1.0, 2.0, 3.0]] * 3)):
        torch.manual_seed(0)
        prior.loss(z, label, window=window)
    (_, _, whole, *_), (_, _, told, *_) = network.calls
    torch.testing.assert_close(told - whole, torch.full((3, 8), 6.0))
    assert torch.equal(whole, prior._code(label))


def test_guided_velocities_are_learned_at_all_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Velocities(half)
    student = prior_of(network, monkeypatch, condition=TWO, guidance_input=True, guided=(0.4, 0.6))
    teacher = FlowMatching(ScorePrior(width=8, blocks=1, condition_width=8), latent_shape=(2,), condition=TWO)
    with_condition, without = 3.0, 1.0

    def velocity(y: torch.Tensor, t: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        wanted = torch.tensor([with_condition, without]).repeat_interleave(len(y) // 2)
        return wanted.view(-1, 1, 1, 1).expand_as(y)

    monkeypatch.setattr(teacher, "velocity", velocity)
    z, label = 2 + 3 * torch.randn(100, 2), torch.zeros(100, dtype=torch.long)
    torch.manual_seed(0)
    loss = student.guidance_loss(teacher, z, label)
    torch.manual_seed(0)
    noise, t, scale = torch.randn(100, 2, 1, 1), torch.randn(100).sigmoid(), 5 * torch.rand(100)
    scale = torch.where((scale < 1) | ((t >= 0.4) & (t <= 0.6)), scale, 1.0)
    ((at, times, code, guidance, _),) = network.calls
    torch.testing.assert_close(times, t)
    torch.testing.assert_close(guidance, scale)
    shares = t.view(-1, 1, 1, 1)
    torch.testing.assert_close(at, (1 - shares) * ((z - 2) / 3).view(-1, 2, 1, 1) + shares * noise)
    assert torch.equal(code, student._code(label))
    torch.testing.assert_close(loss, (0.5 - without - scale * (with_condition - without)).square())


@pytest.mark.parametrize("guided", [(0.0, 1.0), (0.4, 0.6)])
def test_large_steps_have_the_mean_velocity_of_twelve_small_ones(
    monkeypatch: pytest.MonkeyPatch, guided: tuple[float, float]
) -> None:
    """The velocity t + guidance has known means; a small step of the second order is exact, but for the first one."""
    network = Velocities(half)
    settings: dict[str, Any] = {"step_input": True, "solver_order": 1, "guidance": 2.0, "guided": guided}
    student = prior_of(network, monkeypatch, **settings)
    small_steps = Velocities(lambda t, guidance: t + guidance)
    teacher = prior_of(small_steps, monkeypatch, **settings)
    n = 4000
    torch.manual_seed(0)
    noise = torch.randn(n, 2)
    loss = student.steps_loss(teacher, noise, torch.zeros(n))
    ((at, t, _, guidance, length),) = network.calls
    assert all(each == 0 for *_, each in small_steps.calls)  # its velocity at each moment
    is_moment = length == 0
    scale = torch.where((guidance < 1) | ((guided[0] <= t) & (t <= guided[1])), guidance, 1.0)
    torch.testing.assert_close(loss[is_moment], (0.5 - t - scale)[is_moment].square())
    if guided == (0.0, 1.0):
        first = (t > 0.999) * (1 / 12) ** 2 / 2  # what the first small step goes too far
        wanted = t - length / 2 + guidance + first / length.where(length > 0, 1.0)
        steps = (4 * length * (0.5 - wanted).square())[~is_moment]
        torch.testing.assert_close(loss[~is_moment], steps, rtol=1e-3, atol=1e-5)
        gone = (1 - t.square()) / 2 + guidance * (1 - t) + (t < 0.999) * (1 / 12) ** 2 / 2
        torch.testing.assert_close(at[..., 0, 0], noise - gone[:, None], rtol=1e-3, atol=1e-4)
    assert is_moment.float().mean().item() == pytest.approx(1 / 8, abs=0.01)
    assert (guidance == 2).float().mean().item() == pytest.approx(1 / 2, abs=0.03)
    others = guidance[guidance != 2]
    assert (others.min().item(), others.max().item()) == (pytest.approx(0, abs=0.02), pytest.approx(5, abs=0.02))
    assert others.mean().item() == pytest.approx(2.5, abs=0.15)
    taken = {(round(12 * a), round(12 * b)) for a, b in zip(t.tolist(), length.tolist(), strict=True)}
    sizes = (1, 2, 3, 4, 6, 12)
    assert taken - {(a, 0) for a in range(13)} == {(begin, size) for size in sizes for begin in range(size, 13, size)}
    shares = [(12 * length[~is_moment]).round().eq(size).float().mean().item() for size in sizes]
    assert shares == pytest.approx([1 / 6] * 6, abs=0.03)


# ---- samples and the bound, for velocities that are known ------------------------------------------------------


def test_guidance_counts_between_its_times_and_below_one_at_all() -> None:
    prior = FlowMatching(SETTINGS.model_copy(update={"guided": (0.25, 0.5)}), latent_shape=(2,), condition=None)
    times = (0.0, 0.24, 0.25, 0.4, 0.5, 0.51, 1.0)
    for guidance, wanted in ((1.5, [1, 1, 1.5, 1.5, 1.5, 1, 1]), (0.5, [0.5] * 7), (1.0, [1] * 7)):
        assert [prior._scale_at(time, guidance) for time in times] == wanted
        each = prior._scale_at(torch.tensor(times), torch.full((7,), guidance))
        assert isinstance(each, torch.Tensor)
        assert each.tolist() == wanted


@pytest.mark.parametrize("step_input", [False, True])
def test_samples_go_along_the_velocities(monkeypatch: pytest.MonkeyPatch, step_input: bool) -> None:
    network = Velocities(half)
    few: dict[str, Any] = {"steps": 4, "time_shift": 2.0, "solver_order": 1, "guidance": 3.0, "guided": (0.5, 0.7)}
    prior = prior_of(network, monkeypatch, step_input=step_input, **few)
    noise = torch.randn(5, 2)
    torch.testing.assert_close(prior.from_noise(noise, torch.zeros(5)), 3 * (noise - 0.5) + 2)
    times = [t[0].item() for _, t, *_ in network.calls]
    assert times == pytest.approx([1, 6 / 7, 2 / 3, 2 / 5])
    lengths = [length for *_, length in network.calls]
    assert lengths == pytest.approx([1 / 7, 4 / 21, 4 / 15, 2 / 5] if step_input else [0] * 4)
    scales = [guidance for *_, guidance, _ in network.calls]
    assert scales == ([3.0] * 4 if step_input else [1.0, 1.0, 3.0, 1.0])
    prior.from_noise(noise, torch.zeros(5), guidance=0.25)
    assert [guidance for *_, guidance, _ in network.calls[4:]] == [0.25] * 4


@pytest.mark.parametrize("deviation", [1.0, 0.2])
def test_bound_is_the_log_density_of_a_gaussian(monkeypatch: pytest.MonkeyPatch, deviation: float) -> None:
    """With noise of exactly unit variance that is orthogonal to the latent, and times that are as good as all times."""
    monkeypatch.setattr(flow_matching, "_STRATA", 1000)

    def noise(seed: int, indices: list[int], shape: tuple[int, ...]) -> torch.Tensor:
        return torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0]).expand(len(indices), *shape)

    monkeypatch.setattr(randomness, "noise", noise)
    prior = FlowMatching(SETTINGS, latent_shape=(4, 1, 1), condition=None)
    prior.shift.fill_(2.0)
    prior.scale.fill_(3.0)

    def velocity(y: torch.Tensor, t: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        t = t.view(-1, 1, 1, 1)
        return (t - (1 - t) * deviation**2) / ((1 - t) ** 2 * deviation**2 + t**2) * y

    monkeypatch.setattr(prior, "velocity", velocity)
    z = 2 + 3 * deviation * torch.tensor([1.0, 1.0, -1.0, -1.0]).view(1, 4, 1, 1)
    wanted = torch.distributions.Normal(2.0, 3 * deviation).log_prob(z).sum()
    torch.testing.assert_close(prior.log_prob(z, torch.zeros(1))[0], wanted, atol=4e-3, rtol=0)


def test_the_noise_of_the_bound_is_that_of_the_latent() -> None:
    torch.manual_seed(0)
    prior = FlowMatching(ScorePrior(width=8, blocks=1, condition_width=8), latent_shape=(2,), condition=TWO)
    torch.nn.init.normal_(prior.write[2].weight)
    z, label = torch.tensor([[0.0, 0.5], [0.02, 0.5], [0.0, 0.5]]), torch.zeros(3, dtype=torch.long)
    one, other, again = prior.log_prob(z, label)
    assert one == again
    assert abs(one - other) > 0.01  # another latent, other noise
    nearly = prior.log_prob(z + 1e-4 * torch.tensor([-1.0, 1.0]), label)
    assert abs(nearly[0] - one) < 0.01  # rounding errors, and the sign of a zero, change no noise
