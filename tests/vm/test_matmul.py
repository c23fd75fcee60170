"""A pipelined matmul written by hand: results, and that every synchronizing instruction matters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tilewright.runtime import vm

SHARED = 3 * (64 + 64) * 32 * 2


def to_bf16(x: np.ndarray) -> np.ndarray:
    """Small integers are exact in bf16."""
    return (x.astype("f").view(np.uint32) >> 16).astype(np.uint16)


def operands(m: int, n: int, k: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng()
    a, b = rng.integers(-8, 9, (m, k)), rng.integers(-8, 9, (n, k))
    return to_bf16(a), to_bf16(b), np.full((m, n), np.nan, "f"), (a @ b.T).astype("f")


@pytest.mark.parametrize("checks", ["off", "all", "late", "early"])
def test_pipelined_matmul_is_exact_on_small_integers(
    compile_ptx: Callable[..., str], matmul_source: str, checks: str
) -> None:
    ptx = compile_ptx(matmul_source)
    for m, n, k in ((64, 64, 32), (100, 72, 200), (1, 65, 8)):
        a, b, c, want = operands(m, n, k)
        grid = (-(-n // 64), -(-m // 64))
        vm.run(ptx, "matmul", grid, 256, [a, b, c, m, n, k], shared=SHARED, checks=checks)
        np.testing.assert_array_equal(c, want)
