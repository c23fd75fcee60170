"""Decode attention over pages, split along the keys, combined by whoever finishes last."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import f16, f32, i32
from tilewright.tests.paper.running import Paper, blank, check_defects, close, run, view

PAPER = Paper("paged_decode")
PAGE, DEPTH, GROUP, ROWS = 32, 32, 5, 64
SCALE = float(np.float32(np.log2(np.e) / np.sqrt(DEPTH)))


def operands(rng, lengths, heads=2):
    pages = -(-max(lengths) // PAGE) + 1
    total = len(lengths) * pages
    table = rng.permutation(total).reshape(len(lengths), pages)
    cache = (total, heads, PAGE, DEPTH)
    return {
        "q": view(rng.standard_normal((len(lengths), heads, GROUP, DEPTH)), f16),
        "keys": view(rng.standard_normal(cache), f16),
        "values": view(rng.standard_normal(cache), f16),
        "pages": view(table, i32),
        "lengths": view(lengths, i32),
    }


def launch(kernel, operands, splits, seed=None):
    batch, heads, group, _ = operands["q"].shape
    outputs = {
        "o": blank((batch, heads, group, DEPTH), f32),
        "part": blank((batch, heads, splits, ROWS, DEPTH), f32),
        "top": blank((batch, heads, splits, ROWS), f32),
        "total": blank((batch, heads, splits, ROWS), f32),
        "done": view(np.zeros((batch, heads)), i32),
    }
    run(kernel, operands | outputs | {"scale": SCALE, "splits": splits}, seed)
    return outputs["o"].values, outputs["done"].values


def exact(operands):
    """Attention in float64, and the same with the magnitudes of the values."""
    pages, lengths = operands["pages"].values, operands["lengths"].values
    results = []
    for values in (operands["values"].values, np.abs(operands["values"].values)):
        rows = []
        for b, length in enumerate(lengths):
            keys = operands["keys"].values[pages[b]].transpose(1, 0, 2, 3).reshape(2, -1, DEPTH)
            held = values[pages[b]].transpose(1, 0, 2, 3).reshape(2, -1, DEPTH)
            scores = operands["q"].values[b] @ keys[:, :length].transpose(0, 2, 1) * SCALE
            weights = np.exp2(scores - scores.max(-1, keepdims=True))
            rows.append(weights / weights.sum(-1, keepdims=True) @ held[:, :length])
        results.append(np.array(rows))
    return results


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("seed", [None, 3])
def test_equals_tile_form(rng, splits, seed):
    """Bit by bit; the second sequence has one page, so some splits have none."""
    args = operands(rng, (PAGE * 5 + 3, 9))
    tile, _ = launch(PAPER.kernel("tile"), args, splits)
    got, done = launch(PAPER.kernel("scheduled"), args, splits, seed)
    np.testing.assert_array_equal(got, tile)
    np.testing.assert_array_equal(done, 0)
    want, size = exact(args)
    close(tile, want, 1.01 * 2.0**-11 * size + 400 * 2.0**-24 * (size + np.abs(want)))


def test_planted_defects(rng):
    args = operands(rng, (PAGE * 5,))
    want, _ = launch(PAPER.kernel("tile"), args, 1)

    def execute(kernel, seed):
        np.testing.assert_array_equal(launch(kernel, args, 1, seed)[0], want)

    check_defects(PAPER, execute)
