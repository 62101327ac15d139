"""The steps of gpu.py: each is a generator of rows of the table, and raises an error if something is wrong."""

import functools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cost
import numpy as np
import torch
from evaluate import make_inception as write_inception
from gpu import Options
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from cvae_cli import CVAE, evaluate_sets
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.batches import Batches
from cvae_cli.data.conditions import Labels, make_captions
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.errors import ExitCode
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.evaluation.evaluate import evaluate_model
from cvae_cli.evaluation.metrics.catalog import default_names, find_metric
from cvae_cli.evaluation.streams import STREAMS
from cvae_cli.pictures.pixels import to_uint8
from cvae_cli.runtime.device import count_flops, pick_device
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import with_conditions
from cvae_cli.training.fit import take_step
from cvae_cli.training.run import Run
from cvae_cli.training.train import train
from cvae_cli.training.trainer import Trainer
from cvae_cli.weights.download import file_sha256
from cvae_cli.weights.registry import REGISTRY

Row = dict[str, Any]
Step = Callable[[Options], Iterator[Row]]
Scores = Mapping[str, float | int | None]

TRAINING = 3  # arithmetic of a training step, relative to a forward pass
LARGE = 1024  # pictures in a large batch
STEADY = {"training.schedule": "constant", "training.learning_rate": 1e-4, "training.epochs": 10**6}
PROMPTS = {
    "fashion": ["dress", "sandal", "bag", "a pullover"],
    "emoji": ["a red heart", "a cat"],
    "scenes": ["snow", "a beach"],
}
SET_METRICS = ["frechet", "kid", "precision", "recall", "density", "coverage"]
COUNTED = {"accuracy", "recall", "coverage", "active-units", "precision", "density"}  # scores that count pictures


def find(name: str) -> Step:
    """Return the step of this name."""
    kind, _, recipe = name.partition(" ")
    return functools.partial(train_steps, recipe) if kind == "train" else STEPS[name]


def still_works(device: str) -> bool:
    """Whether this process can still compute on the device."""
    try:
        return torch.ones(2, device=device).sum().item() == 2
    except Exception:
        return False


# ---- the machine -------------------------------------------------------------------------------------------------


def machine(options: Options) -> Iterator[Row]:
    """Say what is measured on, and how fast it multiplies matrices."""
    device = pick_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU: nothing is measured"
    yield {"what": name, "result": f"torch {torch.__version__}, Python {sys.version.split()[0]}"}
    for precision in ("bf16", "fp32", "tf32") if device.type == "cuda" else ():
        yield {"what": f"matrix product, {precision}", "result": f"{peak(device, precision) / 1e12:.4g} TFLOP/s"}


@functools.cache
def peak(device: torch.device, precision: str) -> float:
    """Return the operations per second of a large matrix product."""
    n = 8192
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    best = math.inf
    for _ in range(6):
        wait(device)
        began = time.perf_counter()
        for _ in range(5):
            a @ a
        wait(device)
        best = min(best, (time.perf_counter() - began) / 5)
    torch.set_float32_matmul_precision(before)
    return 2 * n**3 / best


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# ---- training ----------------------------------------------------------------------------------------------------


def train_steps(recipe: str, options: Options) -> Iterator[Row]:
    """Measure training steps of a recipe; "prior" is the second stage of `fashion`."""
    device = pick_device(options.device)
    own = (
        load_recipe("fashion").then[0].training.batch_size
        if recipe == "prior"
        else load_recipe(recipe).training.batch_size
    )
    large = LARGE
    tried = [("bf16", own), ("fp32", own), ("bf16", large), ("fp32", large)]
    if device.type == "cpu":
        large = 4
        tried = [("fp32", 2), ("bf16", large)]
    for precision, batch_size in tried:
        trainer = make_trainer(recipe, options, precision=precision, batch_size=batch_size)
        yield {"what": f"{precision}, batches of {batch_size}", **speed(trainer, options)}
        if precision == "bf16" and batch_size == large and recipe != "prior" and not options.quick:
            trainer = make_trainer(recipe, options, precision=precision, batch_size=batch_size)
            trainer.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            trainer.ema.reset()
            yield {"what": "the same, channels last", **speed(trainer, options)}


