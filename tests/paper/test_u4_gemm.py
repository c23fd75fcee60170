"""GEMM with weights of 4 bits: packed bytes, a view, a cast, and the A operand in registers."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.instructions.matmul import MmaAsync
from tilewright.ir.instructions.shape import View
from tilewright.ir.types import f16, u4, u8
from tilewright.ir.values import TileType, Value, tile_type
from tilewright.tests.paper.running import Paper, blank, check_defects, close, run, view

PAPER = Paper("u4_gemm")
GROUP, UNIT = 64, 64


def pack(kernel, codes):
    """The device order: unit (n, g) as the bytes that `kernel` views as the fragment."""
    views = {(i.operand.type, i.layout) for i in kernel.walk() if isinstance(i, View)}
    ((stored, layout),) = views
    back = View(operand=Value(TileType((UNIT, GROUP), u4, layout)), dtype=u8, layout=stored.layout)
    back.check()
    rows, columns = codes.shape[0] // UNIT, codes.shape[1] // GROUP
    units = codes.reshape(rows, UNIT, columns, GROUP).transpose(0, 2, 1, 3)
    return np.array([[back.meaning(unit) for unit in row] for row in units])


def operands(rng, tokens, rows, groups, integers=True):
    codes = rng.integers(0, 16, (rows, groups * GROUP))
    if integers:
        scales = 2.0 ** rng.integers(-1, 2, (groups, rows))
        return codes, scales, rng.integers(-1, 2, (tokens, groups * GROUP))
    x = rng.standard_normal((tokens, groups * GROUP))
    return codes, rng.uniform(0.01, 0.1, (groups, rows)), x


def launch(form, codes, scales, x, seed=None, kernel=None):
    kernel = kernel or PAPER.kernel(form)
    w = view(codes, u4) if form == "tile" else view(pack(kernel, codes), u8)
    y = blank((x.shape[0], codes.shape[0]), f16)
    run(kernel, {"w": w, "scales": view(scales, f16), "x": view(x, f16), "y": y}, seed)
    return y.values


def exact(codes, scales, x):
    weights = (codes - 8) * np.repeat(view(scales, f16).values, GROUP, axis=0).T
    held = view(x, f16).values
    return held @ weights.T, np.abs(held) @ np.abs(weights).T


@pytest.mark.parametrize("groups", [1, 2, 5, 6])
def test_equals_tile_form(rng, groups):
    """Bit by bit, also on random data: groups are summed and scaled in the same order."""
    for integers in (True, False):
        args = operands(rng, 32 + 9, 2 * UNIT, groups, integers)
        tile = launch("tile", *args)
        np.testing.assert_array_equal(launch("scheduled", *args), tile)
        want, size = exact(*args)
        close(tile, want, 2.0**-11 * np.abs(want) + GROUP * groups * 2.0**-24 * size + 2.0**-24)


def test_fragment_is_the_operand_of_the_instruction():
    """x of every product is a tile in registers, whose lanes hold pairs along k."""
    products = [i for i in PAPER.kernel("scheduled").walk() if isinstance(i, MmaAsync)]
    assert len(products) == 4
    for product in products:
        layout = tile_type(product.x).layout
        table = layout.table()  # [warp, lane, reg, coordinate]
        np.testing.assert_array_equal(table[1, 5, :2], [(16 + 1, 2), (16 + 1, 3)])
        assert table.shape == (4, 32, 32, 2)


def test_two_fragments_alternate():
    """In the loop the product of one group is issued before that of the other is waited for."""
    (loop,) = (
        i
        for i in PAPER.kernel("scheduled").walk()
        if i.name == "for" and any(isinstance(j, MmaAsync) for j in i.body.instructions)
    )
    names = [i.name for i in loop.body.instructions if i.name in ("mma.async", "wait")]
    assert names == ["mma.async", "wait"] * 2
    assert [v.type for v in loop.init].count(loop.init[1].type) == 1, "one product is carried"


def test_planted_defects(rng):
    cases = [operands(rng, 20, UNIT, groups) for groups in (5, 6)]

    def execute(kernel, seed):
        found = [launch("scheduled", *args, seed, kernel) for args in cases]
        for got, args in zip(found, cases, strict=True):
            np.testing.assert_array_equal(got, exact(*args)[0])

    check_defects(PAPER, execute)
