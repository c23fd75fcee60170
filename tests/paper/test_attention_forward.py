"""Attention forward: ping-pong math roles, S of the next block issued before P . V of this one."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.instructions.matmul import MmaAsync
from tilewright.ir.instructions.sync import Wait
from tilewright.ir.types import f16, f32
from tilewright.tests.paper.running import Paper, blank, check_defects, close, run, view

PAPER = Paper("attention_forward")
HEADS, DEPTH = 2, 32
SCALE = float(np.float32(np.log2(np.e) / np.sqrt(DEPTH)))
IMPLIED = (
    # the turn of math1 begins when math0 has waited for the same stage and issued its products
    "math1: without barrier.wait %k_full*",
    "math1: without barrier.wait %v_full, %140*",
)


def operands(rng, queries, keys):
    shapes = ((HEADS, queries, DEPTH), (HEADS, keys, DEPTH), (HEADS, keys, DEPTH))
    return [view(rng.standard_normal(shape), f16) for shape in shapes]


def launch(kernel, q, k, v, seed=None):
    o, lse = blank(q.shape, f16), blank(q.shape[:2], f32)
    run(kernel, {"q": q, "k": k, "v": v, "o": o, "lse": lse, "scale": SCALE}, seed)
    return o.values, lse.values


def reference(q, k, v):
    """Softmax weights, and the base-2 logarithm of their sums, in float64."""
    scores = np.einsum("hqd,hkd->hqk", q.values, k.values) * SCALE
    top = scores.max(-1, keepdims=True)
    weights = np.exp2(scores - top)
    total = weights.sum(-1, keepdims=True)
    return weights / total, (top + np.log2(total))[..., 0], np.abs(scores).max()


@pytest.mark.parametrize("keys", [20, 32 * 2, 32 * 4 + 5])
@pytest.mark.parametrize("seed", [None, 1])
def test_equals_tile_form(rng, keys, seed):
    """Bit by bit: both forms do the same operations of each row in the same order."""
    args = operands(rng, 128 + 19, keys)
    tile = launch(PAPER.kernel("tile"), *args)
    for got, want in zip(launch(PAPER.kernel("scheduled"), *args, seed), tile, strict=True):
        np.testing.assert_array_equal(got, want)


def test_equals_softmax(rng):
    q, k, v = operands(rng, 70, 75)
    o, lse = launch(PAPER.kernel("tile"), q, k, v)
    weights, logarithm, top = reference(q, k, v)
    want = weights @ v.values
    rounding = 2.0**-11 * (weights @ np.abs(v.values) + np.abs(want))  # of the weights, of o
    sums = (DEPTH + 75) * 2.0**-24 * (1 + top)
    close(o, want, 1.01 * rounding + sums * np.abs(v.values).max() + 2.0**-24)
    close(lse, logarithm, 4 * sums)


def test_scores_are_issued_before_the_last_context():
    """In the loop of a math role two products are in flight before the first wait."""
    loops = [item for item in PAPER.kernel("scheduled").walk() if item.name == "for"]
    math = [loop for loop in loops if any(isinstance(i, MmaAsync) for i in loop.body.instructions)]
    assert len(math) == 2
    for loop in math:
        kinds = [type(i) for i in loop.body.instructions if isinstance(i, (MmaAsync, Wait))]
        assert kinds == [MmaAsync, MmaAsync, Wait, Wait]


def test_planted_defects(rng):
    args = operands(rng, 128, 32 * 4)
    want = launch(PAPER.kernel("tile"), *args)

    def execute(kernel, seed):
        for got, expected in zip(launch(kernel, *args, seed), want, strict=True):
            np.testing.assert_array_equal(got, expected)

    check_defects(PAPER, execute, IMPLIED)
