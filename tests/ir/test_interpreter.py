"""Meanings of instructions against NumPy's own arithmetic, of control flow against Python."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.ir.diagnostics import InterpretError
from tilewright.ir.instructions.elementwise import BITWISE, COMPARE
from tilewright.ir.interpreter import codes_of, interpret, view_codes
from tilewright.ir.memory import TensorView
from tilewright.ir.parser import parse_kernel
from tilewright.ir.types import DType, bf16, bool_, f16, f32, f64, i8, i16, i32, i64, u8, u16, u64

NATIVE: dict[DType, Any] = {
    f16: np.float16, bf16: ml_dtypes.bfloat16, f32: np.float32, f64: np.float64,
    i8: np.int8, u8: np.uint8, i16: np.int16, u16: np.uint16, i32: np.int32, i64: np.int64,
    u64: np.uint64,
}  # fmt: skip
SIZE = 257


@pytest.fixture
def rng() -> np.random.Generator:
    seed = np.random.SeedSequence().entropy
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def sample(dtype: DType, rng: np.random.Generator) -> Any:
    """Native values over the whole type: all magnitudes, signed zeros, infinities, NaN."""
    bits = rng.integers(0, 256, (SIZE, dtype.bits // 8), dtype=np.uint8)
    values = bits.view(NATIVE[dtype])[:, 0].copy()
    if dtype.is_float:
        values[:6] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0]
    return values


def apply(line: str, dtype: DType, result: DType, *inputs: Any) -> Any:
    """`line` (giving %r from %x, %y and the mask %m) on tiles of native arrays."""
    names = ("x", "y", "z")[: len(inputs)]
    kinds = ", ".join(f"%t{n}: tensor<{dtype.name}, strides=[1], extents=[any]>" for n in names)
    loads = "".join(
        f"  %{n}: tile<[{SIZE}], {dtype.name}> = load %t{n}, [%o], shape=[{SIZE}]\n" for n in names
    )
    kernel = parse_kernel(
        f"kernel @k({kinds}, %out: tensor<{result.name}, strides=[1], extents=[any]>), "
        f"phase=tile {{\n  %o: i32 = const value=0, dtype=i32\n{loads}"
        f"  %r: tile<[{SIZE}], {result.name}> = {line}\n  store %out, [%o], %r\n  yield []\n}}\n"
    )
    container = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
    codes = [np.ascontiguousarray(x).view(container[dtype.bits]) for x in inputs]
    out = view_codes(np.zeros(SIZE, container[result.bits]), result)
    interpret(kernel, [*(view_codes(c, dtype) for c in codes), out])
    found = codes_of(out)
    return found.astype(np.bool_) if result is bool_ else found.view(NATIVE[result])


FLOATS = [t for t in NATIVE if t.is_float]
INTEGERS = [t for t in NATIVE if t.is_integer]
BOTH: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.fmin, "max": np.fmax,
}  # fmt: skip
ints: dict[str, Callable[..., Any]] = {
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "shl": np.left_shift, "shr": np.right_shift,
    "floordiv": np.floor_divide, "mod": np.mod,
}  # fmt: skip


@pytest.mark.parametrize("dtype", NATIVE, ids=lambda t: t.name)
@pytest.mark.parametrize("op", BOTH)
def test_arithmetic(op: str, dtype: DType, rng: np.random.Generator) -> None:
    """Floats round once, integers wrap."""
    x, y = sample(dtype, rng), sample(dtype, rng)
    with np.errstate(all="ignore"):
        want = BOTH[op](x, y)
    got = apply(f"{op} %x, %y", dtype, dtype, x, y)
    np.testing.assert_array_equal(got.astype(np.float64) if dtype.is_float else got,
                                  want.astype(np.float64) if dtype.is_float else want)  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda t: t.name)
@pytest.mark.parametrize("op", ["div", "sqrt", "neg", "abs", "floor", "ceil", "round"])
def test_exact_float_operations(op: str, dtype: DType, rng: np.random.Generator) -> None:
    x, y = sample(dtype, rng), sample(dtype, rng)
    functions: dict[str, Any] = {"div": np.divide, "neg": np.negative, "round": np.rint}
    inputs = (x, y) if op == "div" else (x,)
    with np.errstate(all="ignore"):
        want = functions.get(op, getattr(np, op, None))(*inputs)
    line = "div %x, %y" if op == "div" else f"{op} %x"
    got = apply(line, dtype, dtype, *inputs)
    np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))


@pytest.mark.parametrize("op", ["exp", "exp2", "log", "log2", "sin", "cos", "tanh"])
def test_functions_of_f32(op: str, rng: np.random.Generator) -> None:
    """Within two units in the last place of NumPy's own f32 functions."""
    x = rng.uniform(0.01, 20, SIZE).astype(np.float32)
    got = apply(f"{op} %x", f32, f32, x)
    np.testing.assert_array_max_ulp(got, getattr(np, op)(x), 2)


IDENTITIES: dict[str, Callable[[Any, Any], Any]] = {
    "rsqrt": lambda y, x: y * y * x,
    "sigmoid": lambda y, x: y + y * np.exp(-x),
}


