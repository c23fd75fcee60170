"""GEMM by resident blocks that draw tiles from an atomic counter."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import f16, i32
from tilewright.tests.paper.running import Paper, blank, check_defects, close, run, view

PAPER = Paper("persistent_gemm")
SHAPE = (128 + 37, 64 + 24, 32 * 3 + 16)


def operands(rng, integers):
    m, n, k = SHAPE
    if integers:
        return rng.integers(-3, 4, (m, k)), rng.integers(-3, 4, (n, k))
    return rng.standard_normal((m, k)), rng.standard_normal((n, k))


def launch(kernel, a, b, blocks=None, seed=None):
    c = blank((a.shape[0], b.shape[0]), f16)
    args = {"a": a, "b": b, "c": c}
    if blocks:
        args |= {"counter": view([0], i32), "blocks": blocks}
    run(kernel, args, seed)
    return c.values


@pytest.mark.parametrize("blocks", [1, 3])
def test_equals_tile_form_on_integers(rng, blocks):
    a, b = (view(x, f16) for x in operands(rng, integers=True))
    tile = launch(PAPER.kernel("tile"), a, b)
    np.testing.assert_array_equal(launch(PAPER.kernel("scheduled"), a, b, blocks), tile)
    np.testing.assert_array_equal(tile, a.values @ b.values.T)


def test_random(rng):
    a, b = (view(x, f16) for x in operands(rng, integers=False))
    got = launch(PAPER.kernel("scheduled"), a, b, 2)
    want = a.values @ b.values.T
    size = np.abs(a.values) @ np.abs(b.values).T
    close(got, want, 2.0**-11 * np.abs(want) + SHAPE[2] * 2.0**-24 * size + 2.0**-24)


def test_counter_ends_past_the_tiles(rng):
    """Every block draws one number too many; none is skipped."""
    a, b = (view(x, f16) for x in operands(rng, integers=True))
    counter = view([0], i32)
    args = {"a": a, "b": b, "c": blank((a.shape[0], b.shape[0]), f16)}
    run(PAPER.kernel("scheduled"), args | {"counter": counter, "blocks": 3})
    assert counter.values[0] == 4 + 3


def test_planted_defects(rng):
    a, b = (view(x, f16) for x in operands(rng, integers=True))
    short = view(a.values[:, :32], f16), view(b.values[:, :32], f16)  # one block of k a tile

    def execute(kernel, seed):
        found = [launch(kernel, *pair, 1, seed) for pair in (short, (a, b))]
        for got, (x, y) in zip(found, (short, (a, b)), strict=True):
            np.testing.assert_array_equal(got, x.values @ y.values.T)

    check_defects(PAPER, execute)
