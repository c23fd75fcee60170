"""GPU: matrix products against cuBLAS (through torch) and Triton; softmax against torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch

from tilewright.benchmarks.harness import Row, compare, time_all
from tilewright.benchmarks.machine import versions
from tilewright.examples.matmul import matmul as plain_matmul
from tilewright.ops import matmul, softmax

SHAPES = ((4096, 4096, 4096), (8192, 8192, 8192), (4096, 14336, 4096), (16, 4096, 4096))
DRY_SHAPES = ((32, 32, 32),)


def device_name(dry: bool) -> str:
    """The GPU's name, or what stands in for it."""
    return "virtual machine" if dry else torch.cuda.get_device_name()


def measure(dry: bool) -> list[Row]:
    """bf16 and f16 products; dry: the same calls, tiny, on the virtual machine."""
    rows: list[Row] = []
    for dtype in (torch.bfloat16, torch.float16):
        for m, n, k in DRY_SHAPES if dry else SHAPES:
            rows += _measure_one(m, n, k, dtype, dry)
    if not dry:
        rows += _measure_softmax()
    return rows


def _measure_one(m: int, n: int, k: int, dtype: torch.dtype, dry: bool) -> list[Row]:
    device = "cpu" if dry else "cuda"
    a, b = (torch.randn(r, k, device=device).to(dtype) for r in (m, n))
    c = torch.empty(m, n, device=device, dtype=dtype)
    target = "vm:sm_80" if dry else None
    runs: dict[str, Callable[[int], object]] = {
        "ours": lambda _: plain_matmul(a, b, c, target=target),
        "torch on the CPU" if dry else "cuBLAS": lambda _: torch.mm(a, b.T, out=c),
    }
    if not dry:
        runs["ops.matmul"] = lambda _: matmul(a, b.T)
        if importlib.util.find_spec("triton"):
            from tilewright.benchmarks.triton_peer import triton_matmul

            runs["Triton"] = lambda _: triton_matmul(a, b, c)
    wait = (lambda: None) if dry else torch.cuda.synchronize
    seconds = time_all(runs, rounds=1 if dry else 30, warmup=0 if dry else 5, wait=wait)
    flops = 2.0 * m * n * k

    def rate(found: float) -> str:
        return f"{flops / found / 1e12:,.1f} TFLOP/s"

    name = f"matmul {str(dtype).removeprefix('torch.')}"
    facts: dict[str, Any] = {"device": device_name(dry), "versions": versions(), "rate": rate}
    return compare(name, f"{m}x{n}x{k}", seconds, **facts)


def _measure_softmax() -> list[Row]:
    x = torch.randn(8192, 4096, device="cuda")
    seconds = time_all(
        {"ours": lambda _: softmax(x), "torch": lambda _: x.softmax(-1)},
        rounds=30,
        warmup=5,
        wait=torch.cuda.synchronize,
    )
    facts = {"device": device_name(False), "versions": versions()}
    return compare("softmax float32", "8192x4096", seconds, **facts)
