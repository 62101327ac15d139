"""Properties of every variant of the model."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import VARIANTS, data_for, fashion, small_model

from cvae_cli import CVAE
from cvae_cli.config import model as config
from cvae_cli.config.condition import StaticCondition
from cvae_cli.config.model import ImageShape, ModelConfig
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.errors import UsageError
from cvae_cli.models.coupling_flow import CouplingFlow
from cvae_cli.models.tensors import named_tensors
from cvae_cli.pictures.pixels import to_float

CLASSES = torch.arange(10)


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(variant: str) -> CVAE:
    """A model that no test may change."""
    return small_model(variant)


@pytest.fixture(scope="module")
def shown(variant: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten pictures and their conditions."""
    data = data_for(variant, n=10)
    conditions = torch.from_numpy(data.conditions.values(np.arange(10)))
    return to_float(torch.from_numpy(data.images)), conditions


@pytest.fixture(scope="module")
def condition(shown: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return shown[1]


@pytest.fixture
def images() -> torch.Tensor:
    return to_float(torch.from_numpy(fashion(n=10).images))


Shown = tuple[torch.Tensor, torch.Tensor]


def test_bound_has_two_finite_parts_for_each_image(model: CVAE, shown: Shown) -> None:
    bound = model.elbo(*shown)
    assert bound.rate.shape == bound.distortion.shape == (10,)
    assert torch.isfinite(bound.negative_elbo).all()


def test_every_parameter_learns(variant: str, shown: Shown) -> None:
    model = small_model(variant)
    model.train().elbo(*shown).negative_elbo.mean().backward()
    if not model.prior.has_density:
        torch.manual_seed(0)
        model.prior.loss(torch.randn(200, *model.latent_shape), shown[1].repeat_interleave(20, dim=0)).sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # a prior that is not distilled is never guided and takes no large steps: its network sees zeros
    unseen = {"prior.guide.0.weight", "prior.step.0.weight"}
    assert idle == [name for name, _ in model.named_parameters() if name in unseen]


def test_sample_does_not_depend_on_the_batch(model: CVAE, condition: torch.Tensor) -> None:
    many = model.sample(torch.cat([condition] * 2), seed=3)  # more than a chunk
    few = model.sample(condition[:4], seed=3)
    equal = (torch.cat([condition] * 2) == condition[-1]).reshape(2 * len(condition), -1).all(dim=1)
    last = model.sample(condition[-1:], seed=3, indices=[int(equal.sum()) - 1])  # its number among equal conditions
    assert torch.equal(many[:4], few)
    assert torch.equal(many[19:], last)


def test_pictures_do_not_depend_on_the_number_of_threads() -> None:
    """Nor on the processes that share the cores. On several threads at a time this model would round otherwise."""
    model, drawn = CVAE.from_pretrained("fashion"), []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        drawn.append(model.sample(CLASSES))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert torch.equal(*drawn)


def test_indices_go_with_conditions(model: CVAE, condition: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="10 prompts and 3 indices for 10 conditions"):
        model.sample(condition, indices=[0, 1, 2])


def test_seed_and_temperature_matter(model: CVAE, condition: torch.Tensor) -> None:
    reference = model.sample(condition[:2], seed=0)
    assert not torch.equal(reference, model.sample(condition[:2], seed=1))
    cold = model.sample(condition[[0, 0]], temperature=0.0)
    assert torch.equal(cold[0], cold[1])


def test_condition_matters_exactly_when_there_is_one(model: CVAE, condition: torch.Tensor) -> None:
    z = torch.randn(1, *model.latent_shape)
    one, other = (model.decode(z, condition[[row]]) for row in (0, 1))
    assert torch.equal(one, other) == (not model.is_conditional)
    drawn = [model.sample(condition[[row]], same_noise=True) for row in (0, 1)]
    assert torch.equal(*drawn) == (not model.is_conditional)


def test_saved_model_is_the_model(model: CVAE, condition: torch.Tensor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "saved", card="# A model\n")
    loaded = CVAE.from_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "README.md",
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
    ]
    assert loaded.config == model.config
    assert all(
        torch.equal(a, b) for a, b in zip(named_tensors(model).values(), named_tensors(loaded).values(), strict=True)
    )
    assert torch.equal(loaded.sample(condition[:2]), model.sample(condition[:2]))


def test_reconstruction_through_the_mean_is_repeatable(model: CVAE, shown: Shown) -> None:
    once, again = model.reconstruct(*shown), model.reconstruct(*shown)
    assert torch.equal(once, again)
    assert model.encode(*shown).shape == (10, *model.latent_shape)
    assert 0 <= once.min() <= once.max() <= 1


