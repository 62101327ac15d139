"""Compare the ONNX file of a model with torch: whether it draws the same pictures, and how fast.

    python benchmarks/export.py [--model scenes] [--batch 8 --batch 64] [--threads N]

All draw the same batches from the same noise, in turns, so that whatever else the machine does disturbs each of them.
onnxruntime does it in three ways: in one call on all threads, as it comes; the same with threads that sleep while they
wait for each other (by default they keep their cores busy); and with a few pictures on each thread, as torch draws them
here. A row has the medians of a way: the seconds of a batch, how many times as fast as torch that is, and the seconds
of all cores, which other programs disturb less. The exit code is 1 if a number differs by more than 0.0001.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer

from cvae_cli import CVAE
from cvae_cli.models.onnx_file import TOLERANCE

PROMPTS = {"fashion": ["dress", "ankle boot"], "emoji": ["a red heart", "a cat"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scenes")
    parser.add_argument("--batch", type=int, action="append", help="pictures; repeatable; default: 8 and 64")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each of the two")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = CVAE.from_pretrained(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        written, took, cpu = timed(lambda: model.export_onnx(Path(folder) / "model.onnx"))
        together, alone = (open_session(written.path, threads) for threads in (arguments.threads, 1))
        patient = open_session(written.path, arguments.threads, spins=False)
    size = f"{written.bytes / 1e6:.1f} MB, opset {written.opset}"
    print(f"{arguments.model}: {size}, exported in {took:.0f} s (cpu {cpu:.0f} s), {arguments.threads} threads")
    print("batch  way                 seconds  speedup  cpu, s  difference")
    differences = []
    for batch in arguments.batch or [8, 64]:
        prompts = (PROMPTS.get(arguments.model, ["two dogs on a beach", "snow"]) * batch)[:batch]
        condition = model.condition(prompts)
        noise = model.noise(condition, prompts=prompts)
        inputs = {"noise": noise.numpy(), **shown(together, prompts, condition)}
        ways: dict[str, Callable[[], Any]] = {
            "torch": partial(by_torch, model, noise, condition),
            "one call": partial(in_one_call, together, inputs),
            "one call, sleeping": partial(in_one_call, patient, inputs),
            "on each thread": partial(on_each_thread, alone, inputs, arguments.threads),
        }
        turns = [{name: timed(way) for name, way in ways.items()} for _ in range(arguments.turns)]
        expected, reference = turns[-1]["torch"][0], statistics.median(turn["torch"][1] for turn in turns)
        for name in ways:
            drawn = turns[-1][name][0]
            seconds, cpu = (statistics.median(turn[name][which] for turn in turns) for which in (1, 2))
            difference = float(np.abs(drawn - expected).max())
            differences.append(difference)
            row = f"{batch:5}  {name:18}  {seconds:7.3f}  {reference / seconds:7.2f}  {cpu:6.3f}  {difference:10.1g}"
            print(row, flush=True)
    return int(not all(difference <= TOLERANCE for difference in differences))  # also where one is not a number


def open_session(path: Path, threads: int, *, spins: bool = True) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def by_torch(model: CVAE, noise: torch.Tensor, condition: torch.Tensor) -> np.ndarray:
    """Draw with torch, as `cvae generate` does."""
    return model.draw(noise, condition).numpy()


def in_one_call(session: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Draw all pictures in one call of onnxruntime, which has all cores."""
    pictures: np.ndarray = session.run(None, inputs)[0]
    return pictures


def on_each_thread(session: Any, inputs: dict[str, np.ndarray], threads: int) -> np.ndarray:
    """Draw up to eight pictures at a time on each thread."""
    total = len(inputs["noise"])
    size = min(8, -(-total // threads))
    chunks = [{name: rows[i : i + size] for name, rows in inputs.items()} for i in range(0, total, size)]
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(lambda chunk: session.run(None, chunk)[0], chunks)))


def shown(session: Any, prompts: list[str], condition: torch.Tensor) -> dict[str, Any]:
    """Return the input that says what the pictures show."""
    name = session.get_inputs()[1].name
    if name != "tokens":
        return {name: condition.numpy()}
    tokenizer = Tokenizer.from_str(session.get_modelmeta().custom_metadata_map["tokenizer"])
    return {name: torch.tensor([each.ids for each in tokenizer.encode_batch(prompts)]).numpy()}


def timed(way: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what a way draws, the seconds it takes, and the seconds of all cores."""
    began, cpu = time.perf_counter(), time.process_time()
    drawn = way()
    return drawn, time.perf_counter() - began, time.process_time() - cpu


if __name__ == "__main__":
    sys.exit(main())
