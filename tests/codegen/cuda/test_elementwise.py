"""Elementwise instructions: the CUDA agrees with the meaning, for every operator and type."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.instructions.elementwise import BINARY, COMPARE, UNARY
from tilewright.ir.types import parse_dtype
from tilewright.tests.codegen.cuda.harness import Tensor, run_both, tensor_text

COUNT = 150
FLOATS = ("f16", "bf16", "f32", "f64")
INTEGERS = ("i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64")
EXACT_UNARY = ("neg", "abs", "floor", "ceil", "round", "sqrt")
APPROXIMATE = tuple(op for op in UNARY if op not in (*EXACT_UNARY, "not"))


def elementwise(lines: str, inputs: dict[str, str], output: str) -> str:
    """A kernel that loads 1-D tiles of 64, runs `lines` (which define %r), and stores %r."""
    params = ", ".join(
        tensor_text(n, d, aligned=True) for n, d in (*inputs.items(), ("out", output))
    )
    loads = "\n".join(
        f"    %{n}_t: tile<[64], {d}> = load %{n}, [%o], shape=[64]" for n, d in inputs.items()
    )
    return f"""kernel @each({params}), phase=tile {{
  %b: i32 = const value=64, dtype=i32
  %c: i32 = const value=63, dtype=i32
  %n: i32 = extent %out, axis=0, dtype=i32
  %n1: i32 = add %n, %c
  %g: i32 = floordiv %n1, %b
  for_tiles [%g] (%i: i32) {{
    %o: i32 = mul %i, %b
{loads}
{lines}
    store %out, [%o], %r
    yield []
  }}
  yield []
}}
"""


def small_integers(
    rng: np.random.Generator, name: str, low: int = -8, count: int = COUNT
) -> Tensor:
    dtype = parse_dtype(name)
    return Tensor(dtype, rng.integers(low if dtype.signed else 0, 9, count))


def random_values(rng: np.random.Generator, name: str) -> Tensor:
    dtype = parse_dtype(name)
    if dtype.is_float:
        values = rng.standard_normal(COUNT) * 4
        values[:4] = (np.nan, np.inf, -np.inf, 0.0)
        return Tensor(dtype, dtype.decode(dtype.encode(values)))
    info = (int(dtype.min), int(dtype.max))
    kind = np.uint64 if dtype.name == "u64" else np.int64
    return Tensor(dtype, rng.integers(*info, COUNT, dtype=kind, endpoint=True))


def poisoned(name: str) -> Tensor:
    dtype = parse_dtype(name)
    return Tensor(dtype, np.full(COUNT, 1))


@pytest.mark.parametrize("name", [*FLOATS, "f8e4m3"])
def test_exact_unary_operators_are_bit_equal(name: str, rng: np.random.Generator) -> None:
    for op in EXACT_UNARY:
        text = elementwise(f"    %r: tile<[64], {name}> = {op} %x_t", {"x": name}, name)
        run_both(text, [random_values(rng, name), poisoned(name)])


@pytest.mark.parametrize("name", FLOATS)
def test_functions_are_within_a_few_units_in_the_last_place(
    name: str, rng: np.random.Generator
) -> None:
    for op in APPROXIMATE:
        text = elementwise(f"    %r: tile<[64], {name}> = {op} %x_t", {"x": name}, name)
        ulp = 2.0 ** -parse_dtype(name).mantissa
        run_both(
            text, [random_values(rng, name), poisoned(name)], relative=4 * ulp, tolerance=ulp / 4
        )


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS, "i4", "u3", "f4e2m1"])
def test_binary_operators_are_bit_equal(name: str, rng: np.random.Generator) -> None:
    dtype = parse_dtype(name)
    for op in BINARY:
        if dtype.is_float and op in ("and", "or", "xor", "shl", "shr"):
            continue
        if dtype.bits < 8 and op in ("div", "pow"):
            continue
        y = small_integers(rng, name, low=0 if op in ("pow", "shl", "shr") else -8)
        if op in ("floordiv", "mod", "div"):  # zero divides, too
            y.values[::7] = 0
        if op == "pow":
            y.values = y.values % 4
        if op == "div" and not dtype.is_float:
            continue
        x = small_integers(rng, name) if op == "pow" or dtype.bits < 8 else random_values(rng, name)
        if dtype.bits < 8:
            x.values, y.values = (dtype.decode(dtype.encode(t.values)) for t in (x, y))
        loose = 2.0**-dtype.mantissa if op in ("pow", "mod") and dtype.is_float else 0.0
        text = elementwise(
            f"    %r: tile<[64], {name}> = {op} %x_t, %y_t", dict.fromkeys("xy", name), name
        )
        run_both(text, [x, y, poisoned(name)], relative=loose)


@pytest.mark.parametrize("name", ["f16", "f32", "i8", "u64", "i3"])
def test_comparisons_and_select(name: str, rng: np.random.Generator) -> None:
    for op in COMPARE:
        lines = (
            f"    %c_t: tile<[64], bool> = {op} %x_t, %y_t\n"
            f"    %r: tile<[64], {name}> = select %c_t, %x_t, %y_t"
        )
        args = [random_values(rng, name), random_values(rng, name), poisoned(name)]
        run_both(elementwise(lines, dict.fromkeys("xy", name), name), args)


@pytest.mark.parametrize("name", FLOATS)
def test_fma_rounds_once_and_mul_add_twice(name: str, rng: np.random.Generator) -> None:
    tensors = [random_values(rng, name) for _ in range(3)]
    fused = f"    %r: tile<[64], {name}> = fma %x_t, %y_t, %z_t"
    split = (
        f"    %p: tile<[64], {name}> = mul %x_t, %y_t\n    %r: tile<[64], {name}> = add %p, %z_t"
    )
    for lines in (fused, split):
        text = elementwise(lines, dict.fromkeys("xyz", name), name)
        run_both(text, [*tensors, poisoned(name)])
