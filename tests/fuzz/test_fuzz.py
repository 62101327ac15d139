"""Thousands of damaged files and odd texts: each ends in a picture or in one clear line, soon, and in little memory.

CVAE_FUZZ=50000 pytest tests/fuzz                    so many cases instead of a few thousand
CVAE_FUZZ_CASE="models 17" pytest tests/fuzz         this one alone; its folder is shown, and kept
"""

import json
import os
import shutil
import subprocess
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
_BATCH = 250  # cases in one process
_CODE = Path(__file__).with_name("fuzz_run.py")


def test_there_are_as_many_cases_as_promised() -> None:
    assert CASES.keys() == cases.CASES.keys()
    assert TOTAL >= 3_000


@pytest.mark.parametrize("kind", CASES)
def test_whatever_is_wrong_with_a_file_is_one_clear_line(
    kind: str, seeds: Path, interpreter: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    only, _, number = os.environ.get("CVAE_FUZZ_CASE", "").partition(" ")
    if only and only != kind:
        pytest.skip("another case is asked for")
    total = int(os.environ.get("CVAE_FUZZ", TOTAL))
    wanted = [int(number)] if only else list(range(max(1, CASES[kind] * total // TOTAL)))
    home = {"CVAE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    faults, codes, seconds = [], {}, 0.0
    while wanted:
        batch, wanted = wanted[:_BATCH], wanted[_BATCH:]
        command = [interpreter, str(_CODE), str(seeds), str(tmp_path), kind, *map(str, batch)]
        done = subprocess.run(command, env=clean_environment | home, cwd=tmp_path, capture_output=True, text=True)
        lines = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
        for line in lines:
            if "code" in line:
                codes[line["code"]] = codes.get(line["code"], 0) + 1
                seconds += line["seconds"]
                faults += [f"{kind} {line['number']}: {line}"] if line["faults"] else []
        if done.returncode:  # the process was ended in the middle of a case
            at = lines[-1]["number"]
            why = {-27: "it takes too long", -14: "it hangs"}.get(done.returncode, done.stderr[-2000:])
            faults.append(f"{kind} {at}: the process ended with {done.returncode}: {why}")
            wanted = batch[batch.index(at) + 1 :] + wanted
    if only:
        print(f"the folder of the case: {tmp_path / 'case'}", (tmp_path / "stderr").read_text(), sep="\n")
    else:
        shutil.rmtree(tmp_path / "case", ignore_errors=True)
    ends = ", ".join(f"{count:,} with {code}" for code, count in sorted(codes.items()))
    print(f"{kind}: {sum(codes.values()):,} cases in {seconds:.1f} s, ended {ends}; {len(faults)} faults")
    assert not faults, "\n".join(faults[:20])
    if not only and total >= TOTAL:
        assert 0 in codes
        assert 4 in codes or kind in {"settings", "caches", "manifests"}  # the last two heal


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