def compiled(options: Options) -> Iterator[Row]:
    """Measure compiled steps, and compare their losses with those of eager steps."""
    few = options.quick or options.device == "cpu"  # a processor takes minutes to compile a larger network
    batch_size, first = (4, 3) if options.device == "cpu" else (None, 20)
    for recipe in ["fashion-concat"] if few else ["fashion-concat", "fashion", "scenes", "prior"]:
        losses = {}
        for compile_ in (False, True):
            trainer = make_trainer(recipe, options, precision="bf16", batch_size=batch_size, compile=compile_)
            steps = endless(trainer)
            began = time.perf_counter()
            for _ in range(first):
                next(steps)
            losses[compile_] = sum(trainer.epoch_losses.means().values())
            seconds = time.perf_counter() - began
        difference = abs(losses[True] / losses[False] - 1)
        assert difference < 5e-3, (
            f"{recipe}: compiled steps have the loss {losses[True]:g}, eager ones {losses[False]:g}"
        )
        row = speed(trainer, options, steps)
        row["result"] += f"; the first {first} steps took {seconds:.1f} s; its losses are those of eager steps"
        yield {"what": f"{recipe}, bf16, compiled", **row, "difference": difference}


def make_trainer(
    recipe_name: str, options: Options, *, precision: str, batch_size: int | None = None, compile: bool = False
) -> Trainer:
    """Make what `cvae train` trains with, for pictures that are made up."""
    device = pick_device(options.device)
    recipe = load_recipe("fashion" if recipe_name == "prior" else recipe_name)
    if recipe_name == "prior":
        recipe = recipe.next_stage(Path("fashion")) or recipe
        architecture = CVAE.from_pretrained("fashion").config.architecture
        prior = recipe.architecture.prior
        recipe = recipe.model_copy(update={"architecture": architecture.model_copy(update={"prior": prior})})
    changes = {"precision": precision, "compile": compile} | ({"batch_size": batch_size} if batch_size else {})
    changes |= {name.removeprefix("training."): value for name, value in STEADY.items()}
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})
    photographs = recipe_name == "scenes"
    few = device.type == "cpu"
    data = captioned(64, 64 if few else 4096) if photographs else classes(28, 64 if few else 8192)
    run = Run(Path(options.folder) / "trainer")
    run.create(recipe, force=True)
    return Trainer(run, recipe, data, data.limit(16), device=device, resume=False, callback=lambda event: None)


def endless(trainer: Trainer) -> Iterator[None]:
    """Train without end, as `fit` does within an epoch, one step per iteration."""
    trainer.start_epoch()
    while True:
        for images, condition in trainer.batches.epoch(0):
            take_step(trainer, images, condition)
            trainer.report_progress()
            yield


def speed(trainer: Trainer, options: Options, steps: Iterator[None] | None = None) -> Row:
    """Measure the steps of a trainer. On a CPU, run two of them."""
    device = trainer.device
    if device.type == "cpu":
        trained = steps or endless(trainer)
        next(trained), next(trained)
        check_losses(trainer)
        return {"result": "ok, not measured"}
    images, condition = next(trainer.batches.epoch(0))
    operations = TRAINING * count_flops(trainer.objective.losses, images, condition) / len(images)
    steps = steps or endless(trainer)
    torch.cuda.reset_peak_memory_stats(device)
    a_second = cost.steps_a_second(steps, 1.0 if options.quick else 4.0, warm_up=10)
    check_losses(trainer)
    images_a_second = a_second * len(images)
    return {
        "images/s": images_a_second,
        "of peak": operations * images_a_second / peak(device, trainer.settings.precision),
        "GB": cost.peak_memory(),
        "result": f"ok, {1000 / a_second:.3g} ms a step",
    }


