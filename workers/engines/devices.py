"""Where a model runs, in which number format, and how much memory is free."""

from pathlib import Path

import torch

from jobs.errors import BadSettings

_MEMORY_FILES = (
    # (limit, used) of control group version 2, then 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
_UNKNOWN_FREE_BYTES = 2**31


def choose_device(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda:N` names; raises `BadSettings`."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadSettings(f"device {name} is not there: {torch.cuda.device_count()} CUDA devices")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format of weights and cache. `auto` is bfloat16 where the
    device computes in it: elsewhere it is emulated and slower than float32."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    abilities = torch.cpu.get_capabilities()
    fast = abilities.get("avx512_bf16") or abilities.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


def free_bytes(device: torch.device) -> int:
    """Memory that can still be taken, by the machine's and the container's count."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [_available_bytes()]
    for limit, used in _MEMORY_FILES:
        bounds = [_number(Path(name)) for name in (limit, used)]
        if bounds[0] is not None and bounds[1] is not None:
            free.append(bounds[0] - bounds[1])
    return max(0, min(free))


def _available_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return _UNKNOWN_FREE_BYTES
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return _UNKNOWN_FREE_BYTES


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
