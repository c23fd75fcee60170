"""sm_90a: TMA, mbarriers, wgmma and warp roles in one hand-written GEMM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]
SOURCE = Path(__file__).with_name("hopper.cu").read_text()
SHARED = 3 * (128 + 64) * 64 * 2 + 128 * 64 * 4 + 1024


def run_gemm(
    ptx: str, m: int = 128, n: int = 64, k: int = 320, **options: object
) -> tuple[vm.Report, bool]:
    rng = np.random.default_rng()
    a, b = rng.integers(-8, 9, (m, k)), rng.integers(-8, 9, (n, k))
    bits = [(x.astype("f").view(np.uint32) >> 16).astype(np.uint16) for x in (a, b)]
    c = np.zeros((m, n), "f")
    maps = [
        vm.TensorMap(bits[0], (128, 64), swizzle=128),
        vm.TensorMap(bits[1], (64, 64), swizzle=128),
        vm.TensorMap(c, (128, 64)),
    ]
    grid = (-(-n // 64), -(-m // 128))
    report = vm.run(ptx, "gemm", grid, 288, [*maps, k], shared=SHARED, **options)
    return report, bool((c == a @ b.T).all())


@pytest.mark.parametrize("checks", ["off", "all", "late", "early"])
def test_warp_specialized_gemm(compile_ptx: Compile, checks: str) -> None:
    ptx = compile_ptx(SOURCE, "sm_90a")
    for m, n in ((128, 64), (200, 84)):
        report, right = run_gemm(ptx, m, n, checks=checks)
        assert right
        assert report.races == [] and report.warnings == []


def findings(ptx: str, **options: object) -> list[str]:
    """What a broken kernel is told: races, warnings, the fault."""
    try:
        report, _ = run_gemm(ptx, **options)
        return [str(found) for found in (*report.races, *report.warnings)]
    except vm.Fault as fault:
        return [str(fault), *(map(str, fault.report.races))]


@pytest.mark.parametrize(
    ("mark", "clues"),
    [
        ("EMPTY", ("wgmma.wait_group", "phase expects only 0 more")),
        ("FULL", ("mbarrier",)),
        ("MATRIX", ("wgmma.wait_group",)),
        ("FENCE", ("fence.proxy.async",)),
        ("NAMED", ("barrier",)),
    ],
)
def test_each_missing_synchronization_is_named(
    compile_ptx: Compile, mark: str, clues: tuple[str, ...]
) -> None:
    lines = [line for line in SOURCE.split("\n") if f"// {mark}" not in line]
    assert len(lines) == SOURCE.count("\n")
    found = findings(compile_ptx("\n".join(lines), "sm_90a"))
    assert any(clue in text for text in found for clue in clues), found


@pytest.mark.parametrize(
    ("old", "new", "clue"),
    [
        (
            "wait(full + 8 * s, i / STAGES & 1)",
            "wait(full + 8 * s, i / STAGES & 1 ^ 1)",
            "mbarrier",
        ),
        ("if (threadIdx.x % 128 == 0) arrive(empty + 8 * s);", "", "deadlock"),
        ("expect(full + 8 * s, STAGE_BYTES)", "expect(full + 8 * s, STAGE_BYTES + 16)", "deadlock"),
        ("expect(full + 8 * s, STAGE_BYTES)", "expect(full + 8 * s, STAGE_BYTES - 16)", "deadlock"),
        ("init(empty + 8 * s, 2)", "init(empty + 8 * s, 1)", "deadlock"),
        ("init(empty + 8 * s, 2)", "init(empty + 8 * s, 3)", "deadlock"),
        ("bar.sync 1, 256", "bar.sync 1, 288", "deadlock"),
    ],
)
def test_wrong_counts_and_phases_are_found(
    compile_ptx: Compile, old: str, new: str, clue: str
) -> None:
    assert old in SOURCE
    found = findings(compile_ptx(SOURCE.replace(old, new), "sm_90a"), k=512)
    assert any(clue in text for text in found), found
