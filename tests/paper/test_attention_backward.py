"""Attention backward: dq is added to global memory by a store role."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import f16, f32
from tilewright.tests.paper.running import Paper, blank, check_defects, close, run, view

PAPER = Paper("attention_backward")
HEADS, DEPTH = 2, 64
SCALE = float(np.float32(1 / np.sqrt(DEPTH)))
SCALE_LOG2 = float(np.float32(np.log2(np.e) / np.sqrt(DEPTH)))


def operands(rng, queries, keys, heads=HEADS):
    q, do = (rng.standard_normal((heads, queries, DEPTH)) for _ in range(2))
    k, v = (rng.standard_normal((heads, keys, DEPTH)) for _ in range(2))
    args = {n: view(x, f16) for n, x in {"q": q, "k": k, "v": v, "do": do}.items()}
    scores = args["q"].values @ args["k"].values.transpose(0, 2, 1) * SCALE_LOG2
    lse = np.log2(np.exp2(scores).sum(-1))
    o = np.exp2(scores - lse[..., None]) @ args["v"].values
    return args | {"lse": view(lse, f32), "delta": view((o * args["do"].values).sum(-1), f32)}


def launch(kernel, args, seed=None):
    outputs = {
        "dq": view(np.zeros(args["q"].shape), f32),
        "dk": blank(args["k"].shape, f16),
        "dv": blank(args["v"].shape, f16),
    }
    run(kernel, args | outputs | {"scale": SCALE, "scale_log2": SCALE_LOG2}, seed)
    return [outputs[n].values for n in ("dq", "dk", "dv")]


def exact(args):
    """The gradients in float64, each with the sum of the magnitudes that it adds up."""
    q, k, v, do = (args[n].values for n in ("q", "k", "v", "do"))
    p = np.exp2(q @ k.transpose(0, 2, 1) * SCALE_LOG2 - args["lse"].values[..., None])
    dp = do @ v.transpose(0, 2, 1)
    ds = p * (dp - args["delta"].values[..., None])
    turned = [x.transpose(0, 2, 1) for x in (p, ds)]
    size = np.abs(ds)
    return (
        (SCALE * ds @ k, SCALE * size @ np.abs(k)),
        (SCALE * turned[1] @ q, SCALE * size.transpose(0, 2, 1) @ np.abs(q)),
        (turned[0] @ do, turned[0] @ np.abs(do)),
    )


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize(("queries", "keys"), [(32 * 4 + 7, 64 + 11), (10, 64)])
def test_equals_tile_form(rng, queries, keys, seed):
    """Bit by bit: the two blocks of keys add to dq in either order, which is exact for two."""
    args = operands(rng, queries, keys)
    tile = launch(PAPER.kernel("tile"), args)
    for got, want in zip(launch(PAPER.kernel("scheduled"), args, seed), tile, strict=True):
        np.testing.assert_array_equal(got, want)


def test_equals_the_gradient(rng):
    args = operands(rng, 70, 90)
    for got, (want, size) in zip(launch(PAPER.kernel("tile"), args), exact(args), strict=True):
        rounding = 2.0**-11 * (size + np.abs(want))  # of p or ds to f16, and of the result
        close(got, want, 1.05 * rounding + 500 * 2.0**-24 * (size + 1))


def test_planted_defects(rng):
    args = operands(rng, 32 * 5, 64, heads=1)
    want = launch(PAPER.kernel("tile"), args)

    def execute(kernel, seed):
        for got, expected in zip(launch(kernel, args, seed), want, strict=True):
            np.testing.assert_array_equal(got, expected)

    check_defects(PAPER, execute)
