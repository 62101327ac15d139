"""What the objectives minimise: each loss against a computation of its own, and when a training counts as diverged."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import SCORE, Listener, captioned, data_for, same, small_model
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from cvae_cli.config.recipe import TrainingSettings
from cvae_cli.errors import UsageError
from cvae_cli.models.bound import Bound
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures.pixels import to_float
from cvae_cli.runtime.randomness import BatchRandom
from cvae_cli.training.frozen import Frozen
from cvae_cli.training.objectives.bound import BoundObjective
from cvae_cli.training.objectives.decoder import DecoderObjective
from cvae_cli.training.objectives.distillation import GuidanceObjective, StepsObjective
from cvae_cli.training.objectives.hybrid import Discriminator, HybridObjective
from cvae_cli.training.objectives.objective import Objective
from cvae_cli.training.objectives.perceptual import PerceptualObjective, look_anew, perceptual_loss
from cvae_cli.training.objectives.prior import PriorObjective

PIXELS = Frozen("pixels", lambda images: [images])
"""A network that sees the pictures themselves."""


def batch(variant: str, n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures and their conditions."""
    data = data_for(variant, n)
    return to_float(torch.from_numpy(data.images)), torch.from_numpy(data.conditions.values(data.rows))


def bound_of(model: CVAE, images: torch.Tensor, condition: torch.Tensor) -> Bound:
    """Return the bound with the noise that a training draws first after the seed 0, which is set to it."""
    torch.manual_seed(0)
    return model.elbo(images, condition, noise=torch.randn(len(images), *model.latent_shape))


def hybrid(model: CVAE, **settings: Any) -> HybridObjective:
    return HybridObjective(model, TrainingSettings(epochs=1, **settings))


def perceptual(model: CVAE) -> PerceptualObjective:
    return PerceptualObjective(model, 2.0, 0.0, PIXELS)


# ---- which part learns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "make", "trained"),
    [
        ("map-flow", BoundObjective, "network likelihood prior"),
        ("map-score", lambda model: BoundObjective(model, keep_prior=True), "network likelihood"),
        ("map-flow", lambda model: PerceptualObjective(model, 1, 0, PIXELS, keep_prior=True), "network likelihood"),
        ("map-flow", perceptual, "network likelihood prior"),
        ("map-flow", lambda model: hybrid(model, adversarial=1), "network likelihood prior"),
        ("map-score", PriorObjective, "prior"),
        ("map-attentive", GuidanceObjective, "prior"),
        ("map-attentive", StepsObjective, "prior"),
        ("dense-concat", DecoderObjective, "network.{0} network.{1} likelihood"),
    ],
)
def test_what_is_trained_is_in_training_mode_and_all_else_is_frozen(
    variant: str, make: Callable[[CVAE], Objective], trained: str
) -> None:
    model = small_model(variant)
    parts = tuple(f"{part}." for part in trained.format(*model.network.decoder_parts).split())
    objective = make(model)
    for number, module in enumerate(model.modules()):
        module.training = number % 2 == 0
    learning = {id(each) for each in objective.parameters()}
    objective.train_mode()
    for name, module in model.named_modules():
        if not list(module.children()):
            assert module.training == f"{name}.".startswith(parts), name
    for name, parameter in model.named_parameters():
        assert (id(parameter) in learning) == parameter.requires_grad, name
        assert parameter.requires_grad <= name.startswith(parts), name


def test_a_prior_that_is_distilled_keeps_what_no_guided_call_uses() -> None:
    for make in (GuidanceObjective, StepsObjective):
        model = small_model("map-attentive").train()
        objective = make(model)
        kept = {
            name
            for name, each in model.prior.named_parameters()
            if all(each is not own for own in objective.parameters())
        }
        assert kept == {"nothing"}
        assert not any(each.requires_grad for each in objective.teacher.parameters())
        assert not objective.teacher.training


