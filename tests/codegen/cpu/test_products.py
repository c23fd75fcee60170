# ruff: noqa: E501 (lines of IR text)
"""Matrix products on the cpu target: every operand type, transposes, edges, chains of products.

Small integers make every order of summation exact, so both sides agree bit for bit; on random data
the bound is that of a sum of k rounded products.
"""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.tests.codegen.cpu.harness import ISAS, check_equal, memory, output, run_cpu


def matmul(
    dtype: str,
    acc: str,
    tile: tuple[int, int, int],
    *,
    strides: tuple[str, str] = ("any, 1", "any, 1"),
    turned: tuple[bool, bool] = (False, True),
    more: str = "",
) -> str:
    """c = a · b with a given as (m, k) or (k, m) and b as (k, n) or (n, k)."""
    m, n, k = tile
    a_axes, b_axes = (
        ("k", "i") if turned[0] else ("i", "k"),
        ("j", "k") if turned[1] else ("k", "j"),
    )
    sizes = {"i": m, "j": n, "k": k}
    offsets = {"i": "%im", "j": "%jn", "k": "%kk"}

    def operand(name: str, axes: tuple[str, str], turn: bool) -> str:
        shape = [sizes[a] for a in axes]
        at = ", ".join(offsets[a] for a in axes)
        kind = f"tile<[{shape[0]}, {shape[1]}], {dtype}>"
        text = f"      %{name}0: {kind} = load %{name}, [{at}], shape=[{shape[0]}, {shape[1]}]\n"
        if turn:
            text += (
                f"      %{name}1: tile<[{shape[1]}, {shape[0]}], {dtype}> = "
                f"transpose %{name}0, axes=[1, 0]\n"
            )
        return text

    kind = "tensor<{}, strides=[{}], extents=[any, any]>"
    a, b = kind.format(dtype, strides[0]), kind.format(dtype, strides[1])
    c = kind.format(acc, "any, 1")
    one = "%one: i32 = const value=1, dtype=i32"
    return f"""
kernel @matmul(%a: {a}, %b: {b}, %c: {c}), phase=tile {{
  {one}
  %zero: i32 = const value=0, dtype=i32
  %bm: i32 = const value={m}, dtype=i32
  %bn: i32 = const value={n}, dtype=i32
  %bk: i32 = const value={k}, dtype=i32
  %m: i32 = extent %c, axis=0, dtype=i32
  %n: i32 = extent %c, axis=1, dtype=i32
  %k: i32 = extent %a, axis={0 if turned[0] else 1}, dtype=i32
  %m1: i32 = add %m, %bm
  %m2: i32 = sub %m1, %one
  %gm: i32 = floordiv %m2, %bm
  %n1: i32 = add %n, %bn
  %n2: i32 = sub %n1, %one
  %gn: i32 = floordiv %n2, %bn
  for_tiles [%gm, %gn] (%i: i32, %j: i32) {{
    %f: {acc} = const value=0{".0" if acc[0] in "fb" else ""}, dtype={acc}
    %acc: tile<[{m}, {n}], {acc}> = full %f, shape=[{m}, {n}]
    %im: i32 = mul %i, %bm
    %jn: i32 = mul %j, %bn
    %out: tile<[{m}, {n}], {acc}> = for %zero, %k, %bk, [%acc], stages=3 (%kk: i32, %sum: tile<[{m}, {n}], {acc}>) {{
{operand("a", a_axes, turned[0])}{operand("b", b_axes, turned[1])}{more}\
      %next: tile<[{m}, {n}], {acc}> = mma %a{int(turned[0])}, %b{int(turned[1])}, %sum
      yield [%next]
    }}
    store %c, [%im, %jn], %out
    yield []
  }}
  yield []
}}
"""


