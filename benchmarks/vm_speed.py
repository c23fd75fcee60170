"""The virtual machine: microseconds per step of the pipelined matmul, and of plain arithmetic.

A run decodes the PTX first. So each program runs at two lengths, and what counts is the additional
time over the additional steps; the decoding is a row of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from tilewright.benchmarks.harness import Row, compare
from tilewright.benchmarks.machine import cpu_name, versions
from tilewright.examples.matmul import matmul
from tilewright.runtime import vm
from tilewright.runtime.nvrtc import compile_cuda
from tilewright.runtime.programs import VmProgram

ARITHMETIC = """
extern "C" __global__ void arithmetic(float *x, int *n, int turns) {
    int i = threadIdx.x, k = n[i];
    float v = x[i];
    for (int t = 0; t < turns; ++t) {
        k = (k << 1) ^ (k + t); k = k - (t & 7); k = k | (t >> 2);
        v = v + 1.5f; v = v - (float)(k & 1); v = v * 0.5f;
    }
    x[i] = v; n[i] = k;
}
"""


def measure(rounds: int = 5) -> list[Row]:
    """One 256-lane block of the bf16 matmul, checks off and on; arithmetic on 1,024 lanes."""
    rows: list[Row] = []
    for checks in ("off", "all"):
        rows += _rows(f"vm matmul step, checks {checks}", "256 lanes", _matmul(checks), rounds)
    rows += _rows("vm arithmetic step, checks off", "1024 lanes", _arithmetic(), rounds)
    return rows


def _rows(name: str, shape: str, runs: tuple[Callable[[], int], ...], rounds: int) -> list[Row]:
    """The time per step, and the time that does not depend on the number of steps."""
    (short, few), (long, many) = (_best(run, rounds) for run in runs)
    per_step = (long - short) / (many - few)
    facts = {"device": cpu_name(), "versions": versions()}
    fixed = compare(f"{name}: decoding", shape, {"ours": short - few * per_step}, **facts)
    shown = f"{shape}, {many - few} steps"
    return [*compare(name, shown, {"ours": per_step}, **facts), *fixed]


def _best(run: Callable[[], int], rounds: int) -> tuple[float, int]:
    best, steps = float("inf"), 0
    for _ in range(rounds):
        start = time.perf_counter()
        steps = run()
        best = min(best, time.perf_counter() - start)
    return best, steps


def _matmul(checks: str) -> tuple[Callable[[], int], ...]:
    def make(depth: int) -> Callable[[], int]:
        a, b = (torch.randn(128, depth, dtype=torch.bfloat16) for _ in range(2))
        c = torch.empty(128, 128, dtype=torch.bfloat16)
        compiled = matmul.compile(a, b, c, target="vm:sm_80", warps=8)
        assert isinstance(compiled.program, VmProgram)
        chosen = replace(compiled, program=replace(compiled.program, checks=checks))
        return lambda: int(chosen.launch((a, b, c)).steps)

    return make(256), make(2048)


def _arithmetic() -> tuple[Callable[[], int], ...]:
    ptx = compile_cuda(
        ARITHMETIC, arch="sm_80", name="/arithmetic.cu", options=("--fmad=false",)
    ).ptx

    def make(turns: int) -> Callable[[], int]:
        arguments: list[Any] = [torch.randn(1024), torch.zeros(1024, dtype=torch.int32), turns]
        return lambda: int(
            vm.run(ptx, "arithmetic", (1, 1, 1), (1024, 1, 1), arguments, checks="off").steps
        )

    return make(100), make(2000)