def test_pictures_that_are_no_numbers_are_said(images: torch.Tensor) -> None:
    model = small_model("article-concat")
    for value in (math.nan, math.inf):
        images[4, 0, 3, 3] = value
        for work in (model.encode, model.reconstruct):
            with pytest.raises(UsageError, match="picture 5 of 10 has values that are not finite numbers"):
                work(images, CLASSES)


@pytest.mark.parametrize(("size", "widths"), [(64, 256), (128, 512), (256, 1024)])
def test_networks_for_photographs_have_the_articles_layers(size: int, widths: int) -> None:
    condition = StaticCondition(width=512, sha256="")
    recipe = load_recipe(f"coco-{size}")
    with torch.device("meta"):
        model = CVAE(
            ModelConfig(
                name="photo",
                dataset="coco",
                image=ImageShape(size=size, channels=3),
                condition=condition,
                architecture=recipe.architecture,
            )
        )
    network = model.network
    down = [p.shape for p in network.down.parameters() if p.ndim == 4]
    assert [tuple(shape[2:]) for shape in down] == [(4, 4)] * len(down)
    assert [shape[0] for shape in down] == [32 << level for level in range(len(down))]
    assert down[-1][0] == widths
    assert network.join_features.out_width == widths * 16 + 1024
    assert network.mean.out_features == 512
    assert network.spread.in_features == 512 + 512  # z, and the condition unchanged
    *up, last = [p.shape for p in network.up.parameters() if p.ndim == 4]
    assert [shape[0] for shape in up] == [shape[0] for shape in down[::-1]]
    assert (up[-1][1], tuple(last)) == (16, (3, 16, 3, 3))
    added = load_recipe(f"coco-{size}-add").architecture
    assert added.model_copy(update={"conditioning": "concat"}) == recipe.architecture


def test_article_networks_have_the_articles_layers() -> None:
    latents = load_recipe("fashion-concat").architecture.latent_dim
    assert latents == 128
    concat, add, plain = (
        small_model(f"article-{kind}", {"architecture.latent_dim": latents}).network
        for kind in ("concat", "add", "none")
    )
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
    standard = torch.distributions.Normal(torch.zeros(model.latent_shape), torch.ones(model.latent_shape))
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


def test_flow_density_has_full_precision_in_a_training_that_has_less() -> None:
    prior = small_model("residual-modulate").prior
    z, label = torch.randn(10, 10), torch.zeros(10, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        density = prior.log_prob(z, label)
    torch.testing.assert_close(density, prior.log_prob(z, label))


@pytest.mark.parametrize("output", [-100.0, -1.0, 0.0, 1.0, 100.0])
def test_a_layer_of_a_flow_scales_half_of_the_latent_between_e_to_minus_2_and_e_to_2(output: float) -> None:
    prior = CouplingFlow(config.FlowPrior(layers=1, width=8), latent_shape=(2,), condition=None)
    assert prior.log_prob(torch.zeros(1, 2), torch.zeros(1)).item() == pytest.approx(-math.log(2 * math.pi))
    ((*_, last),) = prior.couplings
    last.bias.data[0] = output  # of the scale; the shift stays 0
    log_scale = 2 * math.tanh(output / 2)
    density = prior.log_prob(torch.zeros(1, 2), torch.zeros(1)).item()
    assert density == pytest.approx(-math.log(2 * math.pi) + log_scale, abs=1e-5)
    drawn = prior.from_noise(torch.ones(1, 2), torch.zeros(1))
    assert sorted(drawn[0].tolist()) == pytest.approx(sorted([1, math.exp(-log_scale)]))


def test_flow_rate_has_the_posteriors_entropy(images: torch.Tensor) -> None:
    """The rate is estimated from one sample; its mean over many samples is E_q[log q - log p]."""
    model = small_model("residual-modulate")
    posterior = model.posterior(images[:1], CLASSES[:1])
    z = posterior.sample((4000,))[:, 0]
    label = CLASSES[:1].expand(4000)
    estimate = (posterior.log_prob(z[:, None])[:, 0] - model.prior.log_prob(z, label)).mean()
    rate = model.prior.rate(posterior, z, label).mean()
    torch.testing.assert_close(rate, estimate, rtol=0.02, atol=0.3)


def test_gaussian_variance_follows_the_squared_error(images: torch.Tensor) -> None:
    likelihood = small_model("residual-modulate").likelihood.train()
    output = torch.zeros_like(images)  # a decoder with grey everywhere
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


@pytest.mark.parametrize(("size", "levels"), [(8, 1), (28, 2), (32, 2), (64, 3), (72, 3), (96, 4), (100, 2), (256, 5)])
def test_a_residual_network_halves_pictures_to_eight_pixels_or_an_odd_number(size: int, levels: int) -> None:
    assert config.ResidualNetwork().halvings(size) == levels
    assert config.ResidualNetwork(levels=1).halvings(size) == 1