def operands(
    rng: np.random.Generator, turned: tuple[bool, bool], shape: tuple[int, int, int], low: int = -3
) -> tuple[np.ndarray, np.ndarray]:
    m, n, k = shape
    a, b = rng.integers(low, 4, (m, k)), rng.integers(low, 4, (k, n))
    return (a.T if turned[0] else a), (b.T if turned[1] else b)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("dtype", "acc"),
    [
        ("f32", "f32"), ("bf16", "f32"), ("f16", "f32"), ("f16", "f16"), ("f8e4m3", "f32"),
        ("f64", "f64"), ("i8", "i32"), ("u8", "i32"), ("i4", "i32"), ("tf32", "f32"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [(False, True), (True, False)])
def test_products_of_small_integers_are_exact(
    isa: str, dtype: str, acc: str, turned: tuple[bool, bool]
) -> None:
    rng = np.random.default_rng()
    text = matmul(dtype, acc, (37, 41, 19), turned=turned)
    for shape in [(37, 41, 19), (40, 83, 70), (1, 1, 1)]:
        a, b = operands(rng, turned, shape, 0 if dtype[0] == "u" else -3)
        args = [memory(a, dtype), memory(b, dtype), output(shape[:2], acc)]
        check_equal(text, args, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("form", ["column", "strided"])
def test_operands_of_any_strides_are_packed(isa: str, form: str) -> None:
    rng = np.random.default_rng()
    strides = "1, any" if form == "column" else "any, any"
    text = matmul("f32", "f32", (16, 48, 32), strides=(strides, strides))
    a, b = operands(rng, (False, True), (50, 70, 45))
    args = [memory(a, "f32", form), memory(b, "f32", form), output((50, 70), "f32")]
    check_equal(text, args, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_random_products_are_within_the_bound_of_their_sum(isa: str, dtype: str) -> None:
    rng = np.random.default_rng()
    m, n, k = 130, 67, 200
    a, b = rng.standard_normal((m, k)), rng.standard_normal((n, k))
    left, right, out = memory(a, dtype), memory(b, dtype), output((m, n), "f32")
    assert run_cpu(matmul(dtype, "f32", (64, 48, 64)), [left, right, out], isa) is None
    a, b = left.values(), right.values()
    error = np.abs(out.values() - a @ b.T)
    assert (error <= (k + 8) * 2.0**-24 * (np.abs(a) @ np.abs(b).T)).all()


CHAIN = """
kernel @attend(%q: {t}, %k: {t}, %v: {t}, %o: {t}), phase=tile {{
  %one: i32 = const value=1, dtype=i32
  %zero: i32 = const value=0, dtype=i32
  %step: i32 = const value=16, dtype=i32
  %rows: i32 = extent %k, axis=0, dtype=i32
  for_tiles [%one] (%i: i32) {{
    %x: tile<[20, 8], {d}> = load %q, [%zero, %zero], shape=[20, 8]
    %x2: tile<[20, 8], {d}> = add %x, %x
    %f: f32 = const value=0.0, dtype=f32
    %acc: tile<[20, 8], f32> = full %f, shape=[20, 8]
    %top: tile<[20, 1], f32> = full %f, shape=[20, 1]
    %sum, %last = for %zero, %rows, %step, [%acc, %top] (%r: i32, %a: tile<[20, 8], f32>, %m: tile<[20, 1], f32>) {{
      %y: tile<[16, 8], {d}> = load %k, [%r, %zero], shape=[16, 8]
      %yt: tile<[8, 16], {d}> = transpose %y, axes=[1, 0]
      %s0: tile<[20, 16], f32> = full %f, shape=[20, 16]
      %s: tile<[20, 16], f32> = mma %x2, %yt, %s0
      %mx: tile<[20, 1], f32> = reduce_max %s, axis=1
      %m2: tile<[20, 1], f32> = max %m, %mx
      %mb: tile<[20, 16], f32> = broadcast %m2, shape=[20, 16]
      %p: tile<[20, 16], f32> = sub %s, %mb
      %pd: tile<[20, 16], {d}> = cast %p, dtype={d}
      %alpha: tile<[20, 1], f32> = sub %m2, %m
      %ab: tile<[20, 8], f32> = broadcast %alpha, shape=[20, 8]
      %scaled: tile<[20, 8], f32> = add %a, %ab
      %z: tile<[16, 8], {d}> = load %v, [%r, %zero], shape=[16, 8]
      %next: tile<[20, 8], f32> = mma %pd, %z, %scaled
      yield [%next, %m2]
    }}
    %lb: tile<[20, 8], f32> = broadcast %last, shape=[20, 8]
    %fin: tile<[20, 8], f32> = sub %sum, %lb
    %out: tile<[20, 8], {d}> = cast %fin, dtype={d}
    store %o, [%zero, %zero], %out
    yield []
  }}
  yield []
}}
"""


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_chained_products_with_carried_statistics(isa: str, dtype: str) -> None:
    tensor = f"tensor<{dtype}, strides=[any, 1], extents=[any, any]>"
    text = CHAIN.format(t=tensor, d=dtype).replace(
        "%sum, %last = for", "%sum: tile<[20, 8], f32>, %last: tile<[20, 1], f32> = for"
    )
    rng = np.random.default_rng()
    q, k, v = (rng.integers(-1, 2, (rows, 8)) for rows in (17, 35, 35))
    args = [memory(q, dtype), memory(k, dtype), memory(v, dtype), output((19, 8), dtype)]
    check_equal(text, args, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_an_accumulator_that_is_used_again_is_not_overwritten(isa: str) -> None:
    text = matmul("f32", "f32", (8, 16, 8)).replace(
        "      yield [%next]",
        "      %both: tile<[8, 16], f32> = add %next, %sum\n      yield [%both]",
    )
    a, b = operands(np.random.default_rng(), (False, True), (11, 20, 21))
    check_equal(text, [memory(a, "f32"), memory(b, "f32"), output((11, 20), "f32")], isa)


@pytest.mark.parametrize("isa", ISAS)
def test_panels_of_an_earlier_launch_are_forgotten(isa: str) -> None:
    text = matmul("f32", "f32", (16, 32, 8))
    rng = np.random.default_rng()
    a, b = operands(rng, (False, True), (33, 65, 20))
    left, right, out = memory(a, "f32"), memory(b, "f32"), output((33, 65), "f32")
    for _ in range(3):
        assert run_cpu(text, [left, right, out], isa) is None
        np.testing.assert_array_equal(out.values(), left.values() @ right.values().T)
        left.codes[...] = left.dtype.encode(rng.integers(-3, 4, (33, 20)))
        right.codes[...] = right.dtype.encode(rng.integers(-3, 4, (65, 20)))
