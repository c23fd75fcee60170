"""Shapes and layouts: transpose, reshape, slice, broadcast, converts between any layouts."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import f32, parse_dtype
from tilewright.tests.codegen.cuda.harness import Tensor, run_both, tensor_text


def kernel(have: tuple[int, ...], want: tuple[int, ...], lines: str, name: str = "f32") -> str:
    """Loads %t of shape `have`, runs `lines` (which define %r of shape `want`), stores %r."""
    params = ", ".join(
        tensor_text(n, name, (*("any",) * (len(s) - 1), "1")) for n, s in (("x", have), ("y", want))
    )
    zeros = [", ".join(["%zero"] * len(s)) for s in (have, want)]
    return f"""kernel @shapes({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %t: tile<{list(have)}, {name}> = load %x, [{zeros[0]}], shape={list(have)}
{lines}
    store %y, [{zeros[1]}], %r
    yield []
  }}
  yield []
}}
"""


def check(
    have: tuple[int, ...],
    want: tuple[int, ...],
    lines: str,
    rng: np.random.Generator,
    **options: int,
) -> None:
    x, y = Tensor(f32, rng.integers(-99, 99, have)), Tensor(f32, np.full(want, np.nan))
    run_both(kernel(have, want, lines), [x, y], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("warps", [1, 4])
def test_transpose(warps: int, rng: np.random.Generator) -> None:
    for m, n in ((4, 8), (64, 48), (5, 33)):
        lines = f"    %r: tile<[{n}, {m}], f32> = transpose %t, axes=[1, 0]"
        check((m, n), (n, m), lines, rng, warps=warps)


def test_transpose_added_to_itself(rng: np.random.Generator) -> None:
    """A tile and its transpose cannot have one layout: a convert stands between them."""
    lines = """    %u: tile<[40, 40], f32> = transpose %t, axes=[1, 0]
    %r: tile<[40, 40], f32> = sub %t, %u"""
    check((40, 40), (40, 40), lines, rng)


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ((8, 16), (128,)),
        ((128,), (4, 32)),
        ((6, 35), (10, 21)),
        ((7, 1, 9), (7, 9)),
        ((30,), (1, 30, 1)),
        ((4, 6, 8), (24, 8)),
        ((3, 5), (5, 3)),
    ],
)
def test_reshape(have: tuple[int, ...], want: tuple[int, ...], rng: np.random.Generator) -> None:
    check(have, want, f"    %r: tile<{list(want)}, f32> = reshape %t, shape={list(want)}", rng)


@pytest.mark.parametrize(
    ("have", "start", "shape"),
    [
        ((8, 64), (0, 32), (8, 32)),
        ((16, 20), (3, 5), (7, 11)),
        ((100,), (13,), (50,)),
        ((4, 4), (2, 0), (1, 4)),
    ],
)
def test_slice(
    have: tuple[int, ...], start: tuple[int, ...], shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    lines = f"    %r: tile<{list(shape)}, f32> = slice %t, start={list(start)}, shape={list(shape)}"
    check(have, shape, lines, rng)


def test_broadcast_along_each_axis(rng: np.random.Generator) -> None:
    for have, want in (((1, 24), (9, 24)), ((17, 1), (17, 40)), ((1, 1), (5, 6)), ((1,), (100,))):
        lines = f"    %r: tile<{list(want)}, f32> = broadcast %t, shape={list(want)}"
        check(have, want, lines, rng)


def test_outer_sum_of_a_row_and_a_column(rng: np.random.Generator) -> None:
    lines = """    %c: tile<[20, 1], f32> = sum %t, axis=1
    %w: tile<[1, 30], f32> = sum %t, axis=0
    %cb: tile<[20, 30], f32> = broadcast %c, shape=[20, 30]
    %wb: tile<[20, 30], f32> = broadcast %w, shape=[20, 30]
    %s: tile<[20, 30], f32> = mul %cb, %wb
    %r: tile<[20, 30], f32> = sub %s, %t"""
    check((20, 30), (20, 30), lines, rng)


def test_arange_and_items(rng: np.random.Generator) -> None:
    lines = """    %one: f32 = const value=1.0, dtype=f32
    %n: tile<[45], f32> = arange %one, size=45
    %s: tile<[1], f32> = sum %t, axis=0
    %i: f32 = item %s
    %j: f32 = neg %i
    %b: tile<[45], f32> = full %j, shape=[45]
    %p: tile<[45], f32> = mul %n, %b
    %r: tile<[45], f32> = add %p, %t"""
    check((45,), (45,), lines, rng)


LAYOUTS = {
    "rows": "[16, 32]{4:1@warp 4:1@reg, 32:1@lane}",
    "columns": "[16, 32]{16:1@reg, 4:1@warp 8:1@lane | copies 4:8@lane}",
    "vectors": "[16, 32]{4:1@warp 4:8@lane, 8:1@lane 4:1@reg}",
    "fragment": "[16, 32]{2:2@reg 8:4@lane, 4:4@reg 4:1@lane 2:1@reg | copies 4:1@warp}",
    "turned": "[16, 32]{4:1@warp 4:1@reg, 16:2@lane 2:1@lane}",
    "odd lanes": "[16, 32]{4:1@warp 4:2@reg, 2:1@reg 16:1@lane | copies 2:16@lane}",
}


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("target", LAYOUTS)
@pytest.mark.parametrize("name", ["f32", "u8", "f16", "f64"])
def test_converts_between_layouts(
    source: str, target: str, name: str, rng: np.random.Generator
) -> None:
    if source == target or (name in ("f16", "f64") and "fragment" not in (source, target)):
        return
    text = kernel((16, 32), (16, 32), "%s", name)
    body = f"""    %c: tile<[16, 32], {name}, #0> = convert %t, layout=#0
    %r: tile<[16, 32], {name}, #1> = convert %c, layout=#1"""
    head = f"layout #0 = {LAYOUTS[source]}\nlayout #1 = {LAYOUTS[target]}\n"
    dtype = parse_dtype(name)
    x, y = Tensor(dtype, rng.integers(0, 99, (16, 32))), Tensor(dtype, np.zeros((16, 32)))
    run_both(head + text.replace("%s", body).replace("phase=tile", "phase=laid_out"), [x, y])
