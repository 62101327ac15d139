"""Compare the ONNX file of a model with torch: whether it draws the same pictures, and how fast.

    python benchmarks/export.py [--model scenes] [--batch 8 --batch 64] [--threads N]

Both draw the same batches from the same noise, in turns, so that whatever else the machine does disturbs both. A row
has the median time of a batch. The exit code is 1 if a number of a picture differs by more than 0.0001.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        written = model.export_onnx(Path(folder) / "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        session = onnxruntime.InferenceSession(written.path, options, providers=["CPUExecutionProvider"])
    size = f"{written.bytes / 1e6:.1f} MB, opset {written.opset}"
    print(f"{arguments.model}: {size}, exported in {time.perf_counter() - began:.0f} s, {arguments.threads} threads")
    print("batch  torch, s  onnxruntime, s  speedup  difference")
    worst = 0.0
    for batch in arguments.batch or [8, 64]:
        prompts = (PROMPTS.get(arguments.model, ["two dogs on a beach", "snow"]) * batch)[:batch]
        condition = model.condition(prompts)
        noise = model.noise(condition, prompts=prompts)
        inputs = {"noise": noise.numpy(), **shown(session, prompts, condition)}
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(arguments.turns):
            pictures, took = timed(model.draw, noise, condition)
            seconds[0].append(took)
            drawn, took = timed(session.run, None, inputs)
            seconds[1].append(took)
        difference = float((torch.from_numpy(drawn[0]) - pictures).abs().max())
        worst = max(worst, difference)
        first, second = map(statistics.median, seconds)
        print(f"{batch:5}  {first:8.3f}  {second:14.3f}  {first / second:7.2f}  {difference:10.1g}", flush=True)
    return int(worst > TOLERANCE)


def shown(session: Any, prompts: list[str], condition: torch.Tensor) -> dict[str, Any]:
    """Return the input that says what the pictures show."""
    name = session.get_inputs()[1].name
    if name != "tokens":
        return {name: condition.numpy()}
    tokenizer = Tokenizer.from_str(session.get_modelmeta().custom_metadata_map["tokenizer"])
    return {name: torch.tensor([each.ids for each in tokenizer.encode_batch(prompts)]).numpy()}


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    done = work(*arguments)
    return done, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