@pytest.mark.parametrize("op", IDENTITIES)
def test_functions_by_their_identity(op: str, rng: np.random.Generator) -> None:
    x = rng.uniform(0.01, 20, SIZE)
    np.testing.assert_allclose(IDENTITIES[op](apply(f"{op} %x", f64, f64, x), x), 1, rtol=1e-14)


def test_erf_is_the_integral_of_the_bell_curve() -> None:
    x = np.linspace(-3, 3, SIZE)
    slope = np.gradient(apply("erf %x", f64, f64, x), x)[1:-1]
    np.testing.assert_allclose(
        slope, 2 / np.sqrt(np.pi) * np.exp(-(x[1:-1] ** 2)), atol=(6 / 256) ** 2 / 6 * 2.3
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda t: t.name)
def test_fma_rounds_once(dtype: DType, rng: np.random.Generator) -> None:
    """Against fractions; half of the sums lie close to the middle of two neighbours."""
    x, y = (rng.standard_normal(SIZE).astype(NATIVE[dtype]) for _ in range(2))
    z = rng.standard_normal(SIZE).astype(NATIVE[dtype])
    digits = {f16: 10, bf16: 7, f32: 23, f64: 52}[dtype]
    x[::2] = (1 + 2.0**-digits * rng.integers(0, 9, x[::2].shape)).astype(x.dtype)
    y[::2], z[::2] = NATIVE[dtype](2.0 ** (-digits - 1)), NATIVE[dtype](1.0)
    exact = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, y, strict=True)]
    got = apply("fma %x, %y, %z", dtype, dtype, x, y, z)
    for found, product, added in zip(got.tolist(), exact, z.tolist(), strict=True):
        want = product + Fraction(float(added))
        error = abs(Fraction(found) - want)
        for side in (-np.inf, np.inf):
            other = np.nextafter(NATIVE[dtype](found), NATIVE[dtype](side))
            away = abs(Fraction(float(other)) - want)
            assert error < away or (error == away and _is_even(found, dtype))


def _is_even(value: float, dtype: DType) -> bool:
    return bool(int(dtype.encode(np.asarray(value))) % 2 == 0)


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda t: t.name)
@pytest.mark.parametrize("op", ints)
def test_integer_operations(op: str, dtype: DType, rng: np.random.Generator) -> None:
    """Division rounds down; by zero it gives 0."""
    x, y = sample(dtype, rng), sample(dtype, rng)
    if op in ("shl", "shr"):
        y = (y.astype(np.uint64) % np.uint64(dtype.bits)).astype(y.dtype)
    elif op not in BITWISE:
        y[:3], x[3:5], y[3:5] = 0, np.iinfo(x.dtype).min, -1 if dtype.signed else 1
    with np.errstate(all="ignore"):
        want = ints[op](x, y)
    np.testing.assert_array_equal(apply(f"{op} %x, %y", dtype, dtype, x, y), want)


