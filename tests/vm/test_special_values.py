"""The manual's tables of special values for the approximate functions, and pairs of halves compared."""

# ruff: noqa: E501  (rows stay whole)

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tilewright.tests.vm.execution import Execute, drawn
from tilewright.tests.vm.references import decode
from tilewright.tests.vm.test_exact import related

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
INF, NAN = np.inf, np.nan
TABLES = {
    "rcp.approx": [(-INF, -0.0), (-0.0, -INF), (0.0, INF), (INF, 0.0)],
    "sqrt.approx": [(-INF, NAN), (-2.0, NAN), (-0.0, -0.0), (0.0, 0.0), (INF, INF), (4.0, 2.0)],
    "rsqrt.approx": [(-INF, NAN), (-2.0, NAN), (-0.0, -INF), (0.0, INF), (INF, 0.0), (4.0, 0.5)],
    "sin.approx": [(-INF, NAN), (-0.0, -0.0), (0.0, 0.0), (INF, NAN)],
    "cos.approx": [(-INF, NAN), (-0.0, 1.0), (0.0, 1.0), (INF, NAN)],
    "lg2.approx": [(-INF, NAN), (-2.0, NAN), (-0.0, -INF), (0.0, -INF), (INF, INF), (8.0, 3.0)],
    "ex2.approx": [(-INF, 0.0), (-0.0, 1.0), (0.0, 1.0), (INF, INF), (3.0, 8.0)],
    "tanh.approx": [(-INF, -1.0), (-0.0, -0.0), (0.0, 0.0), (INF, 1.0)],
}
"""Special inputs and their results; NaN always gives NaN."""


def column(values: list[float], dtype: type) -> np.ndarray:
    return np.resize(np.array(values, dtype), 128)


@pytest.mark.parametrize("name", TABLES)
def test_special_values_of_approximations(execute: Execute, name: str) -> None:
    table = [*TABLES[name], (NAN, NAN)]
    keys, wants = (column(list(x), np.float32) for x in zip(*table, strict=True))
    for flush in ("",) if name == "tanh.approx" else ("", ".ftz"):
        got = execute(f"{name}{flush}.f32 %o, %a;", [("f32", keys)], "f32")
        np.testing.assert_array_equal(got, wants)
        np.testing.assert_array_equal(np.signbit(got)[wants == 0], np.signbit(wants)[wants == 0])


def test_subnormals_of_approximations_are_flushed_with_ftz_only(execute: Execute) -> None:
    tiny = column([2.0**-127, -(2.0**-127)], np.float32)
    sign = np.sign(tiny)
    got = execute("rcp.approx.ftz.f32 %o, %a;", [("f32", tiny)], "f32")
    np.testing.assert_array_equal(got, sign * INF)
    got = execute("rcp.approx.f32 %o, %a;", [("f32", tiny)], "f32")
    np.testing.assert_array_equal(got, sign * np.float32(2.0**127))
    got = execute("lg2.approx.ftz.f32 %o, %a;", [("f32", np.abs(tiny))], "f32")
    np.testing.assert_array_equal(got, -INF)
    got = execute("lg2.approx.f32 %o, %a;", [("f32", np.abs(tiny))], "f32")
    np.testing.assert_array_equal(got, -127)
    got = execute("ex2.approx.ftz.f32 %o, %a;", [("f32", column([-127.0], np.float32))], "f32")
    np.testing.assert_array_equal(got, 0)
    got = execute("ex2.approx.f32 %o, %a;", [("f32", column([-127.0], np.float32))], "f32")
    np.testing.assert_array_equal(got, np.float32(2.0**-127))


def test_gross_approximations_of_doubles(execute: Execute) -> None:
    """The upper word only, to about 20 bits; subnormals are zeros."""
    a = np.abs(np.random.default_rng().standard_normal(128)) + 0.01
    for name, exact in (("rcp", 1 / a), ("rsqrt", 1 / np.sqrt(a))):
        got = execute(f"{name}.approx.ftz.f64 %o, %a;", [("f64", a)], "f64")
        assert (got.view(np.uint64) & 0xFFFFFFFF == 0).all()
        assert (np.abs(got / exact - 1) < 2.0**-19).all()
        special = execute(
            f"{name}.approx.ftz.f64 %o, %a;",
            [("f64", column([0.0, 1e-310, INF], np.float64))],
            "f64",
        )
        np.testing.assert_array_equal(special, column([INF, INF, 0.0], np.float64))
    got = execute("rsqrt.approx.f64 %o, %a;", [("f64", a)], "f64")
    assert (np.abs(got * np.sqrt(a) - 1) < 2.0**-19).all()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_pairs_compare_half_by_half(execute: Execute, kind: str) -> None:
    a, b = (drawn(f"{kind}x2")[:256] for _ in range(2))
    b[::3] = a[::3]
    halves = [(v.view(np.uint16)[i::2]).tolist() for v in (a, b) for i in range(2)]
    values = [[decode(code, kind) for code in half] for half in halves]
    for name, tail in itertools.product(
        ("eq", "lt", "geu", "nan", "num"), ("", ".and", ".or", ".xor")
    ):
        low, high = (
            np.array([related(name, x, y) for x, y in zip(values[i], values[2 + i], strict=True)])
            for i in range(2)
        )
        third = np.array([int(x) % 3 == 0 for x in a])
        function = {
            "": lambda x, q: x,
            ".and": np.logical_and,
            ".or": np.logical_or,
            ".xor": np.logical_xor,
        }[tail]
        low, high = (function(x, third) for x in (low, high))
        before = "rem.u32 %x, %a, 3; setp.eq.u32 %p2, %x, 0;"
        extra = ", %p2" if tail else ""
        sources = [(f"{kind}x2", a), (f"{kind}x2", b)]
        body = f"{before} setp.{name}{tail}.{kind}x2 %p|%p1, %a, %b{extra}; selp.u32 %x, 1, 0, %p; selp.u32 %y, 2, 0, %p1; or.b32 %o, %x, %y;"
        np.testing.assert_array_equal(execute(body, sources, "u32"), low + 2 * high)
        one = {"f16": 0x3C00, "bf16": 0x3F80}[kind]
        got = execute(
            f"{before} set.{name}{tail}.{kind}x2.{kind}x2 %o, %a, %b{extra};", sources, "u32"
        )
        np.testing.assert_array_equal(got, low * one + (high * one << 16))
