"""Training only the decoder of a finished model."""

from pathlib import Path

import pytest
import torch
from conftest import FASHION, Command
from helpers import data_for, small_model
from test_fit import CPU, Recorder, weights

from cvae_cli import CVAE
from cvae_cli.config.recipe_files import recipe_for_tuning
from cvae_cli.models.tensors import named_tensors
from cvae_cli.training.fit import fit
from cvae_cli.training.run import Run


def tuned(folder: Path, model: CVAE, start: Path, *, stop_after: int = 0, resume: bool = False) -> Run:
    changes = {"training.epochs": 2, "training.batch_size": 8}
    recipe = recipe_for_tuning(str(start), model.config, "decoder", changes)
    run = Run(folder)
    variant = start.name
    if not resume:
        run.create(recipe, force=False)
    data = data_for(variant, 16), data_for(variant, 4)
    fit(run, recipe, *data, device=CPU, resume=resume, callback=Recorder(stop_after=stop_after))
    return run


@pytest.mark.usefixtures("no_grids")
@pytest.mark.parametrize("variant", ["article-concat", "residual-concat", "dense-add", "photo-concat", "map-attentive"])
def test_only_the_decoder_learns_and_a_broken_run_goes_on(tmp_path: Path, variant: str) -> None:
    model, start = small_model(variant), tmp_path / variant
    model.save_pretrained(start)
    whole = tuned(tmp_path / "whole", model, start)
    before, after = (named_tensors(CVAE.from_pretrained(each)) for each in (start, whole.kept_model))
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    own = tuple(f"network.{part}." for part in model.network.decoder_parts)
    assert changed
    assert all(name.startswith((*own, "likelihood.")) for name in changed)
    for part in own:
        assert any(name.startswith(part) for name in changed)
    with pytest.raises(ConnectionError):
        tuned(tmp_path / "broken", model, start, stop_after=1)
    assert weights(tuned(tmp_path / "broken", model, start, resume=True)) == weights(whole)
    assert "| training of the decoder alone |" in (whole.kept_model / "README.md").read_text()


def test_command_tunes_and_refuses_what_it_cannot_tune(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    base = ["train", "--tune", "decoder", "--data-dir", str(FASHION), "--limit", "60", "--epochs", "1"]
    done = cvae(*base, "--model", str(quick_model), "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "trains its decoder on" in done.stderr
    again = cvae("train", "--resume", "run", "--epochs", "1")
    assert again.returncode == 0, again.stderr
    for arguments, complaint in [
        (base, "--model takes a finished model, to fit a prior to or to tune"),
        (["train", "--tune", "encoder", "--model", str(quick_model)], 'no part "encoder" to tune'),
        ([*base, "--model", str(quick_model), "--set", "training.perceptual=1"], "without a discriminator"),
        ([*base, "--model", str(quick_model), "--prior", "flow"], "to fit a prior to or to tune"),
    ]:
        done = cvae(*arguments, "--out", "other")
        assert done.returncode == 2
        assert complaint in done.stderr
