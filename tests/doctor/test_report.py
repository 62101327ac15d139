"""`cvae doctor`: what it finds, what it leaves out, and that it survives what it is called for."""

import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from conftest import Command

from cvae_cli import doctor
from cvae_cli.doctor import packages, places, system
from cvae_cli.doctor.private import Hider
from cvae_cli.paths import bundled_dir
from cvae_cli.version import __version__
from cvae_cli.weights.registry import REGISTRY


def test_the_report_says_what_is_here_and_nothing_secret(cvae: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "cache" / "weights").mkdir(parents=True)
    (home / "cache" / "weights" / "some.pth").write_bytes(bytes(2_000_000))
    (home / "cache" / "prepared" / "begun.part").mkdir(parents=True)  # a preparation that has just begun
    settings = {"HOME": str(home), "CVAE_HOME": str(home / "cache"), "HF_HOME": str(home / "hf")}
    secrets = {"HF_TOKEN": "hf_secret", "https_proxy": "http://me:secret@proxy:3128", "CVAE_OFFLINE": "1"}
    done = cvae("doctor", "--json", env=settings | secrets)
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout
    assert str(home) not in done.stdout
    report = json.loads(done.stdout)
    assert list(report) == [*doctor.SUBJECTS, "problems"]
    assert report["versions"]["cvae-cli"] == __version__
    assert report["versions"]["torch"] == metadata.version("torch")
    assert report["device"]["threads"] == 1  # OMP_NUM_THREADS
    assert report["cache"]["folder"] == "~/cache"
    assert report["cache"]["weights"] == "2.0 MB"
    assert list(report["weights"]) == list(REGISTRY)
    assert report["models"] == {"emoji": "sound", "fashion": "sound", "scenes": "sound"}
    assert report["network"]["offline"] == "yes, by CVAE_OFFLINE"
    assert report["environment"]["HF_TOKEN"] == "set"
    assert report["environment"]["https_proxy"] == "http://...@proxy:3128"
    assert report["environment"]["CVAE_HOME"] == "~/cache"
    assert report["problems"] == []

    text = cvae("doctor", env=settings | secrets).stdout
    assert text.splitlines()[0] == "versions"
    assert text.splitlines()[-2:] == ["problems", "  none"]
    assert ["folder", "~/cache"] in [line.split() for line in text.splitlines()]


def test_what_is_wrong_is_said_with_a_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needed = ["torch>=99", "nosuch-package>=1", 'pyarrow>=99; extra == "parquet"', "rich>=13"]
    monkeypatch.setattr(metadata, "requires", lambda name: needed)
    facts, problems = packages.versions()
    assert facts["nosuch-package"] == "missing"
    assert problems == [
        f"torch is {metadata.version('torch')}:  pip install 'torch>=99'",
        "nosuch-package is missing:  pip install 'nosuch-package>=1'",
    ]
    assert packages.extras()[0]["parquet"].endswith("pip install 'cvae-cli[parquet]'")
    copy = tmp_path / "bundled"
    shutil.copytree(bundled_dir() / "fashion", copy / "fashion")
    (copy / "fashion" / "README.md").write_text("mine")
    monkeypatch.setattr(places, "bundled_dir", lambda: copy)
    monkeypatch.setattr("cvae_cli.models.pretrained.bundled_dir", lambda: copy)
    facts, problems = places.models()
    assert facts == {"fashion": "damaged"}
    assert problems[0].startswith("the bundled model fashion is damaged: README.md")


def test_a_broken_part_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> tuple[dict, list]:
        raise ImportError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr(doctor, "SUBJECTS", {"device": broken, "machine": system.machine})
    report = doctor.examine()
    assert report.problems == ["device: ImportError: libtorch.so: cannot open shared object file"]
    assert report.facts["machine"]["cores"]


def test_a_problem_has_an_exit_code(cvae: Command) -> None:
    done = cvae("doctor", env={"CVAE_TIMEOUT": "soon"})
    assert done.returncode == 1
    assert 'network: CVAE_TIMEOUT must be a number of seconds, not "soon"' in done.stdout
    assert done.stderr.splitlines()[-2].startswith("cvae: a problem:  network")


def test_homes_logins_and_signatures_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    hide = Hider()
    assert hide("/home/ann/x:/home/anna/y /home/ann") == "~/x:/home/anna/y ~"
    assert hide({"a": ["https://ann:pw@host/file?sig=1"]}) == {"a": ["https://...@host/file?..."]}
    assert hide(3) == 3
