"""What a launch costs on the CPU before the kernel's own work, and compile time by stage."""

from __future__ import annotations

import os
import statistics
import tempfile
import time

import torch

from tilewright.benchmarks.harness import Row, compare
from tilewright.benchmarks.machine import cpu_name, versions
from tilewright.examples.elementwise import add
from tilewright.examples.matmul import matmul


def measure(rounds: int = 2000) -> list[Row]:
    """Microseconds of a cached launch of a one-block kernel; milliseconds of each compile stage."""
    facts = {"device": cpu_name(), "versions": versions()}
    a, b, c = (torch.randn(64) for _ in range(3))
    add(a, b, c)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        add(a, b, c)
        times.append(time.perf_counter() - start)
    rows = compare("cached launch", "64", {"ours": statistics.median(times)}, **facts)
    return rows + measure_compile(facts)


def measure_compile(facts: dict[str, str]) -> list[Row]:
    """Stages of compiling the matmul: capture, passes, codegen, build with a cold cache."""
    a, b, c = (torch.randn(256, 256, dtype=torch.bfloat16) for _ in range(3))
    rows: list[Row] = []
    previous = os.environ.get("TILEWRIGHT_CACHE")
    for target in ("cpu", "sm_80"):
        captures, compiled = [], []
        for _ in range(5):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["TILEWRIGHT_CACHE"] = folder
                start = time.perf_counter()
                matmul.capture(a, b, c, target=target)
                captures.append(time.perf_counter() - start)
                matmul._compiled.clear()
                compiled.append(matmul.compile(a, b, c, target=target).seconds)
        seconds = {
            "capture": statistics.median(captures),
            **{k: statistics.median(s[k] for s in compiled) for k in compiled[0]},
        }
        for stage, found in seconds.items():
            rows += compare(f"compile {target}: {stage}", "matmul", {"ours": found}, **facts)
    if previous is None:
        os.environ.pop("TILEWRIGHT_CACHE")
    else:
        os.environ["TILEWRIGHT_CACHE"] = previous
    return rows