def check_losses(trainer: Trainer) -> None:
    """Check that all losses so far are numbers."""
    means = trainer.epoch_losses.means()
    assert all(math.isfinite(each) for each in means.values()), f"the losses are {means}"


# ---- pictures ----------------------------------------------------------------------------------------------------


def shapes(size: int, n: int, channels: int) -> NDArray[np.uint8]:
    """Draw soft spots, whose place and width depend on the number of the picture; `(n, size, size, channels)`."""
    random = np.random.default_rng(0)
    grid = np.arange(size, dtype=np.float32) / size
    x, y, width = random.uniform(0.2, 0.8, (3, n, channels)).astype(np.float32)
    distance = (grid[None, None, :, None] - x[..., None, None]) ** 2 + (
        grid[None, None, None] - y[..., None, None]
    ) ** 2
    pixels: NDArray[np.uint8] = (255 * np.exp(-distance / (0.2 * width[..., None, None] ** 2))).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def classes(size: int, n: int, name: str = "made up") -> Dataset:
    """Grey pictures with the classes of the bundled model `fashion`."""
    condition = CVAE.from_pretrained("fashion").config.condition
    labels = Labels(np.arange(n) % 10, condition.classes)  # type: ignore[union-attr]
    return dataset_from_pixels(name, "train", shapes(size, n, 1), labels, "none")


def captioned(size: int, n: int) -> Dataset:
    """Coloured pictures with captions, encoded by the embedded text encoder."""
    captions = make_captions([[f"{number % 100} spots on a wall"] for number in range(n)])
    return with_conditions(
        dataset_from_pixels("made up", "train", shapes(size, n, 3), captions, "none"), load_encoder("static")
    )


def picture_folder(options: Options, purpose: str) -> str:
    """Write a folder of pictures with two classes for one step; return its name as a data set."""
    root = Path(options.folder) / f"pictures-{purpose}"
    n = 60 if options.device == "cpu" else 200
    for number, pixels in enumerate(shapes(32, n, 3)):
        place = root / ("sun" if number % 2 else "moon")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return f"folder:{root}"


# ---- the same results as on the CPU ------------------------------------------------------------------------------


