"""The machine, the device for computations, the network and the environment."""

import os
import platform
import shutil
from pathlib import Path
from typing import Any

from cvae_cli.errors import byte_size
from cvae_cli.paths import cache_dir

_NAMES = "CVAE_ HF_ HUGGING_FACE_ TORCH PYTORCH_ CUDA_ NCCL_ OMP_ MKL_ KMP_ OPENBLAS_ XDG_ LC_ PYTHON MPL"
_PREFIXES = tuple(_NAMES.split())
_SINGLE = {"LANG", "TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "SHELL", "TMPDIR", "VIRTUAL_ENV", "CONDA_PREFIX"}
_SINGLE |= {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "SLURM_JOB_ID"}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_SECRET = ("TOKEN", "KEY", "SECRET", "PASS", "AUTH", "CREDENTIAL")
_LITTLE_DISK = 2e9  # bytes, too little for a data set or weights


def machine() -> tuple[dict[str, Any], list[str]]:
    """The operating system, the processor, the memory and the disks."""
    problems = []
    facts: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": f"{_usable_cores()} of {os.cpu_count()}",
        "memory": _memory(),
    }
    for name, folder in {"disk of the cache": cache_dir(), "disk here": Path.cwd()}.items():
        nearest = next(each for each in [folder, *folder.absolute().parents] if each.exists())
        free = shutil.disk_usage(nearest).free
        facts[name] = f"{byte_size(free)} free"
        if free < _LITTLE_DISK:
            problems.append(f"{folder} has {byte_size(free)} left:  cvae cache clear, or CVAE_HOME on another disk")
    return facts, problems


def device() -> tuple[dict[str, Any], list[str]]:
    """What torch computes on."""
    import torch

    from cvae_cli.runtime.device import computes_bf16, pick_device

    chosen = pick_device()
    facts: dict[str, Any] = {
        "device": str(chosen),
        "bf16": "yes, by the processor" if computes_bf16(chosen) else "no: --precision auto is fp32",
        "threads": torch.get_num_threads(),
        "torch's CUDA": torch.version.cuda or "none: this is a build for the CPU",
    }
    if torch.cuda.is_available():
        facts["cuDNN"] = torch.backends.cudnn.version()
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            facts[f"GPU {number}"] = f"{card.name}, {byte_size(card.total_memory)}, {card.major}.{card.minor}"
    problems = []
    if torch.version.cuda and not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        problems.append("there is an NVIDIA driver, but torch finds no GPU: its build may not fit the driver")
    if torch.get_num_threads() > _usable_cores():
        problems.append(
            f"torch uses {torch.get_num_threads()} threads on {_usable_cores()} cores:  unset OMP_NUM_THREADS"
        )
    return facts, problems


def network() -> tuple[dict[str, Any], list[str]]:
    """What is set for the network; it is not used."""
    from cvae_cli.weights.download import forbidden_by
    from cvae_cli.weights.patience import time_out

    variable = forbidden_by()
    proxies = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    facts = {
        "offline": f"yes, by {variable}" if variable else "no",
        "Hub": os.environ.get("HF_ENDPOINT") or "https://huggingface.co",
        "proxies": ", ".join(proxies) or None,
        "waits for": f"{time_out():g} s",
    }
    return facts, []


def environment() -> tuple[dict[str, Any], list[str]]:
    """The variables that change what the program does. Those that hold secrets are only said to be set."""
    chosen = sorted(name for name in os.environ if _is_of_interest(name))
    return {name: "set" if _is_secret(name) else os.environ[name] for name in chosen}, []


def _is_of_interest(name: str) -> bool:
    return name.startswith(_PREFIXES) or name in _SINGLE or name.upper() in _PROXIES


def _is_secret(name: str) -> bool:
    return any(each in name.upper() for each in _SECRET)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    """The memory of the machine; where the system says so, what is free of it, and what this process may have."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    said = [byte_size(total)]
    for path, words in {"/proc/meminfo": "free", "/sys/fs/cgroup/memory.max": "allowed"}.items():
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        found = [line.split()[1] for line in lines if line.startswith("MemAvailable")] or lines[:1]
        if found[0].isdecimal():
            said.append(f"{byte_size(int(found[0]) * (1024 if words == 'free' else 1))} {words}")
    return ", ".join(said)
