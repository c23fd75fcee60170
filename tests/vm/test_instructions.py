"""Single instructions against Python integers and exact rationals, on random and on awkward values."""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.tests.vm.execution import Execute, N, bits_of, dtype_of, floats, integers, wrap
from tilewright.tests.vm.references import FORMATS, Format
from tilewright.tests.vm.references import rounded as rounded_nonzero

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NaN and overflow are meant


def trunc_div(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


INTEGER = {
    "add": lambda a, b, k: a + b,
    "sub": lambda a, b, k: a - b,
    "mul.lo": lambda a, b, k: a * b,
    "mul.hi": lambda a, b, k: a * b >> bits_of(k),
    "min": lambda a, b, k: min(a, b),
    "max": lambda a, b, k: max(a, b),
    "div": lambda a, b, k: trunc_div(a, b) if b else -1,
    "rem": lambda a, b, k: a - b * trunc_div(a, b) if b else a,
}


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("name", INTEGER)
def test_integer_arithmetic(execute: Execute, name: str, kind: str) -> None:
    a, b = integers(kind), integers(kind)
    got = execute(f"{name}.{kind} %o, %a, %b;", [(kind, a), (kind, b)], kind)
    want = [wrap(INTEGER[name](int(x), int(y), kind), kind) for x, y in zip(a, b, strict=True)]
    keep = np.ones(N, bool)
    if name in ("div", "rem"):  # the manual leaves division by zero, and the one overflow, open
        keep = (b != 0) & ~((b == -1) & (a == np.iinfo(a.dtype).min))
    np.testing.assert_array_equal(got[keep], np.array(want, a.dtype)[keep])


@pytest.mark.parametrize("kind", ["u32", "s32", "u16", "s16"])
def test_wide_and_fused_products(execute: Execute, kind: str) -> None:
    wide = kind[0] + str(2 * bits_of(kind))
    a, b, c = integers(kind), integers(kind), integers(wide)
    got = execute(f"mad.wide.{kind} %o, %a, %b, %c;", [(kind, a), (kind, b), (wide, c)], wide)
    want = [wrap(int(x) * int(y) + int(z), wide) for x, y, z in zip(a, b, c, strict=True)]
    np.testing.assert_array_equal(got, np.array(want, dtype_of(wide)))


def test_carries_add_128_bits(execute: Execute) -> None:
    a, b, c, d = (integers("u32") for _ in range(4))
    got = execute(
        "add.cc.u32 %x, %a, %b; addc.cc.u32 %y, %c, %d; addc.u32 %z, 0, 0;"
        "xor.b32 %o, %x, %y; xor.b32 %o, %o, %z;",
        [("u32", x) for x in (a, b, c, d)], "u32",
    )  # fmt: skip
    total = [
        (int(x) + (int(z) << 32)) + (int(y) + (int(w) << 32))
        for x, y, z, w in zip(a, b, c, d, strict=True)
    ]
    want = [(t ^ t >> 32 ^ t >> 64) & 0xFFFFFFFF for t in total]
    np.testing.assert_array_equal(got, np.array(want, np.uint32))
    got = execute(
        "sub.cc.u32 %x, %a, %b; subc.u32 %y, %c, %d; xor.b32 %o, %x, %y;",
        [("u32", x) for x in (a, b, c, d)], "u32",
    )  # fmt: skip
    total = [
        (int(x) + (int(z) << 32)) - (int(y) + (int(w) << 32))
        for x, y, z, w in zip(a, b, c, d, strict=True)
    ]
    np.testing.assert_array_equal(
        got, np.array([(t ^ t >> 32) & 0xFFFFFFFF for t in total], np.uint32)
    )


def shifted(name: str, a: int, by: int, kind: str) -> int:
    bits = bits_of(kind)
    if name == "shl":
        return a << by if by < bits else 0
    return a >> min(by, bits)


@pytest.mark.parametrize(("name", "kind"), [("shl", "b16"), ("shl", "b32"), ("shl", "b64"), *(
    ("shr", k) for k in ("u16", "s16", "u32", "s32", "u64", "s64"))])  # fmt: skip
def test_shifts_clamp(execute: Execute, name: str, kind: str) -> None:
    a, by = integers(kind), integers("u32", small=True)
    by[:4] = 0xFFFFFFFF
    got = execute(f"{name}.{kind} %o, %a, %b;", [(kind, a), ("u32", by)], kind)
    want = [
        wrap(shifted(name, int(x), min(int(y), 99), kind), kind) for x, y in zip(a, by, strict=True)
    ]
    np.testing.assert_array_equal(got, np.array(want, a.dtype))


def bfe(a: int, pos: int, length: int, kind: str) -> int:
    """The manual's loop, bit by bit."""
    msb = bits_of(kind) - 1
    pos, length = pos & 255, length & 255
    sign = 0 if kind[0] == "u" or length == 0 else a >> min(pos + length - 1, msb) & 1
    bits = [a >> (pos + i) & 1 if i < length and pos + i <= msb else sign for i in range(msb + 1)]
    return sum(bit << i for i, bit in enumerate(bits))


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_bit_fields(execute: Execute, kind: str) -> None:
    a, pos, length = integers(kind), integers("u32", small=True), integers("u32", small=True)
    got = execute(f"bfe.{kind} %o, %a, %b, %c;", [(kind, a), ("u32", pos), ("u32", length)], kind)
    want = [
        wrap(bfe(int(x), int(p), int(n), kind), kind)
        for x, p, n in zip(a, pos, length, strict=True)
    ]
    np.testing.assert_array_equal(got, np.array(want, a.dtype))
    bits = f"b{bits_of(kind)}"
    b = integers(kind)
    got = execute(
        f"bfi.{bits} %o, %a, %b, %c, %d;",
        [(kind, a), (kind, b), ("u32", pos), ("u32", length)],
        kind,
    )

    def bfi(x: int, y: int, p: int, n: int) -> int:
        for i in range(n):
            if p + i < bits_of(kind):
                y = y & ~(1 << (p + i)) | (x >> i & 1) << (p + i)
        return y

    want = [wrap(bfi(*map(int, row)), kind) for row in zip(a, b, pos, length, strict=True)]
    np.testing.assert_array_equal(got, np.array(want, a.dtype))


@pytest.mark.parametrize(
    "table", [0x00, 0x1B, 0x80, 0x96, 0xE8, 0xEA, 0xF8, 0xFE, 0x6A, 0xA8, 0xC0, 0xCA]
)
def test_lop3_is_its_table(execute: Execute, table: int) -> None:
    a, b, c = (integers("u32") for _ in range(3))
    got = execute(f"lop3.b32 %o, %a, %b, %c, {table};", [("u32", x) for x in (a, b, c)], "u32")
    want = np.zeros(N, np.uint32)
    for bit in range(32):
        index = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | (c >> bit & 1)
        want |= (np.uint32(table) >> index & 1) << bit
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("mode", ["", ".f4e", ".b4e", ".rc8", ".ecl", ".ecr", ".rc16"])
def test_prmt(execute: Execute, mode: str) -> None:
    a, b, c = (integers("u32") for _ in range(3))
    table = {
        ".f4e": [(0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 6)],
        ".b4e": [(0, 7, 6, 5), (1, 0, 7, 6), (2, 1, 0, 7), (3, 2, 1, 0)],
        ".rc8": [(0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3)],
        ".ecl": [(0, 1, 2, 3), (1, 1, 2, 3), (2, 2, 2, 3), (3, 3, 3, 3)],
        ".ecr": [(0, 0, 0, 0), (0, 1, 1, 1), (0, 1, 2, 2), (0, 1, 2, 3)],
        ".rc16": [(0, 1, 0, 1), (2, 3, 2, 3), (0, 1, 0, 1), (2, 3, 2, 3)],
    }  # the manual lists the bytes of d from the lowest
    got = execute(f"prmt.b32{mode} %o, %a, %b, %c;", [("u32", x) for x in (a, b, c)], "u32")

    def pick(x: int, y: int, z: int) -> int:
        data = (y << 32 | x).to_bytes(8, "little")
        if mode:
            return int.from_bytes(bytes(data[i] for i in table[mode][z & 3]), "little")
        out = []
        for i in range(4):
            nibble = z >> 4 * i & 15
            byte = data[nibble & 7]
            out.append((0xFF if byte & 0x80 else 0) if nibble & 8 else byte)
        return int.from_bytes(bytes(out), "little")

    want = [pick(*map(int, row)) for row in zip(a, b, c, strict=True)]
    np.testing.assert_array_equal(got, np.array(want, np.uint32))


@pytest.mark.parametrize(("side", "mode"), list(itertools.product("lr", ("wrap", "clamp"))))
def test_funnel_shifts(execute: Execute, side: str, mode: str) -> None:
    a, b, c = integers("u32"), integers("u32"), integers("u32", small=True)
    got = execute(f"shf.{side}.{mode}.b32 %o, %a, %b, %c;", [("u32", x) for x in (a, b, c)], "u32")
    by = np.minimum(c, 32) if mode == "clamp" else c & 31
    pair = b.astype(np.uint64) << 32 | a
    want = [
        (int(p) << int(n) >> 32 if side == "l" else int(p) >> int(n)) & 0xFFFFFFFF
        for p, n in zip(pair, by, strict=True)
    ]
    np.testing.assert_array_equal(got, np.array(want, np.uint32))


@pytest.mark.parametrize("kind", ["b32", "b64"])
def test_counts(execute: Execute, kind: str) -> None:
    a = integers(kind)
    a[:5] = 0
    bits = bits_of(kind)
    signed = f"s{bits}"
    for name, function in {
        f"popc.{kind}": lambda x: x.bit_count(),
        f"clz.{kind}": lambda x: bits - x.bit_length(),
        f"bfind.u{bits}": lambda x: x.bit_length() - 1,
        f"bfind.{signed}": lambda x: (
            (x ^ ((1 << bits) - 1) if x >> (bits - 1) else x).bit_length() - 1
        ),
        f"bfind.shiftamt.u{bits}": lambda x: bits - x.bit_length() if x else -1,
    }.items():
        got = execute(f"{name} %o, %a;", [(kind, a)], "s32")
        np.testing.assert_array_equal(got, [function(int(x)) for x in a], err_msg=name)
    got = execute(f"brev.{kind} %o, %a;", [(kind, a)], kind)
    np.testing.assert_array_equal(
        got, np.array([int(f"{int(x):0{bits}b}"[::-1], 2) for x in a], a.dtype)
    )


def test_dot_products(execute: Execute) -> None:
    a, b, c = integers("u32"), integers("u32"), integers("s32")
    for ka, kb in itertools.product("us", "us"):
        got = execute(
            f"dp4a.{ka}32.{kb}32 %o, %a, %b, %c;", [("u32", a), ("u32", b), ("s32", c)], "s32"
        )
        x, y = (
            v.view(np.uint8 if k == "u" else np.int8).reshape(-1, 4).astype(int)
            for v, k in ((a, ka), (b, kb))
        )
        want = [wrap(t, "s32") for t in ((x * y).sum(1) + c).tolist()]
        np.testing.assert_array_equal(got, want)


# -- floating point ----------------------------------------------------------------------------


def exact(function: Callable[..., Fraction], *values: float) -> Fraction | None:
    return (
        function(*(Fraction(float(v)) for v in values))
        if all(np.isfinite(float(v)) for v in values)
        else None
    )


def rounded(value: Fraction, mode: str, form: Format) -> Fraction | float:
    """Rounding that takes zeros too."""
    return rounded_nonzero(value, mode, form) if value else Fraction(0)


def compare(got: np.ndarray, wants: list[Any], sources: list[np.ndarray]) -> None:
    checked = 0
    for index, want in enumerate(wants):
        if want is None:
            continue
        checked += 1
        value = float(got[index])
        if want == 0:
            assert value == 0, (index, [s[index] for s in sources], value)
        else:
            assert value == float(want), (index, [s[index] for s in sources], value, float(want))
    assert checked > N // 4


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_float_arithmetic_rounds_correctly(execute: Execute, kind: str, mode: str) -> None:
    a, b, c = (floats(kind) for _ in range(3))
    c[::3] = (a[::3].astype("f8") * b[::3].astype("f8") * np.float64(-1)).astype(c.dtype)
    for name, sources, function in (
        ("add", [a, b], lambda x, y: x + y),
        ("sub", [a, b], lambda x, y: x - y),
        ("mul", [a, b], lambda x, y: x * y),
        ("fma", [a, b, c], lambda x, y, z: x * y + z),
        ("div", [a, np.where(b == 0, b.dtype.type(1), b)], lambda x, y: x / y),
    ):
        if kind == "f64" and mode != "rn" and name != "add":
            sources = [np.random.default_rng().standard_normal(N) for _ in sources]
        got = execute(f"{name}.{mode}.{kind} %o, " + ", ".join("%" + "abc"[i] for i in range(len(sources))) + ";",
                      [(kind, s) for s in sources], kind)  # fmt: skip
        wants = [exact(function, *row) for row in zip(*sources, strict=True)]
        wants = [None if w is None else rounded(w, mode, FORMATS[kind]) for w in wants]
        compare(got, wants, sources)


def test_fma_f32_on_exact_ties(execute: Execute) -> None:
    """a·b + c that lies on a tie of f32 but for a term below float64's last bit."""
    rng = np.random.default_rng()
    a = (1 + rng.integers(0, 1 << 23, N) / 2**23).astype("f")
    b = (1 + rng.integers(0, 1 << 23, N) / 2**23).astype("f")
    c = (
        rng.choice([-1, 1], N) * 2.0 ** rng.integers(20, 60, N) * (1 + rng.integers(0, 4, N) / 4)
    ).astype("f")
    got = execute("fma.rn.f32 %o, %a, %b, %c;", [("f32", x) for x in (a, b, c)], "f32")
    wants = [rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)), "rn", FORMATS["f32"])
             for x, y, z in zip(a, b, c, strict=True)]  # fmt: skip
    compare(got, wants, [a, b, c])


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_half_arithmetic_rounds_once(execute: Execute, kind: str) -> None:
    a, b, c = (floats(kind) for _ in range(3))
    for name, sources, function in (
        ("add.rn", [a, b], lambda x, y: x + y),
        ("sub.rn", [a, b], lambda x, y: x - y),
        ("mul.rn", [a, b], lambda x, y: x * y),
        ("fma.rn", [a, b, c], lambda x, y, z: x * y + z),
    ):
        text = f"{name}.{kind} %o, " + ", ".join("%" + "abc"[i] for i in range(len(sources))) + ";"
        got = execute(text, [(kind, s) for s in sources], kind).view(a.dtype)
        wants = [exact(function, *(float(v) for v in row)) for row in zip(*sources, strict=True)]
        wants = [None if w is None else rounded(w, "rn", FORMATS[kind]) for w in wants]
        compare(got, wants, sources)
        pairs = [np.stack([s, np.roll(s, 1)], axis=1).reshape(-1).view(np.uint32) for s in sources]
        packed = execute(
            text.replace(f".{kind}", f".{kind}x2"), [(f"{kind}x2", p) for p in pairs], f"{kind}x2"
        )
        halves = packed.view(a.dtype).reshape(-1, 2).astype("f")
        np.testing.assert_array_equal(halves[:, 0], got.astype("f"))
        np.testing.assert_array_equal(halves[:, 1], np.roll(got, 1).astype("f"))


