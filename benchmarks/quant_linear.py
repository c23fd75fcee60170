"""CPU: 4-bit linear layers at Llama-3-8B shapes against torch's int4 kernel and bf16 linear."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from tilewright.benchmarks.harness import Row, compare, time_all
from tilewright.benchmarks.machine import cpu_name, rotate, versions
from tilewright.ops.quant import QSpec, quant_linear, quantize

SHAPES = ((4096, 4096), (4096, 14336))
GROUP = 128


def read_bandwidth(size: int = 1 << 29) -> float:
    """Bytes per second of summing a buffer too large for caches, the best of several."""
    data = torch.ones(size // 8, dtype=torch.float64)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        data.sum()
        best = min(best, time.perf_counter() - start)
    return size / best


def measure(rounds: int = 15) -> list[Row]:
    """M = 1 and 16; weights rotate so that they come from memory."""
    rows: list[Row] = []
    bandwidth = read_bandwidth()
    for k, n in SHAPES:
        contestants, weight_bytes = make_contestants(n, k)
        for m in (1, 16):
            x = torch.randn(m, k, dtype=torch.bfloat16)
            runs = {name: make(x) for name, make in contestants.items()}
            seconds = time_all(runs, rounds=rounds)

            def rate(found: float, size: int = weight_bytes) -> str:
                speed = size / found
                return f"{speed / 1e9:.1f} GB/s ({speed / bandwidth:.0%} of read bandwidth)"

            rows += compare(
                "u4 linear",
                f"{m}x{k}x{n}",
                seconds,
                device=cpu_name(),
                versions=versions(),
                rate=rate,
            )
    return rows


Maker = Callable[[torch.Tensor], Callable[[int], object]]


def make_contestants(n: int, k: int) -> tuple[dict[str, Maker], int]:
    """Ours, torch's int4 kernel and bf16 linear, each on rotating copies of its own weights."""
    weight = torch.randn(n, k) / k**0.5
    ours = quantize(weight, QSpec(dtype="u4", group=GROUP)).to_device_form()
    size = sum(t.numel() * t.element_size() for t in ours.tensors())
    copies = [ours, *(ours.clone() for _ in range(len(rotate(lambda: ours.codes.clone())) - 1))]
    pack = torch.ops.aten._convert_weight_to_int4pack_for_cpu
    packed = rotate(lambda: pack(torch.randint(0, 16, (n, k), dtype=torch.int32), 1))
    scales = torch.rand(k // GROUP, n, 2, dtype=torch.bfloat16)
    dense = rotate(lambda: weight.to(torch.bfloat16))
    int4 = torch.ops.aten._weight_int4pack_mm_for_cpu
    return {
        "ours": lambda x: lambda turn: quant_linear(x, copies[turn % len(copies)]),
        "int4pack": lambda x: lambda turn: int4(x, packed[turn % len(packed)], GROUP, scales),
        "bf16 linear": lambda x: (
            lambda turn: torch.nn.functional.linear(x, dense[turn % len(dense)])
        ),
    }, size
