"""Blocks that are contracted together: right at the edges of groups, and only where it is legal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tilewright as tw
from tilewright.tests.codegen.cpu.harness import ISAS, check_equal, memory, output, run_cpu
from tilewright.tests.codegen.cpu.test_products import matmul as product_text

SHAPES = [(513, 700, 65), (66, 1030, 131), (40, 300, 7)]


@tw.kernel
def plain(
    x: tw.Tensor, y: tw.Tensor, out: tw.Tensor, *, bm: tw.Static = 128, bn: tw.Static = 128
) -> None:
    """out = x · yᵀ"""
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(y.shape[0], bn))
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, x.shape[1], 64):
        a = tw.load(x, (i * bm, k), (bm, 64))
        b = tw.load(y, (j * bn, k), (bn, 64))
        acc = tw.mma(a, b.T, acc)
    tw.store(out, (i * bm, j * bn), acc.cast(out.dtype))


@tw.kernel
def turned(x: tw.Tensor, y: tw.Tensor, out: tw.Tensor) -> None:
    """The same with the columns of blocks along the grid's first axis."""
    j, i = tw.grid(tw.cdiv(y.shape[0], 64), tw.cdiv(x.shape[0], 96))
    acc = tw.zeros((96, 64), tw.f32)
    for k in tw.range(0, x.shape[1], 64):
        acc = tw.mma(tw.load(x, (i * 96, k), (96, 64)), tw.load(y, (j * 64, k), (64, 64)).T, acc)
    tw.store(out, (i * 96, j * 64), acc)


@tw.kernel
def largest(x: tw.Tensor, y: tw.Tensor, out: tw.Tensor) -> None:
    """out[j, i] = max of block j's columns of row i of |x · yᵀ|: reads what lies outside y."""
    i, j = tw.grid(tw.cdiv(x.shape[0], 64), tw.cdiv(y.shape[0], 64))
    acc = tw.zeros((64, 64), tw.f32)
    for k in tw.range(0, x.shape[1], 64):
        acc = tw.mma(tw.load(x, (i * 64, k), (64, 64)), tw.load(y, (j * 64, k), (64, 64)).T, acc)
    tw.store(out, (j, i * 64), tw.max(acc, axis=1, keep=True).T)


@tw.kernel
def lower(x: tw.Tensor, y: tw.Tensor, out: tw.Tensor) -> None:
    """Block (i, j) contracts the first (i + 1) · 64 columns only: not the same k for a group."""
    i, j = tw.grid(tw.cdiv(x.shape[0], 64), tw.cdiv(y.shape[0], 64))
    acc = tw.zeros((64, 64), tw.f32)
    for k in tw.range(0, i * 64 + 64, 64):
        acc = tw.mma(tw.load(x, (i * 64, k), (64, 64)), tw.load(y, (j * 64, k), (64, 64)).T, acc)
    tw.store(out, (i * 64, j * 64), acc)


@tw.kernel
def shifted(x: tw.Tensor, y: tw.Tensor, out: tw.Tensor) -> None:
    """Blocks whose rows of x overlap: from i · 32, 64 rows, next to each other in out."""
    i, j = tw.grid(tw.cdiv(x.shape[0], 32), tw.cdiv(y.shape[0], 64))
    acc = tw.zeros((64, 64), tw.f32)
    for k in tw.range(0, x.shape[1], 64):
        acc = tw.mma(tw.load(x, (i * 32, k), (64, 64)), tw.load(y, (j * 64, k), (64, 64)).T, acc)
    tw.store(out, (i * 64, j * 64), acc)


def is_grouped(kernel: Any, *args: torch.Tensor) -> bool:
    """Whether the text contracts groups."""
    return "tw::contract_group<" in kernel.inspect(*args, stage="cpp", target="cpu")


