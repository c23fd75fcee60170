"""Grouped GEMM: rows gathered by index, groups of any size, ragged tails."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import f16, i32
from tilewright.tests.paper.running import Paper, blank, check_defects, close, run, view

PAPER = Paper("grouped_gemm")
ROWS = 64


def schedule(sizes):
    """(offsets, tile_group, tile_row) of groups of `sizes` rows."""
    tiles = [(e, row) for e, size in enumerate(sizes) for row in range(0, size, ROWS)]
    return np.cumsum([0, *sizes]), np.array(tiles).reshape(-1, 2)


def operands(rng, sizes, depth, width, integers=True):
    draw = (lambda *s: rng.integers(-3, 4, s)) if integers else (lambda *s: rng.standard_normal(s))
    x, w = draw(23, depth), draw(len(sizes), width, depth)
    return view(x, f16), view(w, f16), rng.integers(0, 23, sum(sizes)), sizes


def launch(kernel, x, w, tokens, sizes, seed=None):
    offsets, tiles = schedule(sizes)
    y = blank((len(tokens), w.shape[1]), f16)
    index = {
        "tokens": tokens, "offsets": offsets, "tile_group": tiles[:, 0], "tile_row": tiles[:, 1]
    }  # fmt: skip
    run(kernel, {"x": x, "w": w, "y": y} | {k: view(v, i32) for k, v in index.items()}, seed)
    return y.values


def exact(x, w, tokens, sizes):
    group = np.repeat(np.arange(len(sizes)), sizes)
    held = x.values[tokens]
    return (
        np.einsum("rk,rnk->rn", held, w.values[group]),
        np.einsum("rk,rnk->rn", np.abs(held), np.abs(w.values[group])),
    )


@pytest.mark.parametrize("sizes", [(5,), (64, 0, 70), (1, 63, 0, 0, 65)])
def test_equals_tile_form(rng, sizes):
    for integers in (True, False):
        args = operands(rng, sizes, 32 * 4 + 8, 32 + 7, integers)
        tile = launch(PAPER.kernel("tile"), *args)
        np.testing.assert_array_equal(launch(PAPER.kernel("scheduled"), *args), tile)
        want, size = exact(*args)
        close(tile, want, 2.0**-11 * np.abs(want) + 136 * 2.0**-24 * size + 2.0**-24)


def test_neighbours_of_a_group_are_not_written(rng):
    """A tile reaches beyond its group's end; the rows there belong to the next group."""
    x, w, tokens, sizes = operands(rng, (10, 20), 32, 32)
    for form in ("tile", "scheduled"):
        kernel = PAPER.kernel(form)
        offsets, tiles = schedule(sizes)
        y = blank((30, 32), f16)
        index = {"tokens": tokens, "offsets": offsets, "tile_group": [0], "tile_row": [0]}
        run(kernel, {"x": x, "w": w, "y": y} | {k: view(v, i32) for k, v in index.items()})
        assert np.isnan(y.values[10:]).all()
        assert not np.isnan(y.values[:10]).any()
        assert len(tiles) == 2


def test_planted_defects(rng):
    args = operands(rng, (70,), 32 * 7, 32)
    want = exact(*args)[0]

    def execute(kernel, seed):
        np.testing.assert_array_equal(launch(kernel, *args, seed), want)

    check_defects(PAPER, execute)