@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_min_max_and_nan(execute: Execute, kind: str) -> None:
    a, b = floats(kind), floats(kind)
    for name, choose in (("min", min), ("max", max)):
        for suffix in ("", ".NaN") if kind != "f64" else ("",):
            got = execute(f"{name}{suffix}.{kind} %o, %a, %b;", [(kind, a), (kind, b)], kind).view(
                a.dtype
            )
            for x, y, z in zip(a.astype("f8"), b.astype("f8"), got.astype("f8"), strict=True):
                if np.isnan(x) or np.isnan(y):
                    want = (
                        np.nan
                        if suffix or (np.isnan(x) and np.isnan(y))
                        else y
                        if np.isnan(x)
                        else x
                    )
                elif x == y == 0:
                    want = choose(np.copysign(1, x), np.copysign(1, y)) * 0.0
                else:
                    want = choose(x, y)
                assert (np.isnan(z) and np.isnan(want)) or (
                    z == want and np.signbit(z) == np.signbit(want)
                )


def test_ftz_and_sat(execute: Execute) -> None:
    a, b = floats("f32"), floats("f32")
    tiny = np.float32(2**-126)

    def flush(x: np.ndarray) -> np.ndarray:
        return np.where(np.abs(x) < tiny, np.copysign(np.float32(0), x), x)

    with np.errstate(all="ignore"):
        got = execute("mul.ftz.f32 %o, %a, %b;", [("f32", a), ("f32", b)], "f32")
        np.testing.assert_array_equal(got, flush(flush(a) * flush(b)))
        got = execute("add.sat.f32 %o, %a, %b;", [("f32", a), ("f32", b)], "f32")
        total = a + b
        np.testing.assert_array_equal(got, np.where(np.isnan(total), 0, np.clip(total, 0, 1)))