@pytest.mark.parametrize("dtype", NATIVE, ids=lambda t: t.name)
@pytest.mark.parametrize("op", COMPARE)
def test_comparisons(op: str, dtype: DType, rng: np.random.Generator) -> None:
    x, y = sample(dtype, rng), sample(dtype, rng)
    y[::2] = x[::2]
    names = {"eq": "__eq__", "ne": "__ne__", "lt": "__lt__", "le": "__le__", "gt": "__gt__",
             "ge": "__ge__"}  # fmt: skip
    want = [bool(getattr(a, names[op])(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    np.testing.assert_array_equal(apply(f"{op} %x, %y", dtype, bool_, x, y), want)


@pytest.mark.parametrize("target", FLOATS + INTEGERS, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", [f32, i32, u8], ids=lambda t: t.name)
def test_casts(dtype: DType, target: DType, rng: np.random.Generator) -> None:
    """Float to integer truncates and saturates, NaN gives 0; integers keep what fits."""
    x = sample(dtype, rng)
    got = apply(f"cast %x, dtype={target.name}", dtype, target, x)
    if target.is_integer and dtype.is_float:
        limits = np.iinfo(NATIVE[target])
        want = [_saturate(v, int(limits.min), int(limits.max)) for v in x.tolist()]
        np.testing.assert_array_equal(got, np.array(want, NATIVE[target]))
    elif target.is_float:
        with np.errstate(all="ignore"):
            want = x.astype(NATIVE[target])
        np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))
    else:
        limits = np.iinfo(NATIVE[target])
        inside = (x.astype(object) >= int(limits.min)) & (x.astype(object) <= int(limits.max))
        np.testing.assert_array_equal(got[inside], x[inside].astype(NATIVE[target]))


def _saturate(value: float, low: int, high: int) -> int:
    if value != value:
        return 0
    if value in (np.inf, -np.inf):
        return high if value > 0 else low
    return min(max(int(value), low), high)


@pytest.mark.parametrize("op", ["sum", "prod", "reduce_max", "reduce_min", "any", "all"])
@pytest.mark.parametrize("axis", [0, 1])
def test_reductions(op: str, axis: int, rng: np.random.Generator) -> None:
    """On integers every order is exact; the axis stays with extent 1."""
    kind = bool_ if op in ("any", "all") else i32
    values = rng.integers(0, 2, (3, 5)) if kind is bool_ else rng.integers(-9, 9, (3, 5))
    shape = [1, 5] if axis == 0 else [3, 1]
    kernel = parse_kernel(
        f"kernel @k(%x: tensor<{kind.name}, strides=[any, 1], extents=[any, any]>, "
        f"%out: tensor<{kind.name}, strides=[any, 1], extents=[any, any]>), phase=tile {{\n"
        f"  %o: i32 = const value=0, dtype=i32\n"
        f"  %1: tile<[3, 5], {kind.name}> = load %x, [%o, %o], shape=[3, 5]\n"
        f"  %2: tile<{shape}, {kind.name}> = {op} %1, axis={axis}\n"
        f"  store %out, [%o, %o], %2\n  yield []\n}}\n"
    )
    held = values.astype(np.bool_) if kind is bool_ else values
    out = np.zeros(shape, held.dtype)
    interpret(kernel, [TensorView(held, kind), TensorView(out, kind)])
    numpy_name = {"reduce_max": "max", "reduce_min": "min"}.get(op, op)
    np.testing.assert_array_equal(out, getattr(np, numpy_name)(held, axis=axis, keepdims=True))


LOOP = """\
kernel @k(%a: tensor<i32, strides=[1], extents=[any]>, %out: tensor<i32, strides=[1], \
extents=[any]>), phase=tile {
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %three: i32 = const value=3, dtype=i32
  %six: i32 = const value=6, dtype=i32
  %n: i32 = extent %a, axis=0, dtype=i32
  %sum: i32, %seen: i32 = for %zero, %n, %one, [%zero, %zero] (%i: i32, %s: i32, %c: i32) {
    %v: i32 = element %a, [%i]
    %c.1: i32 = add %c, %one
    %big: bool = gt %v, %three
    %t: i32 = if %big {
      %huge: bool = gt %v, %six
      if %huge {
        break [%s, %c.1]
      } {
        %five: i32 = add %three, %one
        %skip: bool = eq %v, %five
        if %skip {
          continue [%s, %c.1]
        } {
          yield []
        }
        yield []
      }
      %t.1: i32 = add %v, %v
      yield [%t.1]
    } {
      yield [%v]
    }
    %s.1: i32 = add %s, %t
    yield [%s.1, %c.1]
  }
  element.store %out, [%zero], %sum
  element.store %out, [%one], %seen
  yield []
}
"""


def test_break_and_continue_in_nested_branches(rng: np.random.Generator) -> None:
    kernel = parse_kernel(LOOP)
    for length in (0, 1, 5, 40):
        a = rng.integers(0, 8 if length < 40 else 7, length)
        total = count = 0
        for v in a.tolist():
            count += 1
            if v > 6:
                break
            if v == 4:
                continue
            total += 2 * v if v > 3 else v
        out = np.zeros(2, np.int64)
        interpret(kernel, [TensorView(a, i32), TensorView(out, i32)])
        assert out.tolist() == [total, count]


WHILE = """\
kernel @k(%n: i32, %out: tensor<i32, strides=[1], extents=[any]>), phase=tile {
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %two: i32 = const value=2, dtype=i32
  %three: i32 = const value=3, dtype=i32
  %last: i32, %steps: i32 = while [%n, %zero] (%v: i32, %c: i32) {
    %more: bool = gt %v, %one
    condition %more
  } (%v.1: i32, %c.1: i32) {
    %bit: i32 = mod %v.1, %two
    %odd: bool = eq %bit, %one
    %next: i32 = if %odd {
      %3: i32 = mul %v.1, %three
      %4: i32 = add %3, %one
      yield [%4]
    } {
      %5: i32 = floordiv %v.1, %two
      yield [%5]
    }
    %c.2: i32 = add %c.1, %one
    yield [%next, %c.2]
  }
  element.store %out, [%zero], %steps
  yield []
}
"""


@pytest.mark.parametrize("start", [1, 6, 27])
def test_while(start: int) -> None:
    steps, value = 0, start
    while value > 1:
        value, steps = (3 * value + 1 if value % 2 else value // 2), steps + 1
    out = np.zeros(1, np.int64)
    interpret(parse_kernel(WHILE), [start, TensorView(out, i32)])
    assert out[0] == steps


def test_step_limit() -> None:
    with pytest.raises(InterpretError, match="runs more than 50 instructions"):
        interpret(parse_kernel(WHILE), [27, TensorView(np.zeros(1, np.int64), i32)], limit=50)


def test_number_of_arguments() -> None:
    with pytest.raises(InterpretError, match="k takes 2 arguments, not 1"):
        interpret(parse_kernel(WHILE), [27])


def test_step_of_a_loop_is_positive() -> None:
    kernel = parse_kernel(
        "kernel @k(%i: i32), phase=tile {\n"
        "  for %i, %i, %i, [] (%k: i32) {\n    yield []\n  }\n  yield []\n}\n"
    )
    with pytest.raises(InterpretError, match="step is at least 1, not 0"):
        interpret(kernel, [0])
