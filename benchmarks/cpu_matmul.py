"""CPU: matrix products and softmax against torch."""

from __future__ import annotations

import torch

from tilewright.benchmarks.harness import Row, compare, time_all
from tilewright.benchmarks.machine import cpu_name, versions
from tilewright.examples.matmul import matmul as plain_matmul
from tilewright.ops import matmul, softmax

SIZE = 1024


def measure(rounds: int = 21) -> list[Row]:
    """ops.matmul in f32 and bf16, the plain kernel with its defaults, and softmax."""
    rows: list[Row] = []
    flops = 2.0 * SIZE**3

    def rate(seconds: float) -> str:
        return f"{flops / seconds / 1e9:,.0f} GFLOP/s"

    facts = {"device": cpu_name(), "versions": versions()}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(SIZE, SIZE).to(dtype) for _ in range(2))
        seconds = time_all(
            {"ours": lambda _, a=a, b=b: matmul(a, b), "torch": lambda _, a=a, b=b: a @ b},
            rounds=rounds,
        )
        name = f"ops.matmul {str(dtype).removeprefix('torch.')}"
        rows += compare(name, f"{SIZE}^3", seconds, rate=rate, **facts)
    a, b, c = (torch.randn(SIZE, SIZE) for _ in range(3))
    seconds = time_all(
        {"ours": lambda _: plain_matmul(a, b, c), "torch": lambda _: torch.mm(a, b.T, out=c)},
        rounds=rounds,
    )
    rows += compare("plain kernel float32", f"{SIZE}^3", seconds, rate=rate, **facts)
    x = torch.randn(2048, 4096)
    seconds = time_all(
        {"ours": lambda _: softmax(x), "torch": lambda _: torch.softmax(x, -1)}, rounds=rounds
    )
    rows += compare("ops.softmax float32", "2048x4096", seconds, **facts)
    return rows
