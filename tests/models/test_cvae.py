"""What holds for every model, however it is built."""

import math
from pathlib import Path

import pytest
import torch
from helpers import VARIANTS, fashion, small_model

from cvae_cli import CVAE
from cvae_cli.models.pretrained import named_tensors
from cvae_cli.pixels import to_float

CLASSES = torch.arange(10)


@pytest.fixture(params=VARIANTS)
def model(request: pytest.FixtureRequest) -> CVAE:
    return small_model(request.param)


@pytest.fixture
def images() -> torch.Tensor:
    return to_float(torch.from_numpy(fashion(n=10).images.copy()))


def test_bound_has_two_finite_parts_for_each_image(model: CVAE, images: torch.Tensor) -> None:
    bound = model.elbo(images, CLASSES)
    assert bound.rate.shape == bound.distortion.shape == (10,)
    assert torch.isfinite(bound.negative_elbo).all()


def test_every_parameter_learns(model: CVAE, images: torch.Tensor) -> None:
    model.train().elbo(images, CLASSES).negative_elbo.mean().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_sample_does_not_depend_on_the_batch(model: CVAE) -> None:
    many = model.sample(CLASSES.repeat(5), seed=3)
    few = model.sample(CLASSES[:4], seed=3)
    last = model.sample(CLASSES[-1:], seed=3, indices=[49])
    assert torch.equal(many[:4], few)
    assert torch.equal(many[49:], last)


def test_indices_go_with_conditions(model: CVAE) -> None:
    with pytest.raises(ValueError, match="3 indices for 10 conditions"):
        model.sample(CLASSES, indices=[0, 1, 2])


def test_seed_and_temperature_matter(model: CVAE) -> None:
    reference = model.sample(CLASSES, seed=0)
    assert not torch.equal(reference, model.sample(CLASSES, seed=1))
    cold = model.sample(CLASSES[:1].repeat(2), temperature=0.0)
    assert torch.equal(cold[0], cold[1])


def test_condition_matters_exactly_when_there_is_one(model: CVAE) -> None:
    z = torch.randn(1, *model.latent_shape)
    one, other = (model.decode(z, torch.tensor([label])) for label in (0, 1))
    assert torch.equal(one, other) == (not model.is_conditional)
    drawn = [model.sample(torch.tensor([label])) for label in (0, 1)]
    assert torch.equal(*drawn) == (not model.is_conditional)


def test_saved_model_is_the_model(model: CVAE, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "saved", card="# A model\n")
    loaded = CVAE.from_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert loaded.config == model.config
    assert all(
        torch.equal(a, b) for a, b in zip(named_tensors(model).values(), named_tensors(loaded).values(), strict=True)
    )
    assert torch.equal(loaded.sample(CLASSES), model.sample(CLASSES))


def test_reconstruction_through_the_mean_is_repeatable(model: CVAE, images: torch.Tensor) -> None:
    assert torch.equal(model.reconstruct(images, CLASSES), model.reconstruct(images, CLASSES))
    assert model.encode(images, CLASSES).shape == (10, *model.latent_shape)
    assert 0 <= model.reconstruct(images, CLASSES).min() <= model.reconstruct(images, CLASSES).max() <= 1


def test_article_networks_have_the_articles_layers() -> None:
    concat, add, plain = (small_model(f"article-{kind}").network for kind in ("concat", "add", "none"))
    shapes = [tuple(p.shape) for p in concat.down.parameters() if p.ndim == 4]
    assert shapes == [(32, 1, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3)]
    assert [tuple(p.shape) for p in concat.up.parameters() if p.ndim == 4] == [
        (128, 64, 2, 2),
        (64, 32, 3, 3),
        (32, 1, 3, 3),
    ]
    assert concat.join_features.table is concat.join_z.table
    assert tuple(concat.join_z.table.weight.shape) == (10, 32)
    assert concat.mean.in_features == 2048 + 32
    assert concat.spread.in_features == 128 + 32
    assert tuple(add.join_features.table.weight.shape) == (10, 2048)
    assert tuple(add.join_z.table.weight.shape) == (10, 128)
    assert plain.mean.in_features == 2048


def test_standard_rate_is_the_divergence_from_a_standard_normal(images: torch.Tensor) -> None:
    model = small_model("article-concat")
    posterior = model.posterior(images, CLASSES)
    standard = torch.distributions.Normal(torch.zeros(128), torch.ones(128))
    expected = torch.distributions.kl_divergence(posterior.base_dist, standard).sum(1)
    torch.testing.assert_close(model.elbo(images, CLASSES).rate, expected)


def test_flow_density_is_that_of_its_samples() -> None:
    prior = small_model("residual-modulate").prior
    label = torch.tensor([4])
    noise = torch.randn(10)
    z = prior.from_noise(noise[None], label)
    jacobian = torch.autograd.functional.jacobian(lambda e: prior.from_noise(e[None], label)[0], noise)
    standard = -0.5 * (noise.square() + math.log(2 * math.pi)).sum()
    torch.testing.assert_close(prior.log_prob(z, label)[0], standard - torch.linalg.slogdet(jacobian)[1])


def test_flow_rate_has_the_posteriors_entropy(images: torch.Tensor) -> None:
    """The rate is estimated from one sample; over many it is E_q[log q - log p]."""
    model = small_model("residual-modulate")
    posterior = model.posterior(images[:1], CLASSES[:1])
    z = posterior.sample((4000,))[:, 0]
    label = CLASSES[:1].expand(4000)
    estimate = (posterior.log_prob(z[:, None])[:, 0] - model.prior.log_prob(z, label)).mean()
    rate = (-posterior.entropy() - model.prior.log_prob(z, label)).mean()
    torch.testing.assert_close(rate, estimate, rtol=0.02, atol=0.3)


def test_gaussian_variance_follows_the_squared_error(images: torch.Tensor) -> None:
    likelihood = small_model("residual-modulate").likelihood.train()
    output = torch.zeros_like(images)  # a decoder that says grey everywhere
    for _ in range(1000):
        likelihood.distortion(output, images)
    torch.testing.assert_close(likelihood.variance, (images - 0.5).square().mean(), rtol=1e-3, atol=0)
    before = likelihood.eval().variance.clone()
    likelihood.distortion(output, images)
    assert torch.equal(before, likelihood.variance)


def test_bernoulli_distortion_is_the_cross_entropy(images: torch.Tensor) -> None:
    model = small_model("article-concat")
    output = torch.randn_like(images)
    p = output.sigmoid()
    expected = -(images * p.log() + (1 - images) * (1 - p).log()).sum((1, 2, 3))
    torch.testing.assert_close(model.likelihood.distortion(output, images), expected, rtol=1e-4, atol=1e-2)
