"""`cvae models`: the models on this machine."""

import json
from pathlib import Path

from conftest import Command

from cvae_cli.models.pretrained import read_digests


def test_list_names_what_is_bundled_and_what_is_trained_here(
    cvae: Command, run_folder: Path, model_folder: Path
) -> None:
    listed = json.loads(cvae("models", "list", run_folder, model_folder.parent, "--json").stdout)
    assert [each["name"] for each in listed] == ["emoji", "fashion", "scenes", str(run_folder), str(model_folder)]
    assert [each["place"] for each in listed] == ["bundled"] * 3 + ["trained here"] * 2
    run = listed[3]
    assert run["folder"] == str(run_folder / "model")
    assert run["config"]["dataset"] == "fashion-mnist"
    assert [run["sha256"]] == read_digests(run_folder / "model")
    assert run["length"] == sum(file.stat().st_size for file in (run_folder / "model").iterdir())
    rows = [line.split("\t") for line in cvae("models", "list", model_folder).stdout.splitlines()]
    assert rows[3][:4] == [str(model_folder), "trained here", "fashion-mnist", "28x28"]
