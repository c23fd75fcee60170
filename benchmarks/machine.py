"""What the measurements ran on: device, versions, and how fast its memory and caches are."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

CACHE_FALLBACK = 32 << 20


def cpu_name() -> str:
    """The CPU's model name with its thread count."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {torch.get_num_threads()} threads"


def versions() -> str:
    """Versions of what takes part."""
    found = []
    for package in ("tilewright", "torch", "triton", "nvidia-cuda-nvrtc"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def cache_bytes(share: int = 512 << 20) -> int:
    """Bytes of last-level cache; a virtual machine may show its host's, so at most `share`."""
    largest = 0
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1], 1)
        largest = max(largest, int(text.rstrip("KM")) * unit)
    return min(largest or CACHE_FALLBACK, share)


def rotate(make: Callable[[], torch.Tensor], limit_bytes: int = 3 << 30) -> list[torch.Tensor]:
    """Copies of a tensor that together exceed four times the last-level cache (within a limit)."""
    first = make()
    wanted = min(4 * cache_bytes(), limit_bytes)
    count = max(2, -(-wanted // (first.numel() * first.element_size())))
    return [first, *(make() for _ in range(count - 1))]