@pytest.mark.parametrize("make", [GuidanceObjective, StepsObjective])
def test_the_teacher_is_the_prior_at_the_start_of_the_training(make: Callable[[CVAE], Objective]) -> None:
    objective, resumed = (make(small_model("map-attentive")) for _ in range(2))
    prior = objective.model.prior
    torch.nn.init.constant_(prior.place, 3.0)  # a finished model is loaded
    objective.calibrate(objective.make_batches(data_for("map-attentive", 4), batch_size=4, device=torch.device("cpu")))
    torch.nn.init.constant_(prior.place, 4.0)  # the training goes on
    resumed.load_state_dict(objective.state_dict())
    for each in (objective, resumed):
        assert isinstance(each, GuidanceObjective | StepsObjective)
        assert each.teacher.place.unique().tolist() == [3.0]


# ---- what counts as diverged -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "make", "most_loss", "most_bound"),
    [
        ("article-concat", BoundObjective, 5000 * 28 * 28, 5000 * 28 * 28),
        (
            "captioned-map-score",
            lambda model: BoundObjective(model, keep_prior=True),
            5000 * 3 * 16**2,
            5000 * 3 * 16**2,
        ),
        ("map-score", PriorObjective, 5000, 5000 * 28 * 28),
        ("residual-concat", PriorObjective, 5000 * 10, 5000 * 28 * 28),
        ("map-flow", PriorObjective, 5000 * 3 * 7 * 7, 5000 * 28 * 28),
    ],
)
def test_a_training_has_diverged_at_5000_nats_for_each_number(
    variant: str, make: Callable[[CVAE], Objective], most_loss: float, most_bound: float
) -> None:
    objective = make(small_model(variant))
    assert (objective.max_loss, objective.max_bound) == (most_loss, most_bound)


@pytest.mark.parametrize("make", [BoundObjective, lambda model: hybrid(model, perceptual=1, adversarial=1), perceptual])
def test_the_last_step_is_judged_by_the_bound_alone_and_changes_nothing(make: Callable[[CVAE], Objective]) -> None:
    model = small_model("residual-modulate")
    images, condition = batch("residual-modulate")
    bound = bound_of(model, images, condition).negative_elbo.mean().item()
    objective = make(model)
    objective.train_mode()
    before = deepcopy(model.state_dict() | objective.state_dict())
    torch.manual_seed(0)
    assert objective.evaluate(images, condition) == pytest.approx(bound)
    assert model.network.training
    after = model.state_dict() | objective.state_dict()
    assert all(same(before[name], after[name]) for name in before)


# ---- the bound -------------------------------------------------------------------------------------------------


def test_the_bound_of_a_batch_is_that_of_the_model() -> None:
    model = small_model("map-flow")
    images, condition = batch("map-flow")
    torch.manual_seed(0)
    losses = BoundObjective(model).losses(images, condition)
    bound = bound_of(model, images, condition)
    torch.testing.assert_close(losses, torch.stack([bound.rate, bound.distortion], dim=1))
    torch.testing.assert_close(BoundObjective(model).total(losses, beta=3.0), 3 * bound.rate + bound.distortion)


def test_a_kept_score_prior_leaves_the_rate_of_a_standard_normal() -> None:
    model = small_model("map-score")
    images, condition = batch("map-score")
    posterior = model.posterior(images, condition)
    rate = torch.distributions.kl_divergence(posterior.base_dist, Normal(0.0, 1.0)).sum((1, 2, 3))
    losses = BoundObjective(model, keep_prior=True).losses(images, condition)
    torch.testing.assert_close(losses[:, 0], rate)


def test_free_bits_end_the_pull_on_numbers_with_little_rate() -> None:
    objective = BoundObjective(small_model("dense-concat", {"architecture.prior": {"kind": "standard"}}), 0.5)
    assert objective.names == ("rate", "distortion", "free")
    mean = torch.tensor([[0.1, 2.0], [0.3, 1.0]], requires_grad=True)
    rates = 0.5 * mean.square()  # of deviation 1: 0.005 and 0.045, below the threshold; 2 and 0.5, above it
    bound = Bound(rates.sum(1), torch.tensor([7.0, 8.0]), Independent(Normal(mean, torch.ones(2, 2)), 1))
    losses = objective.losses_from_bound(bound)
    torch.testing.assert_close(losses[:, 2], torch.full((2,), 0.5 - 0.025))
    total = objective.total(losses, beta=2.0)
    torch.testing.assert_close(total, 2 * (rates.sum(1) + 0.475) + torch.tensor([7.0, 8.0]))
    total.mean().backward()
    assert mean.grad is not None
    torch.testing.assert_close(mean.grad, torch.tensor([[0.0, 2.0], [0.0, 1.0]]))


