"""The kernel of the language's first page: captured, verified, equal to NumPy on odd sizes."""

import time
from pathlib import Path

import numpy as np
import pytest

import tilewright as tw
from tilewright.ir.instructions.control import For, ForTiles
from tilewright.ir.types import bf16, f16, f32
from tilewright.tests.frontend.running import captured, poisoned, run, tensor


def matmul(
    a: tw.Tensor,
    b: tw.Tensor,
    c: tw.Tensor,
    *,
    bm: tw.Static = 128,
    bn: tw.Static = 128,
    bk: tw.Static = 64,
):
    """c[i, j] = sum_k a[i, k] * b[j, k]"""
    i, j = tw.grid(tw.cdiv(a.shape[0], bm), tw.cdiv(b.shape[0], bn))
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, a.shape[1], bk, stages=3):
        x = tw.load(a, (i * bm, k), (bm, bk))
        y = tw.load(b, (j * bn, k), (bn, bk))
        acc = tw.mma(x, y.T, acc)
    tw.store(c, (i * bm, j * bn), acc.cast(c.dtype))


@pytest.mark.parametrize(("m", "n", "k"), [(37, 21, 29), (1, 1, 1), (16, 32, 8), (5, 40, 64)])
@pytest.mark.parametrize("dtype", [f16, bf16, f32])
def test_it_multiplies(m, n, k, dtype):
    rng = np.random.default_rng([m, n, k])
    a, b = rng.integers(-8, 9, (m, k)), rng.integers(-8, 9, (n, k))
    found = run(matmul, a=(dtype, a), b=(dtype, b), c=(f32, poisoned(m, n)), bm=16, bn=32, bk=8)[
        "c"
    ]
    assert (found == a @ b.T).all()


def test_tiles_of_no_power_of_two_multiply():
    rng = np.random.default_rng(7)
    a, b = rng.integers(-8, 9, (23, 31)), rng.integers(-8, 9, (19, 31))
    found = run(matmul, a=(f16, a), b=(f16, b), c=(f16, poisoned(23, 19)), bm=12, bn=7, bk=5)["c"]
    assert (found == (a @ b.T).astype(np.float16)).all()


def test_defaults_of_statics_and_the_names_of_the_source_are_in_the_kernel():
    kernel = captured(matmul, a=tensor(f16, 2), b=tensor(f16, 2), c=tensor(f16, 2))
    (grid,) = (i for i in kernel.walk() if isinstance(i, ForTiles))
    (loop,) = (i for i in kernel.walk() if isinstance(i, For))
    assert [v.name for v in grid.body.args] == ["i", "j"]
    assert [v.name for v in loop.body.args] == ["k", "acc"]
    assert (loop.stages, loop.exactly, loop.results[0].type.shape) == (3, False, (128, 128))
    assert [p.name for p in kernel.params] == ["a", "b", "c"]
    assert [v.name for i in loop.body.instructions for v in i.results if v.name] == [
        "x",
        "y",
        "acc",
    ]


def test_only_what_the_host_computes_stands_ahead_of_the_grid():
    kernel = captured(matmul, a=tensor(f16, 2), b=tensor(f16, 2), c=tensor(f16, 2))
    ahead = {i.mnemonic for i in kernel.body.instructions[:-2]}
    assert ahead == {"extent", "const", "sub", "floordiv", "add"}


def test_every_instruction_knows_its_line():
    kernel = captured(matmul, a=tensor(f16, 2), b=tensor(f16, 2), c=tensor(f16, 2))
    lines = Path(__file__).read_text().splitlines()
    for item in kernel.walk():
        if item.mnemonic in ("load", "mma", "store", "transpose"):
            assert item.location.file == __file__
            text = lines[item.location.line - 1][item.location.column : item.location.end_column]
            assert text.startswith({"transpose": "y.T"}.get(item.mnemonic, f"tw.{item.mnemonic}"))


def test_capture_is_quick():
    # Not a measurement: a capture that became a hundred times slower fails here.
    arguments = {name: tensor(f16, 2) for name in "abc"}
    captured(matmul, **arguments)
    began = time.perf_counter()
    captured(matmul, **arguments)
    assert time.perf_counter() - began < 1.0
