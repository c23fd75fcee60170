"""dW: a contraction over the rows of each group, of any number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tilewright.ir.types import f16, f32, i32
from tilewright.tests.paper.running import Paper, blank, check_defects, close, run, view

PAPER = Paper("weight_gradient")


def operands(rng, sizes, width=70, depth=40, integers=True):
    draw = (lambda *s: rng.integers(-3, 4, s)) if integers else (lambda *s: rng.standard_normal(s))
    x, dy = draw(19, depth), draw(sum(sizes), width)
    return view(x, f16), view(dy, f16), rng.integers(0, 19, sum(sizes)), sizes


def launch(kernel, x, dy, tokens, sizes, seed=None):
    dw = blank((len(sizes), dy.shape[1], x.shape[1]), f32)
    offsets = view(np.cumsum([0, *sizes]), i32)
    args = {"x": x, "dy": dy, "dw": dw, "tokens": view(tokens, i32), "offsets": offsets}
    run(kernel, args, seed)
    return dw.values


def exact(x, dy, tokens, sizes):
    ends = np.cumsum([0, *sizes])
    parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
    held = x.values[tokens]
    return (
        np.stack([dy.values[p].T @ held[p] for p in parts]),
        np.stack([np.abs(dy.values[p]).T @ np.abs(held[p]) for p in parts]),
    )


@pytest.mark.parametrize("sizes", [(0,), (31, 0, 1), (32 * 5, 33)])
def test_equals_tile_form(rng, sizes):
    args = operands(rng, sizes)
    tile = launch(PAPER.kernel("tile"), *args)
    np.testing.assert_array_equal(tile, exact(*args)[0])
    np.testing.assert_array_equal(launch(PAPER.kernel("scheduled"), *args), tile)


def test_random(rng):
    args = operands(rng, (100, 7), integers=False)
    want, size = exact(*args)
    close(launch(PAPER.kernel("scheduled"), *args), want, 100 * 2.0**-24 * size)


def test_planted_defects(rng):
    args = operands(rng, (32 * 5,), width=64, depth=32)
    want = exact(*args)[0]

    def execute(kernel, seed):
        np.testing.assert_array_equal(launch(kernel, *args, seed), want)

    check_defects(PAPER, execute)