def test_free_bits_need_the_standard_prior() -> None:
    with pytest.raises(UsageError, match="free bits need the standard prior"):
        BoundObjective(small_model("map-flow"), 0.1)


# ---- the decoder alone -----------------------------------------------------------------------------------------


def test_a_decoder_learns_from_samples_of_the_posterior() -> None:
    model = small_model("map-modulate")
    images, condition = batch("map-modulate")
    objective = DecoderObjective(model, 2.0, PIXELS)
    torch.manual_seed(0)
    losses = objective.losses(images, condition)
    bound = bound_of(model, images, condition)
    assert bound.output is not None
    distance = perceptual_loss(PIXELS, model.likelihood.mean(bound.output), images, BatchRandom())
    assert objective.names == ("distortion", "perceptual")
    torch.testing.assert_close(losses, torch.stack([bound.distortion, distance], dim=1))
    torch.testing.assert_close(objective.total(losses, beta=5.0), bound.distortion + 2 * distance)
    plain = DecoderObjective(model)
    assert plain.names == ("distortion",)
    torch.testing.assert_close(plain.total(losses[:, :1], beta=5.0), bound.distortion)


# ---- a discriminator, and a frozen network ---------------------------------------------------------------------


def test_terms_of_a_discriminator_and_its_own_hinge_loss() -> None:
    model = small_model("map-modulate")
    images, condition = batch("map-modulate")
    objective = hybrid(model, adversarial=0.5, perceptual=0.25, learning_rate=1e-3)
    network = objective.discriminator.eval()  # spectral norms stay as they are
    before = deepcopy(network)
    torch.manual_seed(0)
    losses = objective.losses(images, condition)
    output = bound_of(model, images, condition).output
    assert output is not None
    rebuilt = model.likelihood.mean(output).detach()

    hinge = (1 - before(images)[0]).clamp_min(0).mean() + (1 + before(rebuilt)[0]).clamp_min(0).mean()
    gradient = torch.autograd.grad(hinge, list(before.parameters()))
    for learned, then, wanted in zip(network.parameters(), before.parameters(), gradient, strict=True):
        torch.testing.assert_close(learned.grad, wanted)
        step = (then - learned)[wanted.abs() > 1e-4]
        torch.testing.assert_close(
            step, 1e-3 * wanted[wanted.abs() > 1e-4].sign(), atol=1e-6, rtol=1e-2
        )  # Adam's first

    with torch.no_grad():
        (logits, ours), (_, theirs) = network(rebuilt), network(images)
    assert [tuple(each.shape[1:]) for each in (*ours, logits)] == [(32, 14, 14), (64, 7, 7), (64, 7, 7), (1, 7, 7)]
    distance = sum((a - b).square().mean((1, 2, 3)) for a, b in zip(ours, theirs, strict=True))
    assert objective.names[2:] == ("perceptual", "adversarial")
    torch.testing.assert_close(losses[:, 2], 28 * 28 * distance)
    torch.testing.assert_close(losses[:, 3], -28 * 28 * logits.mean((1, 2, 3)))


def test_the_discriminator_has_the_layers_of_the_paper_and_sees_grey_as_zero() -> None:
    network = Discriminator(3).eval()
    shapes = [tuple(layer.weight.shape) for layer in (*network.layers, network.write)]
    assert shapes == [(32, 3, 4, 4), (64, 32, 4, 4), (64, 64, 3, 3), (1, 64, 3, 3)]
    first, *_ = network.features(torch.full((1, 3, 8, 8), 0.5))
    bias = network.layers[0].bias
    torch.testing.assert_close(first, torch.where(bias > 0, bias, 0.2 * bias).view(1, -1, 1, 1).expand(1, 32, 4, 4))