def generate(options: Options) -> Iterator[Row]:
    """Draw the same pictures on both devices; they may differ by one grey level."""
    device = pick_device(options.device)
    n = 8 if device.type == "cpu" else 64
    for name, prompts in PROMPTS.items():
        drawn = {}
        for where in (torch.device("cpu"), device):
            model = CVAE.from_pretrained(name, device=where)
            drawn[where] = draw(model, prompts, n // len(prompts)).cpu().int()
        difference = (drawn[device] - drawn[torch.device("cpu")]).abs()
        many = 8 if device.type == "cpu" else 512 if options.quick else 4096
        draw(model, prompts[:1], 8)
        wait(device)
        began = time.perf_counter()
        draw(model, prompts[:1], many).cpu()
        seconds = time.perf_counter() - began
        worst, share = int(difference.max()), float((difference > 0).float().mean())
        assert worst <= 1, (
            f"{name}: pictures differ from the CPU's by {worst} grey levels, in {share:.2%} of the numbers"
        )
        yield {
            "what": f"{name}, {many} pictures",
            "images/s": many / seconds,
            "difference": worst,
            "result": f"ok, {share:.4%} of the numbers differ from the CPU's, by one grey level",
        }


def draw(model: CVAE, prompts: list[str], n: int) -> torch.Tensor:
    """Draw `n` pictures for each prompt, uint8."""
    repeated = [prompt for prompt in prompts for _ in range(n)]
    return to_uint8(model.sample(model.condition(repeated), prompts=repeated))


def evaluate(options: Options) -> Iterator[Row]:
    """Measure the bundled `fashion` on both devices.

    What is computed from given pictures agrees to 1e-5. Samples may differ by a grey level, and their scores by 1e-3.
    """
    device = pick_device(options.device)
    n = 16 if device.type == "cpu" else 400
    data = classes(28, n, "fashion-mnist")
    names = default_names("fashion-mnist", [CVAE.from_pretrained("fashion")])
    for stream in STREAMS:
        of_stream = [name for name in names if find_metric(name).stream == stream]
        scores, seconds = {}, {}
        for where in (torch.device("cpu"), device):
            model = CVAE.from_pretrained("fashion", device=where)
            began = time.perf_counter()
            scores[where] = evaluate_model(model, data, of_stream).scores
            seconds[where] = time.perf_counter() - began
        few = 2 / n if stream == "samples" else 0.0  # scores that count samples: two of them may count otherwise
        row = compare(scores[torch.device("cpu")], scores[device], 1e-3 if stream == "samples" else 1e-5, counted=few)
        yield {"what": f"fashion, {stream}", "images/s": n / seconds[device], **row}


def compare(expected: Scores, found: Scores, most: float, *, counted: float = 0.0) -> Row:
    """Compare the scores of the CPU with those of another device.

    Args:
        most: the largest difference that is allowed, relative to the score.
        counted: one that is allowed for the scores that count pictures, absolute.
    """
    differences = {
        name: 0.0
        if name.partition(":")[0] in COUNTED and abs((found[name] or 0) - score) <= counted
        else abs((found[name] or 0) - score) / (abs(score) or 1)
        for name, score in expected.items()
        if score is not None
    }
    wrong = {name: (expected[name], found[name]) for name in differences if not differences[name] <= most}  # also NaN
    assert not wrong, f"scores on the CPU and on the GPU: {wrong}"
    name = max(differences, key=lambda each: differences[each])
    return {
        "difference": differences[name],
        "result": f"ok, {len(differences)} scores; the largest difference is that of {name}",
    }


def sets(options: Options) -> Iterator[Row]:
    """Score the same folders on both devices: their pictures are the same, so that scores agree to 1e-5."""
    n, n_photographs = (48, 12) if options.quick or options.device == "cpu" else (600, 200)
    root = Path(options.folder) / "sets"
    os.environ["CVAE_HOME"] = str(root)
    make_inception(root)
    grey, coloured = (make_folders(root / str(size), size, n) for size in (28, 64))
    photographs = make_folders(root / "photographs", 160, n_photographs)
    cases = [
        ("pictures", coloured, SET_METRICS),
        ("fashion", grey, SET_METRICS),
        ("clip", coloured, SET_METRICS),
        ("inception", photographs, ["fid", "inception-score", *SET_METRICS[1:]]),
    ]
    for features, (real, generated), metrics in cases:
        chosen = [f"{name}:{features}" if name in SET_METRICS else name for name in metrics]
        model = str(small_clip(root / "clip")) if features == "clip" else None
        results, seconds = {}, {}
        for where in ("cpu", options.device):
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                (scored,) = evaluate_sets(real, generated, metrics=chosen, clip=model, device=where).sets
            results[where] = scored.scores
            seconds[where] = time.perf_counter() - began
        assert None not in results["cpu"].values(), f"not every score is a number: {results['cpu']}"
        yield {
            "what": f"two folders, features {features}",
            "images/s": 2 * len(list(real.iterdir())) / seconds[options.device],
            **compare(results["cpu"], results[options.device], 1e-5),
        }


def make_folders(root: Path, size: int, n: int) -> tuple[Path, Path]:
    """Write two folders of `n` pictures each, the second darker; grey ones where they have 28 pixels."""
    pictures = shapes(size, 2 * n, 1 if size == 28 else 3)
    folders = root / "real", root / "generated"
    for folder, part in zip(folders, (pictures[:n], pictures[n:] // 10 * 9), strict=True):
        folder.mkdir(parents=True)
        for number, picture in enumerate(part):
            Image.fromarray(picture.squeeze()).save(folder / f"{number:04}.png")
    return folders


def make_inception(home: Path) -> None:
    """Put random weights of Inception where those of the registry belong, and register them."""
    path = home / "weights" / "inception.pth"
    path.parent.mkdir(parents=True)
    write_inception(path)
    about = {"url": path.as_uri(), "sha256": file_sha256(path), "size": path.stat().st_size}
    REGISTRY["inception"] = replace(REGISTRY["inception"], **about)  # type: ignore[arg-type]


def small_clip(folder: Path) -> Path:
    """Write a small CLIP with random weights, as open_clip reads it; return its folder."""
    import open_clip

    settings = {
        "embed_dim": 64,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
    }
    torch.manual_seed(0)
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": {}}))
    save_file(open_clip.CLIP(**settings).state_dict(), folder / "open_clip_model.safetensors")  # type: ignore[arg-type]
    return folder


def clip(options: Options) -> Iterator[Row]:
    """Encode captions and pictures with a small random CLIP on both devices."""
    from cvae_cli.evaluation.features.clip_model import ClipModel
    from cvae_cli.text.clip import ClipEncoder

    device = pick_device(options.device)
    folder = small_clip(Path(options.folder) / "clip")
    captions = [f"a picture of {number} dogs. They play." for number in range(16 if device.type == "cpu" else 512)]
    pictures = torch.from_numpy(shapes(32, 16, 3)).permute(0, 3, 1, 2)
    vectors = {}
    for where in (torch.device("cpu"), device):
        encoder, model = ClipEncoder(str(folder), device=where), ClipModel(str(folder), where)
        text = encoder.encode(captions[:16])
        vectors[where] = torch.cat([text, model.texts(captions[:16]), model.images(pictures)], dim=1)
    began = time.perf_counter()
    encoder.encode(captions)
    a_second = len(captions) / (time.perf_counter() - began)
    difference = float((vectors[device] - vectors[torch.device("cpu")]).abs().max())
    assert difference < 1e-3, f"vectors differ from the CPU's by {difference:g}"
    yield {"what": "a small CLIP: captions, pictures", "images/s": a_second, "difference": difference, "result": "ok"}


def resume(options: Options) -> Iterator[Row]:
    """Train an epoch on the CPU, one on the GPU, one on the CPU; compare with a training on the CPU alone."""
    device = pick_device(options.device)
    run, alone = (Path(options.folder) / name for name in ("there-and-back", "alone"))
    start = {"recipe": "fashion-concat", "data": picture_folder(options, "resume"), "size": 32, "precision": "fp32"}
    start |= {"settings": {"training.ema_decay": 0.9}, "batch_size": 20}
    train(**start, out=alone, epochs=3, device="cpu")  # type: ignore[arg-type]
    train(**start, out=run, epochs=1, device="cpu")  # type: ignore[arg-type]
    train(resume=run, epochs=2, device=device)
    done = train(resume=run, epochs=3, device="cpu")
    bounds = [
        [json.loads(line)["valid"]["negative_elbo"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (run, alone)
    ]
    differences = [abs(a / b - 1) for a, b in zip(*bounds, strict=True)]
    assert len(differences) == 3
    assert differences[0] < 1e-6, f"the first epochs, both on the CPU, differ by {differences[0]:g}"
    assert max(differences) < 0.05, f"-ELBO after each epoch: {bounds[0]}, on the CPU alone {bounds[1]}"
    yield {
        "what": "CPU, GPU, CPU: -ELBO",
        "difference": max(differences),
        "result": "ok; the noise of a GPU is another, so the losses are near, not equal",
    }
    data = classes(28, 50)
    losses = []
    for where in ("cpu", device):
        model = CVAE.from_pretrained("fashion", device=where)
        losses.append(
            evaluate_bound(model, Batches(data, batch_size=25, device=model.device)).negative_elbo.mean().item()
        )
    difference = abs(losses[1] / losses[0] - 1)
    assert difference < 1e-4, f"the bound of one model: {losses[0]} on the CPU, {losses[1]} on the GPU"
    assert done.load(device=device).generate("sun", n=1)
    yield {"what": "the same weights: -ELBO", "difference": difference, "result": "ok"}


# ---- commands ----------------------------------------------------------------------------------------------------


def cvae(*arguments: str) -> list[str]:
    """Return the command line of `cvae ARGUMENTS`."""
    return [sys.executable, "-m", "cvae_cli", *arguments]


def interrupt(options: Options) -> Iterator[Row]:
    """Press Ctrl-C while steps run, and resume."""
    run = Path(options.folder) / "interrupted"
    data = ["--data", picture_folder(options, "interrupt"), "--size", "32", "--device", options.device]
    command = cvae("train", "fashion-concat", *data, "--batch-size", "20", "--epochs", "100000", "--out", str(run))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not (run / "metrics.jsonl").exists():  # the first epoch is over: now it is within the steps of the next ones
        assert process.poll() is None, f"it ended by itself: {(process.stderr.read() if process.stderr else '')[-300:]}"
        time.sleep(0.05)
    time.sleep(0.3)
    began = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    seconds = time.perf_counter() - began
    assert process.returncode == ExitCode.INTERRUPTED, f"exit code {process.returncode}: {errors[-300:]}"
    assert "nothing is lost" in errors, errors[-300:]
    epochs = len((run / "metrics.jsonl").read_text().splitlines())
    again = cvae("train", "--resume", str(run), "--epochs", str(epochs + 1), "--device", options.device)
    done = subprocess.run(again, capture_output=True, text=True)
    assert done.returncode == 0, f"resuming: exit code {done.returncode}: {done.stderr[-300:]}"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == epochs + 1
    step = re.search(r"after step ([\d,]+)", errors)
    yield {
        "what": "Ctrl-C within a step, and --resume",
        "result": f"ok, stopped {seconds:.2f} s later, after step {step and step[1]}",
    }


def processes(options: Options) -> Iterator[Row]:
    """Train with `--gpus 2`, and compare with one process."""
    if options.device != "cpu" and torch.cuda.device_count() < 2:
        yield {"what": "--gpus 2", "result": "not run: there is one GPU"}
        return
    bounds = {}
    data = ["--data", picture_folder(options, "processes"), "--size", "32", "--precision", "fp32", "--batch-size", "20"]
    for gpus in ("1", "2"):
        run = Path(options.folder) / f"gpus-{gpus}"
        command = cvae("train", "fashion-concat", *data, "--device", options.device, "--gpus", gpus, "--epochs", "2")
        done = subprocess.run([*command, "--out", str(run)], capture_output=True, text=True)
        assert done.returncode == 0, f"--gpus {gpus}: exit code {done.returncode}: {done.stderr[-300:]}"
        lines = (run / "metrics.jsonl").read_text().splitlines()
        bounds[gpus] = [json.loads(line)["valid"]["negative_elbo"] for line in lines]
    difference = max(abs(a / b - 1) for a, b in zip(bounds["1"], bounds["2"], strict=True))
    assert difference < 1e-2, f"-ELBO: {bounds}"
    yield {"what": "--gpus 2: -ELBO", "difference": difference, "result": "ok"}


def tests(options: Options) -> Iterator[Row]:
    """Run the tests that need a GPU."""
    folder = Path(__file__).resolve().parent.parent / "tests"
    if not folder.is_dir():
        yield {"what": "pytest -m gpu", "result": "not run: no tests beside this folder"}
        return
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-o", "addopts=", "-W", "default", str(folder / "test_gpu.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder.parent, env=os.environ | {"COLUMNS": "200"}
    )
    lines = done.stdout.splitlines() or [done.stderr[-300:]]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  "))]
    assert done.returncode in {0, 5}, " | ".join([lines[-1], *failed])[:300]
    yield {"what": "pytest -m gpu", "result": f"ok, {lines[-1].strip('= ')}"}


STEPS: dict[str, Step] = {
    "machine": machine,
    "compile": compiled,
    "generate": generate,
    "evaluate": evaluate,
    "sets": sets,
    "clip": clip,
    "resume": resume,
    "interrupt": interrupt,
    "processes": processes,
    "tests": tests,
}
"""Name -> step; `find` adds those of training."""