@pytest.mark.parametrize(("name", "function", "bound"), [
    ("ex2", np.exp2, 2**-22), ("lg2", np.log2, 2**-22), ("rcp", np.reciprocal, 2**-22), ("sqrt", np.sqrt, 2**-22),
    ("rsqrt", lambda x: 1 / np.sqrt(x), 2**-22), ("sin", np.sin, 2**-20), ("cos", np.cos, 2**-20), ("tanh", np.tanh, 2**-10),
])  # fmt: skip
def test_approximations_are_within_the_manuals_bounds(
    execute: Execute, name: str, function: Any, bound: float
) -> None:
    a = np.random.default_rng().uniform(0.01, 3, N).astype("f")
    got = execute(f"{name}.approx.f32 %o, %a;", [("f32", a)], "f32")
    want = function(a.astype("f8"))
    assert (np.abs(got - want) <= bound * np.maximum(np.abs(want), 1)).all()


# -- comparison and conversion -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["s16", "u32", "s64", "f32", "f64", "f16", "bf16"])
def test_comparisons(execute: Execute, kind: str) -> None:
    is_float = "f" in kind
    a, b = (floats(kind), floats(kind)) if is_float else (integers(kind), integers(kind))
    b[::4] = a[::4]
    x, y = (v.astype("f8") if is_float else v for v in (a, b))
    nan = np.isnan(x) | np.isnan(y) if is_float else np.zeros(N, bool)
    table = {"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y}
    for name, want in table.items():
        forms = {name: want & ~nan} | ({name + "u": want | nan} if is_float else {})
        for form, truth in forms.items():
            got = execute(
                f"setp.{form}.{kind} %p, %a, %b; selp.b32 %o, 5, 9, %p;",
                [(kind, a), (kind, b)],
                "u32",
            )
            np.testing.assert_array_equal(got == 5, truth, err_msg=form)
    got = execute(
        f"setp.eq.{kind} %p2, %a, %a; setp.lt.and.{kind} %p|%p1, %a, %b, !%p2;"
        "selp.b32 %x, 1, 0, %p; selp.b32 %y, 2, 0, %p1; add.u32 %o, %x, %y;",
        [(kind, a), (kind, b)], "u32",
    )  # fmt: skip
    third = np.isnan(x) if is_float else np.zeros(N, bool)
    less = (x < y) & ~nan
    np.testing.assert_array_equal(got, (less & third) * 1 + (~less & third) * 2)


INTS = ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"]


@pytest.mark.parametrize("source", INTS[2:])
@pytest.mark.parametrize("target", INTS)
def test_integer_conversions(execute: Execute, source: str, target: str) -> None:
    a = integers(source)
    info = np.iinfo(dtype_of(target))
    bits = max(bits_of(target), 16)
    for sat in ("", ".sat"):
        got = execute(f"cvt{sat}.{target}.{source} %o, %a;", [(source, a)], f"{target[0]}{bits}")
        want = [min(max(int(x), info.min), info.max) if sat else wrap(int(x), target) for x in a]
        np.testing.assert_array_equal(got, np.array(want, got.dtype))


@pytest.mark.parametrize("source", ["f16", "bf16", "f32", "f64"])
@pytest.mark.parametrize("target", ["s8", "u16", "s32", "u32", "s64", "u64"])
def test_floats_to_integers_round_and_saturate(execute: Execute, source: str, target: str) -> None:
    a = floats(source)
    a[::5] = (np.random.default_rng().standard_normal(len(a[::5])) * 100).astype(a.dtype)
    a[1::40] = a.dtype.type(2.5)
    info = np.iinfo(dtype_of(target))
    bits = max(bits_of(target), 16)
    for mode, function in (
        ("rni", np.rint),
        ("rzi", np.trunc),
        ("rmi", np.floor),
        ("rpi", np.ceil),
    ):
        got = execute(f"cvt.{mode}.{target}.{source} %o, %a;", [(source, a)], f"{target[0]}{bits}")
        for x, z in zip(a.astype("f8"), got, strict=True):
            if np.isnan(x):
                wide = source == "f64" or bits_of(target) == 64
                want = wrap(1 << (bits_of(target) - 1), target) if wide else 0
            elif np.isinf(x):
                want = info.max if x > 0 else info.min
            else:
                want = min(max(int(function(x)), info.min), info.max)
            assert int(z) == want, (mode, x)


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("source", ["s32", "u64", "s64"])
@pytest.mark.parametrize("target", ["f32", "f64", "f16"])
def test_integers_to_floats(execute: Execute, source: str, target: str, mode: str) -> None:
    a = integers(source)
    if target == "f16":
        a = (a % 50000).astype(a.dtype)
    got = execute(f"cvt.{mode}.{target}.{source} %o, %a;", [(source, a)], target)
    compare(got.astype("f8"), [rounded(Fraction(int(x)), mode, FORMATS[target]) for x in a], [a])


NARROWING = [("f64", "f32"), ("f64", "f16"), ("f32", "f16"), ("f32", "bf16"), ("f64", "bf16")]


@pytest.mark.parametrize(
    ("source", "target", "mode"),
    [
        (*pair, mode)
        for pair in NARROWING
        for mode in ("rn", "rz", "rm", "rp")
        if pair[1] != "bf16" or mode in ("rn", "rz")  # PTX has no others
    ],
)
def test_narrowing_floats(execute: Execute, source: str, target: str, mode: str) -> None:
    a = floats(source)
    a[::3] = a[::3].astype("f4").astype("f2").astype(a.dtype) * a.dtype.type(1 + 2**-11)
    got = execute(f"cvt.{mode}.{target}.{source} %o, %a;", [(source, a)], target)
    got = got.view(ml_dtypes.bfloat16) if target == "bf16" else got
    finite = [
        rounded(Fraction(float(x)), mode, FORMATS[target]) if np.isfinite(x) else None for x in a
    ]
    compare(got.astype("f8"), finite, [a])
    assert np.isnan(got[np.isnan(a)].astype("f8")).all()
    np.testing.assert_array_equal(got[np.isinf(a)].astype("f8"), a[np.isinf(a)].astype("f8"))


@pytest.mark.parametrize(("kind", "dtype"), [("f16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_packed_conversion_puts_the_first_source_high(
    execute: Execute, kind: str, dtype: Any
) -> None:
    a, b = floats("f32"), floats("f32")
    with np.errstate(all="ignore"):
        high, low = a.astype(dtype), b.astype(dtype)
    got = (
        execute(f"cvt.rn.{kind}x2.f32 %o, %a, %b;", [("f32", a), ("f32", b)], "b32")
        .view(dtype)
        .reshape(-1, 2)
    )
    np.testing.assert_array_equal(got[:, 0].astype("f"), low.astype("f"))
    np.testing.assert_array_equal(got[:, 1].astype("f"), high.astype("f"))


@pytest.mark.parametrize(
    ("kind", "dtype"), [("e4m3", ml_dtypes.float8_e4m3fn), ("e5m2", ml_dtypes.float8_e5m2)]
)
def test_fp8(execute: Execute, kind: str, dtype: Any) -> None:
    a, b = (np.random.default_rng().standard_normal(N).astype("f") * 50 for _ in range(2))
    a[:4] = [1e9, -1e9, np.nan, np.inf]
    got = execute(f"cvt.rn.satfinite.{kind}x2.f32 %x, %a, %b; mov.b32 %o, %x;".replace("%x", "%h").replace(
        "cvt", ".reg .b16 %h; cvt").replace("mov.b32 %o, %h", "mov.b32 %o, {%h, 0}"), [("f32", a), ("f32", b)], "b32")  # fmt: skip
    codes = got.view(np.uint8).reshape(-1, 4)[:, :2]
    top = float(ml_dtypes.finfo(dtype).max)
    for column, source in ((1, a), (0, b)):
        want = np.clip(source, -top, top).astype(dtype)
        np.testing.assert_array_equal(codes[:, column].view(dtype).astype("f"), want.astype("f"))
    every = (
        np.arange(1024).astype(np.uint16) & 255 | (np.arange(1024).astype(np.uint16) * 7 & 255) << 8
    )
    back = (
        execute(f"cvt.rn.f16x2.{kind}x2 %o, %a;", [("b16", every)], "b32")
        .view(np.float16)
        .reshape(-1, 2)
    )
    for column in range(2):
        codes = (every >> 8 * column & 255).astype(np.uint8).view(dtype)
        np.testing.assert_array_equal(back[:, column], codes.astype(np.float16))


@pytest.mark.parametrize("mode", ["rna", "rn", "rz"])
def test_tf32_keeps_ten_bits(execute: Execute, mode: str) -> None:
    a = np.random.default_rng().standard_normal(N).astype("f")
    got = execute(f"cvt.{mode}.tf32.f32 %o, %a;", [("f32", a)], "tf32").view("f")
    assert (got.view(np.uint32) & 0x1FFF == 0).all()
    ulp = np.spacing(np.abs(a)).astype("f8") * 2**13
    assert (np.abs(got - a.astype("f8")) <= (ulp if mode == "rz" else ulp / 2)).all()


# -- warp-collective ---------------------------------------------------------------------------


def test_shuffles_follow_the_manuals_pseudo_code(execute: Execute) -> None:
    rng = np.random.default_rng()
    for mode in ("up", "down", "bfly", "idx"):
        for segment in (0, 0x1000, 0x1800):
            a, b = integers("u32"), rng.integers(0, 40, N).astype(np.uint32)
            c = (0 if mode == "up" else 31) | segment
            got = execute(
                f"shfl.sync.{mode}.b32 %x|%p, %a, %b, {c}, -1; selp.b32 %y, 7, 0, %p; xor.b32 %o, %x, %y;",
                [("u32", a), ("u32", b)], "u32",
            )  # fmt: skip
            for index in range(N):
                lane, base = index % 32, index // 32 * 32
                by, mask = int(b[index]) & 31, c >> 8 & 31
                limit = (lane & mask) | ((c & 31) & ~mask)
                low = lane & mask
                j = {
                    "up": lane - by,
                    "down": lane + by,
                    "bfly": lane ^ by,
                    "idx": low | by & ~mask & 31,
                }[mode]
                valid = j >= limit if mode == "up" else j <= limit
                want = int(a[base + (j if valid else lane)]) ^ (7 if valid else 0)
                assert int(got[index]) == want, (mode, lane, by)


def test_votes_matches_and_reductions(execute: Execute) -> None:
    a = np.random.default_rng().integers(0, 4, N).astype(np.uint32)
    rows = a.reshape(-1, 32)
    bit = np.uint32(1) << np.arange(32, dtype=np.uint32)
    got = execute("setp.eq.u32 %p, %a, 1; vote.sync.ballot.b32 %o, %p, -1;", [("u32", a)], "u32")
    np.testing.assert_array_equal(got, np.repeat(((rows == 1) * bit).sum(1).astype(np.uint32), 32))
    got = execute("match.any.sync.b32 %o, %a, -1;", [("u32", a)], "u32")
    want = ((rows[:, :, None] == rows[:, None, :]) * bit).sum(2).astype(np.uint32)
    np.testing.assert_array_equal(got, want.ravel())
    for name, ufunc in (
        ("add", np.add),
        ("min", np.minimum),
        ("max", np.maximum),
        ("xor", np.bitwise_xor),
    ):
        kind = "b32" if name == "xor" else "u32"
        got = execute(f"redux.sync.{name}.{kind} %o, %a, -1;", [("u32", a)], "u32")
        np.testing.assert_array_equal(got, np.repeat(ufunc.reduce(rows, axis=1), 32))
    got = execute(
        "setp.lt.u32 %p, %a, 2; mov.u32 %o, 0; @%p bra L; activemask.b32 %o; L: bar.warp.sync -1;",
        [("u32", a)], "u32",
    )  # fmt: skip
    mask = ((rows >= 2) * bit).sum(1).astype(np.uint32)
    np.testing.assert_array_equal(got, np.where(a < 2, 0, np.repeat(mask, 32)))
    got = execute("elect.sync %x|%p, -1; selp.b32 %o, 1, 0, %p;", [("u32", a)], "u32")
    np.testing.assert_array_equal(got, np.arange(N) % 32 == 0)


def test_lanes_meet_at_shuffles_of_partial_masks(execute: Execute) -> None:
    """Two halves of a warp shuffle on different paths, then the whole warp."""
    a = integers("u32")
    got = execute(
        """mov.u32 %x, %laneid; setp.lt.u32 %p, %x, 16; @%p bra L;
        shfl.sync.bfly.b32 %y, %a, 1, 31, 0xFFFF0000; bra M;
        L: shfl.sync.bfly.b32 %y, %a, 2, 31, 0x0000FFFF;
        M: shfl.sync.bfly.b32 %o, %y, 16, 31, -1;""",
        [("u32", a)], "u32",
    )  # fmt: skip
    lane = np.arange(N) % 32
    y = a[np.where(lane < 16, np.arange(N) ^ 2, np.arange(N) ^ 1)]
    np.testing.assert_array_equal(got, y[np.arange(N) ^ 16])