def test_a_distance_in_frozen_features_is_for_each_number_of_a_picture() -> None:
    model = small_model("map-modulate")
    images, condition = batch("map-modulate")
    objective = perceptual(model)
    torch.manual_seed(0)
    losses = objective.losses(images, condition)
    output = bound_of(model, images, condition).output
    assert output is not None
    pairs = look_anew(torch.cat([model.likelihood.mean(output), images]).expand(-1, 3, -1, -1), BatchRandom())
    ours, theirs = F.normalize(pairs, eps=1e-3).chunk(2)
    wanted = 28 * 28 * 4 * (ours - theirs).square().sum(1).mean((1, 2))
    assert objective.names == ("rate", "distortion", "perceptual")
    torch.testing.assert_close(losses[:, 2], wanted, rtol=0.02, atol=0)


# ---- a prior alone ---------------------------------------------------------------------------------------------


def test_a_prior_learns_from_samples_of_the_moments() -> None:
    model = small_model("map-flow")
    _, condition = batch("map-flow")
    moments = torch.rand(4, 2, *model.latent_shape)
    torch.manual_seed(0)
    objective = PriorObjective(model)
    losses = objective.losses(moments, condition)
    assert torch.equal(objective.total(losses, beta=7.0), losses[:, 0])
    torch.manual_seed(0)
    z = moments[:, 0] + moments[:, 1] * torch.randn(4, *model.latent_shape)
    torch.testing.assert_close(losses, -model.prior.log_prob(z, condition)[:, None])


def test_a_prior_is_told_of_windows_and_calibrated_with_64_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("map-score")
    objective = PriorObjective(model)
    told, seen = [], []

    def loss(z: torch.Tensor, *_: Any, window: torch.Tensor) -> torch.Tensor:
        told.append((z, window))
        return z.flatten(1).sum(1)

    monkeypatch.setattr(model.prior, "loss", loss)
    monkeypatch.setattr(model.prior, "calibrate", seen.append)
    moments = torch.zeros(2, 2, 6, 7, 7)
    moments[:, 0, :3] = 1.5
    moments[:, :, 3:] = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    objective.losses(moments, torch.zeros(2, dtype=torch.long))
    ((z, window),) = told
    assert z.shape == (2, 3, 7, 7)
    assert z.unique().tolist() == [1.5]
    assert window.tolist() == [[1.0, 2.0, 3.0]] * 2

    class Served:
        def epoch(self, epoch: int) -> Any:
            assert epoch == 0
            return ((torch.full((2, 2, 3, 7, 7), float(number)), None) for number in range(70))

    objective.calibrate(Served())  # type: ignore[arg-type]
    assert [len(each) for each in seen] == [2 * 64]


WINDOWED = {"architecture.prior": SCORE["architecture.prior"] | {"window_input": True}}


@pytest.mark.parametrize(
    ("variant", "changes", "told"),
    [
        ("captioned-residual-modulate", {}, 0),
        ("captioned-map-score", {}, 0),
        ("captioned-map-score", WINDOWED, 3),
        ("captioned-residual-modulate", WINDOWED, 3),  # latents are vectors
    ],
)
def test_only_a_prior_with_that_input_learns_from_windows(variant: str, changes: dict[str, Any], told: int) -> None:
    model = small_model(variant, changes)
    data = replace(captioned(4), larger=captioned(4, size=32))
    listener = Listener()
    settings: dict[str, Any] = {"batch_size": 4, "device": torch.device("cpu"), "seed": 1, "callback": listener}
    objective = PriorObjective(model)
    batches = objective.make_batches(data, **settings)
    assert listener.progress[-1] == (4, 4)
    ((moments, condition),) = batches.epoch(0)
    assert moments.shape[2] == model.latent_shape[0] + told
    assert objective.losses(moments, condition).isfinite().all()
    _, window = objective._sample_latents(moments)
    if told:
        assert window is not None
        assert torch.equal(window, moments[:, 0, -3:].reshape(4, 3, -1).amax(2))  # the same at each position
        assert window.any()
    else:
        assert window is None
