"""Which metrics are computed: what is left out and why, and what is said where none is left."""

import pytest
import torch
from helpers import small_model

from cvae_cli.errors import MissingError, UsageError
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import Extractor
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.selection import load_networks, select, select_for_sets

RECONSTRUCTIONS = ["mse", "mae", "ssim", "ssim-wang", "psnr"]
ON_PICTURES = ["kid", "inception-score", "precision", "recall", "density", "coverage", "clip-score", "retrieval"]


class Offline(Context):
    """A context in which no feature extractor has its weights."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.asked: list[str] = []

    def extractor(self, name: str) -> Extractor:
        self.asked.append(name)
        raise MissingError(f"no {name}", hint="download it")


def test_all_metrics_are_those_that_have_a_meaning() -> None:
    chosen = select(["all"], [small_model("map-concat")], "fashion-mnist")
    bound = ["elbo", "rate", "distortion", "active-units", "iwae"]
    assert chosen.names == [*RECONSTRUCTIONS, *bound, "accuracy", "fid", "fid-fashion", *ON_PICTURES]
    # not "frechet" beside "fid-fashion", which is the same distance
    assert chosen.optional == frozenset(catalog.METRICS)
    assert sorted(name for names in chosen.left_out.values() for name in names) == ["bits-per-dim", "lpips", "ms-ssim"]
    note = catalog.find_metric("bits-per-dim").note
    assert chosen.left_out[note] == ["bits-per-dim"]
    assert f"left out: bits-per-dim ({note})" in chosen.warnings()


def test_a_metric_that_is_asked_for_is_never_left_out() -> None:
    model = small_model("map-concat")
    with pytest.raises(UsageError, match='"lpips" needs pictures of at least 31 pixels'):
        select(["lpips", "reconstructions"], [model], "fashion-mnist")
    chosen = select(["bits-per-dim", "mse"], [model], "fashion-mnist")
    assert (chosen.names, chosen.left_out) == (["bits-per-dim", "mse"], {})
    chosen = select(["samples", "frechet"], [model], "fashion-mnist")
    assert {"fid-fashion", "frechet"} <= set(chosen.names)
    assert "frechet" not in chosen.optional


def test_sets_have_the_metrics_of_a_group_that_are_of_sets() -> None:
    assert select_for_sets([], "fashion-mnist").names == ["fid-fashion", *ON_PICTURES[2:6]]
    assert select_for_sets([], "").names == ["frechet", *ON_PICTURES[2:6]]
    assert select_for_sets(["all"], "").names == ["fid", "frechet", *ON_PICTURES[:6]]
    with pytest.raises(UsageError, match="none of the metrics is of sets of pictures") as error:
        select_for_sets(["reconstructions", "bound"], "")
    assert error.value.hint == f"metrics of sets: fid, fid-fashion, frechet, {', '.join(ON_PICTURES[:6])}"


def test_missing_weights_are_asked_for_once_and_leave_out_what_only_a_group_names() -> None:
    context = Offline()
    chosen = select(["samples", "mse"], [small_model("map-concat")], "fashion-mnist")
    left = load_networks(chosen, "fashion-mnist", context)
    assert left.names == ["mse"]
    assert left.left_out["no inception"] == ["fid", "kid", "inception-score"]
    assert sorted(context.asked) == ["clip", "fashion", "inception", "small"]
    with pytest.raises(UsageError, match="none of the metrics can be computed") as error:
        load_networks(select(["samples"], [small_model("map-concat")], "fashion-mnist"), "fashion-mnist", Offline())
    assert "left out: fid, kid, inception-score (no inception)" in str(error.value.hint).splitlines()


@pytest.mark.parametrize(
    ("name", "dataset", "instead"),
    [("fid", "fashion-mnist", "fid-fashion"), ("fid", "coco", "frechet"), ("clip-score", "coco", "ssim")],
)
def test_weights_that_are_asked_for_and_missing_name_another_metric(name: str, dataset: str, instead: str) -> None:
    with pytest.raises(MissingError) as error:
        load_networks(select([name], [small_model("photo-concat")], dataset), dataset, Offline())
    assert str(error.value.hint).startswith("download it\n")
    assert str(error.value.hint).endswith(f":  --metric {instead}")
