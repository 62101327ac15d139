"""Thousands of damaged files and odd texts: each ends in a picture or in one clear line, soon, and in little memory.

CVAE_FUZZ=50000 pytest tests/fuzz                    so many cases instead of a few thousand
CVAE_FUZZ_CASE="models 17" pytest tests/fuzz         this one alone; its folder is shown, and kept
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import fuzz_cases as cases
import numpy as np
import pytest
from conftest import Command
from PIL import Image

CASES = {
    "models": 600, "images": 450, "prompts": 350, "recipes": 400, "settings": 400, "metadata": 350, "coco": 250,
    "caches": 150, "states": 30, "manifests": 50,
}  # fmt: skip
TOTAL = sum(CASES.values())
_BATCH = 250  # cases in one child


def test_there_are_as_many_cases_as_promised() -> None:
    assert CASES.keys() == cases.CASES.keys()
    assert TOTAL >= 3_000


@pytest.mark.parametrize("kind", CASES)
def test_whatever_is_wrong_with_a_file_is_one_clear_line(
    kind: str, seeds: Path, call: Callable[..., int], tmp_path: Path
) -> None:
    only, _, number = os.environ.get("CVAE_FUZZ_CASE", "").partition(" ")
    if only and only != kind:
        pytest.skip("another case is asked for")
    total = int(os.environ.get("CVAE_FUZZ", TOTAL))
    wanted = [int(number)] if only else list(range(max(1, CASES[kind] * total // TOTAL)))
    faults, codes, seconds = [], {}, 0.0
    while wanted:
        batch, wanted = wanted[:_BATCH], wanted[_BATCH:]
        (tmp_path / "report").unlink(missing_ok=True)
        ended = call("fuzz_run:run_cases", str(seeds), str(tmp_path), kind, batch)
        lines = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
        for line in lines:
            if "code" in line:
                codes[line["code"]] = codes.get(line["code"], 0) + 1
                seconds += line["cpu"]
                if line["faults"]:
                    faults.append(f"{kind} {line['number']}: {line}")
        if ended:  # the child was ended in the middle of a case
            at = lines[-1]["number"]
            why = {-27: "it takes too long", -14: "it hangs"}.get(ended, (tmp_path / "crash").read_text()[-2000:])
            faults.append(f"{kind} {at}: the process ended with {ended}: {why}")
            wanted = batch[batch.index(at) + 1 :] + wanted
    if only:
        print(f"the folder of the case: {tmp_path / 'case'}", (tmp_path / "stderr").read_text(), sep="\n")
    print(
        f"{kind}: {sum(codes.values()):,} cases, exit codes {dict(sorted(codes.items()))}, {len(faults)} faults, {seconds:.1f} s"
    )
    assert not faults, "\n".join(faults[:20])
    if not only and total >= TOTAL:
        assert {0, 4} & codes.keys()
        assert len(codes) > 1  # some are refused, and some are not


@pytest.fixture
def call(
    forks: subprocess.Popen[str], clean_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., int]]:
    """Call a function of a module in this folder in a fork."""
    (tmp_path / "null").touch()
    (tmp_path / "crash").touch()

    def run(function: str, *arguments: object) -> int:
        order = {
            "function": function, "arguments": arguments, "path": str(Path(__file__).parent), "cwd": str(tmp_path),
            "env": clean_environment | {"CVAE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)},
            "streams": [str(tmp_path / name) for name in ("null", "null", "crash")],
        }  # fmt: skip
        assert forks.stdin is not None
        assert forks.stdout is not None
        forks.stdin.write(json.dumps([order]) + "\n")
        forks.stdin.flush()
        return int(json.loads(forks.stdout.readline())[0])

    yield run
    if "CVAE_FUZZ_CASE" not in os.environ:
        shutil.rmtree(tmp_path / "case", ignore_errors=True)


@pytest.fixture
def seeds(quick_model: Path, cvae: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one sound example of everything."""
    root = tmp_path_factory.getbasetemp() / "fuzz-seeds"
    if (root / "ready").exists():
        return root
    made = tmp_path_factory.mktemp("making")
    shutil.copytree(quick_model, made / "model")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
    for suffix in ("png", "jpg", "webp", "gif", "bmp", "tiff"):
        noise.save(made / f"picture.{suffix}")
    noise.convert("P").save(made / "picture.palette.png")
    noise.convert("L").save(made / "picture.grey.png")
    (made / "prompts.txt").write_text("dress\na red bag\n\ntwo sneakers\n")
    (made / "prompts.jsonl").write_text('{"prompt": "dress"}\n{"prompt": "bag", "seed": 3}\n')
    for name in ("cat", "dog"):
        for number in range(3):
            save(made / "labelled" / name / f"{number}.png", (40 * number, 9, 9))
    rows = [{"file_name": f"{number}.png", "text": f"picture {number}, red"} for number in range(4)]
    for kind in ("jsonl", "csv"):
        for row in rows:
            save(made / f"captioned-{kind}" / row["file_name"])
    (made / "captioned-jsonl" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ["file_name,text", *(f'{row["file_name"]},"{row["text"]}"' for row in rows)]
    (made / "captioned-csv" / "metadata.csv").write_text("\n".join(lines) + "\n")
    captions = [{"id": n, "image_id": n, "caption": f"picture {n}"} for n in range(3)]
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(3)]
    for n in range(3):
        save(made / "coco" / "val2017" / f"{n}.jpg")
    (made / "coco" / "annotations").mkdir()
    (made / "coco" / "annotations" / "captions_val2017.json").write_text(
        json.dumps({"images": images, "annotations": captions})
    )
    train = ["train", f"folder:{root / 'labelled'}", *cases.SMALL]
    os.rename(made, root)
    done = cvae(*train, "--out", root / "run", cwd=root)
    assert done.returncode == 0, done.stderr
    (root / "recipe.toml").write_bytes((root / "run" / "recipe.toml").read_bytes())
    home = {"CVAE_HOME": str(root / "home")}
    done = cvae(
        "train", f"folder:{root / 'captioned-jsonl'}", *cases.SMALL, "--out", root / "other", env=home, cwd=root
    )
    assert done.returncode == 0, done.stderr
    done = cvae(
        "generate", "dress", "bag", "--model", root / "model", "--format", "png", "-o", root / "drawn", cwd=root
    )
    assert done.returncode == 0, done.stderr
    (root / "ready").touch()
    return root


def save(path: Path, colour: tuple[int, int, int] = (200, 30, 90)) -> None:
    """Save a picture of one colour, and create missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)