def operands(m: int, n: int, k: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(rows, k).to(dtype) for rows in (m, n))  # type: ignore[return-value]


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    norm = expected.norm().item()
    return (found.double() - expected).norm().item() / norm if norm else found.norm().item()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "tile"),
    [
        (torch.float32, (128, 128)),
        (torch.float32, (512, 40)),
        (torch.bfloat16, (96, 80)),
        (torch.float16, (64, 128)),
    ],
)
def test_groups_are_right_at_their_edges(
    shape: tuple[int, int, int], dtype: torch.dtype, tile: tuple[int, int]
) -> None:
    m, n, k = shape
    x, y = operands(m, n, k, dtype)
    out = torch.full((m, n), float("nan"))
    bm, bn = tile
    plain(x, y, out, bm=bm, bn=bn)
    assert is_grouped(plain, x, y, out)
    assert distance(out, x.double() @ y.double().T) <= (6 * k + 8) ** 0.5 * 2**-24


@pytest.mark.parametrize("threads", [1, 2])
def test_either_order_of_the_grid_and_strided_operands(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        x, y = torch.randn(150, 611).T, torch.randn(2 * 530, 300)[::2, ::2]
        out = torch.full((611, 530), float("nan"))
        assert is_grouped(turned, x, y, out)
        turned(x, y, out)
        assert distance(out, x.double() @ y.double().T) <= (6 * 150 + 8) ** 0.5 * 2**-24
    finally:
        torch.set_num_threads(before)


def test_what_lies_outside_the_product_is_zero_in_a_block() -> None:
    x, y = operands(200, 70, 33, torch.float32)
    out = torch.full((2, 200), float("nan"))
    for sign in (1, -1):
        product = sign * (x.abs().double() @ y.abs().double().T)
        largest(sign * x.abs(), y.abs(), out)
        padded = torch.nn.functional.pad(product, (0, 128 - 70))
        expected = padded.view(200, 2, 64).amax(2).T
        assert distance(out, expected) <= (6 * 33 + 8) * 2**-24


def test_infinities_and_subnormals_meet_the_careful_path_of_a_group() -> None:
    x, y = operands(300, 290, 100, torch.float32)
    x[7, 3], y[5] = 1e-41, 0.0
    x[250, 99] = float("inf")
    out = torch.full((300, 290), -1.0)
    plain(x, y, out)
    expected = x.double() @ y.double().T
    assert torch.equal(out.isnan(), expected.isnan())
    assert torch.equal(out.isinf(), expected.isinf())
    finite = expected.isfinite()
    assert distance(out[finite], expected[finite]) <= 108**0.5 * 2**-24


def test_a_second_launch_does_not_find_the_sums_of_the_first() -> None:
    x, y = operands(140, 200, 64, torch.float32)
    out = torch.full((140, 200), float("nan"))
    plain(x, y, out)
    x.mul_(2.0)
    plain(x, y, out)
    assert distance(out, x.double() @ y.double().T) <= 392**0.5 * 2**-24


@pytest.mark.parametrize("kernel", [lower, shifted])
def test_blocks_that_do_not_share_a_sum_are_not_grouped(kernel: Any) -> None:
    x, y = operands(200, 130, 200, torch.float32)
    out = torch.full((200 if kernel is lower else 448, 130), float("nan"))
    assert not is_grouped(kernel, x, y, out)
    kernel(x, y, out)
    product = expected = x.double() @ y.double().T
    if kernel is shifted:
        padded = torch.nn.functional.pad(product, (0, 0, 0, 56))
        expected = torch.cat([padded[top : top + 64] for top in range(0, 200, 32)])
    else:
        for top in range(0, 200, 64):
            rows, cut = slice(top, top + 64), min(200, top + 64)
            expected[rows] = x[rows, :cut].double() @ y[:, :cut].double().T
    assert distance(out, expected) <= (6 * 200 + 8) ** 0.5 * 2**-24


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_contracts_groups(isa: str) -> None:
    rng = np.random.default_rng()
    text = product_text("f32", "f32", (64, 32, 16))
    m, n, k = 140, 75, 50
    x, y = rng.integers(-8, 8, (m, k)), rng.integers(-8, 8, (n, k))
    args = [memory(x, "f32"), memory(y, "f32"), output((m, n), "f32")]
    check_equal(text, args, isa)
    assert run_cpu(text, args, isa, threads=1) is None
    np.testing.assert_array_equal(args[2].values(), x @ y.T)
