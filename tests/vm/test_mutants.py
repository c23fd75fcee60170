"""Mutants of correct pipelined kernels: every weakened synchronization must be told.

The PTX of the two hand-written kernels is changed instruction by instruction: each synchronizing one removed, each
group count and barrier count shifted, phases flipped. A mutant survives if its run tells nothing: no race, no
warning, no fault, and the right result. Survivors must be in the list of mutants that are still correct, with the
edge that makes them so.
"""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tilewright.runtime import vm

Compile = Callable[..., str]
Mutant = tuple[int, str, str]
REMOVED = re.compile(
    r"^\s*(bar\.sync|cp\.async\.wait_group|cp\.async\.commit_group|fence\.proxy|mbarrier\.arrive|"
    r"mbarrier\.init|wgmma\.wait_group|wgmma\.commit_group|cp\.async\.bulk\.(commit|wait)_group|"
    r"\{ \.reg \.pred p; LOOP: mbarrier)"
)


def mutants(ptx: str) -> Iterator[Mutant]:
    """Line number, new text of the line, what was done."""
    for number, line in enumerate(ptx.split("\n")):
        if REMOVED.match(line):
            yield number, "", "removed"
        if match := re.match(r"^(\s*(?:cp\.async|wgmma)\.wait_group\S* +)(\d+);", line):
            yield number, f"{match[1]}{int(match[2]) + 1};", "waits for one group less"
        if match := re.match(r"^(\s*bar\.sync +)(\d+)(.*)", line):
            yield number, f"{match[1]}{int(match[2])}, 64;", "counts 64 threads"
        if "try_wait.parity" in line:
            register = re.findall(r"\], (%r\d+)", line)[0]
            flipped = line.replace("LOOP:", f".reg .b32 f; xor.b32 f, {register}, 1; LOOP:")
            yield number, flipped.replace(f"], {register}", "], f"), "flips its phase"
        if match := re.match(r"^(\s*mbarrier\.arrive\.expect_tx.*\], )(%r\d+);", line):
            yield (
                number,
                f"{{ .reg .b32 x; add.u32 x, {match[2]}, 16; {match[1]}x; }}",
                "expects more",
            )
        if match := re.match(r"^(\s*mbarrier\.init.*\], )(%r\d+);", line):
            yield (
                number,
                f"{{ .reg .b32 x; add.u32 x, {match[2]}, 1; {match[1]}x; }}",
                "counts one more",
            )


def survivors(ptx: str, run: Callable[[str], tuple[vm.Report, bool]]) -> list[str]:
    lines = ptx.split("\n")
    found, count = [], 0
    for number, text, what in mutants(ptx):
        count += 1
        changed = "\n".join((*lines[:number], text, *lines[number + 1 :]))
        try:
            report, right = run(changed)
        except vm.Fault:
            continue
        if right and not report.races and not report.warnings:
            found.append(f"{lines[number].strip()} {what}")
    assert count >= 6
    return found


def bf16(x: np.ndarray) -> np.ndarray:
    return (x.astype("f").view(np.uint32) >> 16).astype(np.uint16)


def test_mutants_of_the_cp_async_pipeline(compile_ptx: Compile, matmul_source: str) -> None:
    rng = np.random.default_rng()
    a, b = rng.integers(-8, 9, (64, 256)), rng.integers(-8, 9, (64, 256))

    def run(ptx: str) -> tuple[vm.Report, bool]:
        c = np.zeros((64, 64), "f")
        report = vm.run(
            ptx, "matmul", 1, 256, [bf16(a), bf16(b), c, 64, 64, 256], shared=24576, seed=1
        )
        return report, bool((c == a @ b.T).all())

    assert survivors(compile_ptx(matmul_source), run) == []


def test_mutants_of_the_warp_specialized_gemm(compile_ptx: Compile) -> None:
    source = Path(__file__).with_name("hopper.cu").read_text()
    rng = np.random.default_rng()
    a, b = rng.integers(-8, 9, (128, 576)), rng.integers(-8, 9, (64, 576))

    def run(ptx: str) -> tuple[vm.Report, bool]:
        c = np.zeros((128, 64), "f")
        maps = [
            vm.TensorMap(bf16(a), (128, 64), swizzle=128),
            vm.TensorMap(bf16(b), (64, 64), swizzle=128),
            vm.TensorMap(c, (128, 64)),
        ]
        shared = 3 * (128 + 64) * 64 * 2 + 128 * 64 * 4 + 1024
        report = vm.run(ptx, "gemm", 1, 288, [*maps, 576], shared=shared, seed=1)
        return report, bool((c == a @ b.T).all())

    # The loop is unrolled: one arrival on an empty barrier is the last one of all, and nobody fills
    # that stage again, so without it the kernel is still right.
    (last,) = survivors(compile_ptx(source, "sm_90a"), run)
    assert last.startswith("mbarrier.arrive.shared") and last.endswith("removed")
