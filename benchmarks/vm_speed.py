"""The virtual machine: microseconds per step of the pipelined matmul, and its counters."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from tilewright.benchmarks.harness import Row, compare
from tilewright.benchmarks.machine import cpu_name, versions
from tilewright.examples.matmul import matmul
from tilewright.runtime.programs import VmProgram


def measure(rounds: int = 3) -> list[Row]:
    """One 256-lane block of the bf16 matmul, checks off and on."""
    a, b = (torch.randn(128, 256, dtype=torch.bfloat16) for _ in range(2))
    c = torch.empty(128, 128, dtype=torch.bfloat16)
    compiled = matmul.compile(a, b, c, target="vm:sm_80", warps=8)
    rows: list[Row] = []
    for checks in ("off", "all"):
        program = compiled.program
        assert isinstance(program, VmProgram)
        chosen = replace(compiled, program=replace(program, checks=checks))
        best, steps = float("inf"), 1
        for _ in range(rounds):
            start = time.perf_counter()
            report = chosen.launch((a, b, c))
            best, steps = min(best, time.perf_counter() - start), report.steps
        shape = f"{program.threads} lanes, {steps} steps"
        rows += compare(
            f"vm step, checks {checks}",
            shape,
            {"ours": best / steps},
            device=cpu_name(),
            versions=versions(),
        )
    return rows
