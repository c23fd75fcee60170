"""The virtual machine: microseconds per step, per warp of a matrix instruction, and per check.

A run decodes the PTX first. So each program runs at two lengths, and what counts is the additional
time over the additional steps; the decoding of the matmul is a row of its own. Times are those of
the process, not of the clock on the wall, so that a busy machine disturbs less; only runs in
several processes are timed by the wall.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tilewright.benchmarks import vm_programs
from tilewright.benchmarks.harness import Row, compare
from tilewright.benchmarks.machine import cpu_name, versions
from tilewright.examples.matmul import matmul
from tilewright.runtime import vm
from tilewright.runtime.nvrtc import compile_cuda
from tilewright.runtime.programs import VmProgram
from tilewright.runtime.vm.processes import VARIABLE

Run = Callable[[], int]
"""Runs a program once and returns its steps."""
LANES = 1024


def measure(rounds: int = 5) -> list[Row]:
    """Matmuls, each arithmetic instruction and their mean, mma, wgmma, checks, processes."""
    return [
        *_matmuls(rounds),
        *_arithmetic(rounds),
        *_matrix(rounds),
        *_wgmma(rounds),
        *_stores(rounds),
        *_processes(rounds),
    ]


def _row(name: str, shape: str, seconds: float, rate: str = "") -> Row:
    facts = {"device": cpu_name(), "versions": versions()}
    return compare(name, shape, {"ours": seconds}, rate=lambda _: rate, **facts)[0]


def _per_second(seconds: float) -> str:
    return f"{1 / seconds:,.0f} steps/s"


def _per_step(runs: tuple[Run, Run], rounds: int) -> tuple[float, float, int]:
    """Seconds per additional step, seconds of everything else, and the additional steps."""
    times = [float("inf")] * 2
    steps = [0, 0]
    for _ in range(rounds):
        for index, run in enumerate(runs):
            start = time.process_time()
            steps[index] = run()
            times[index] = min(times[index], time.process_time() - start)
    each = (times[1] - times[0]) / (steps[1] - steps[0])
    return each, times[0] - steps[0] * each, steps[1] - steps[0]


# -- programs ----------------------------------------------------------------------------------


def _matmuls(rounds: int) -> list[Row]:
    """One 256-lane block of the pipelined bf16 matmul, checks off and on."""
    rows = []
    for checks in ("off", "all"):
        each, fixed, steps = _per_step(_matmul(checks), rounds)
        name = f"vm matmul step, checks {checks}"
        rows.append(_row(name, f"256 lanes, {steps} steps", each, _per_second(each)))
        rows.append(_row(f"{name}: decoding", "256 lanes", fixed))
    return rows


def _matmul(checks: str) -> tuple[Run, Run]:
    def make(depth: int) -> Run:
        a, b = (torch.randn(128, depth, dtype=torch.bfloat16) for _ in range(2))
        c = torch.empty(128, 128, dtype=torch.bfloat16)
        compiled = matmul.compile(a, b, c, target="vm:sm_80", warps=8)
        assert isinstance(compiled.program, VmProgram)
        chosen = replace(compiled, program=replace(compiled.program, checks=checks))
        return lambda: int(chosen.launch((a, b, c)).steps)

    return make(256), make(2048)


def _repeated(instruction: str, turns: tuple[int, int], copies: int = 64) -> tuple[Run, Run]:
    """The program that repeats one instruction, at two lengths."""
    ptx = vm_programs.repeated(instruction, copies)
    rng = np.random.default_rng(0)
    floats = rng.standard_normal((LANES, 8)).astype(np.float32)
    integers = rng.integers(-(2**31), 2**31, (LANES, 8)).astype(np.int32)

    def make(count: int) -> Run:
        arguments = [floats, integers, count]
        return lambda: vm.run(ptx, "repeated", 1, LANES, arguments, checks="off").steps

    return make(turns[0]), make(turns[1])


def _arithmetic(rounds: int) -> list[Row]:
    rows, times = [], []
    for name, instruction in vm_programs.ARITHMETIC.items():
        each, _, _ = _per_step(_repeated(instruction, (2, 82)), rounds)
        times.append(each)
        rows.append(_row(f"vm step {name}", f"{LANES} lanes", each, _per_second(each)))
    mean = statistics.fmean(times)
    shape = f"{LANES} lanes, {len(times)} instructions"
    return [_row("vm arithmetic step, mean", shape, mean, _per_second(mean)), *rows]


def _matrix(rounds: int) -> list[Row]:
    """mma.sync, per warp."""
    rows = []
    for name, instruction in vm_programs.MATRIX.items():
        each, _, _ = _per_step(_repeated(instruction, (1, 11), copies=16), rounds)
        warps = LANES // 32
        rows.append(_row(f"vm {name}, per warp", f"{warps} warps", each / warps, _per_second(each)))
    return rows


def _wgmma(rounds: int) -> list[Row]:
    """One block of the warp-specialized GEMM, decoding included."""
    ptx = compile_cuda(vm_programs.WGMMA, arch="sm_90a", name="/gemm.cu", options=()).ptx
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 1 << 14, (128, 256), dtype=np.uint16) for _ in range(2))
    c = np.zeros((128, 128), np.float32)
    maps = [vm.TensorMap(x, (128, 64), swizzle=128) for x in (a, b)]
    arguments = [*maps, vm.TensorMap(c, (128, 128)), 256]
    rows = []
    for checks in ("off", "all"):
        best, steps = float("inf"), 0
        for _ in range(rounds):
            start = time.process_time()
            report = vm.run(
                ptx, "gemm", 1, 288, arguments, shared=vm_programs.WGMMA_SHARED, checks=checks
            )
            best, steps = min(best, time.process_time() - start), report.steps
        rate = _per_second(best / steps)
        rows.append(_row(f"vm wgmma block, checks {checks}", "128 x 128 x 256", best, rate))
    return rows


def _stores(rounds: int) -> list[Row]:
    """What checking one 16-byte store per lane adds to the store."""
    rows = []
    for lanes in (256, LANES):
        each = {}
        for checks in ("off", "all"):
            runs = tuple(
                lambda turns=turns, checks=checks, lanes=lanes: (
                    vm.run(vm_programs.STORES, "stores", 1, lanes, [turns], checks=checks).steps
                )
                for turns in (2, 32)
            )
            each[checks], _, _ = _per_step((runs[0], runs[1]), rounds)
        shape = f"{lanes} lanes, one 16-byte store each"
        rows.append(_row("vm checks of a store", shape, each["all"] - each["off"]))
    return rows


def _processes(rounds: int) -> list[Row]:
    """Independent blocks in one process and in two, by the clock on the wall."""
    ptx = compile_cuda(vm_programs.ROWS, arch="sm_80", name="/rows.cu", options=()).ptx
    blocks = 32
    x = np.zeros((blocks * 256, 4), np.float32)
    before = os.environ.get(VARIABLE)
    rows = []
    try:
        for turns in (1_000, 20_000):
            times: dict[str, float] = {}
            for name, count in (("ours", "2"), ("one process", "1")):
                os.environ[VARIABLE] = count
                times[name] = min(_wall(ptx, blocks, x, turns) for _ in range(min(rounds, 3)))
            shape = f"{blocks} blocks, {turns} turns"
            facts: dict[str, Any] = {"device": cpu_name(), "versions": versions()}
            rows += compare("vm in two processes", shape, times, **facts)
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
    return rows


def _wall(ptx: str, blocks: int, x: Any, turns: int) -> float:
    y = np.zeros(blocks * 256, np.float32)
    start = time.perf_counter()
    vm.run(ptx, "rows", blocks, 256, [x, y, turns], checks="off")
    return time.perf_counter() - start
