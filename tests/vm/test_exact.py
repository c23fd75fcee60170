"""Instructions against Python integers and rationals, bit by bit, on random and on awkward values.

Rows are (instruction, source types, target type, reference). The reference sees codes: integers as the type
says, floats as their bits. The manual's pseudo code is followed where it gives one.
"""

# ruff: noqa: E501  (rows stay whole)

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from tilewright.tests.vm.execution import Execute, bits_of, check, wrap
from tilewright.tests.vm.references import (
    FORMATS,
    computed,
    converted,
    decode,
    encode,
    integral,
    is_special,
    rounded,
)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NaN and overflow are meant
Row = tuple[str, list[str], str, Callable[..., Any]]
M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def clamp(value: int, kind: str) -> int:
    bits = bits_of(kind)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[0] == "s" else (0, (1 << bits) - 1)
    return min(max(value, low), high)


def run_rows(execute: Execute, rows: list[Row], small: tuple[int, ...] = ()) -> None:
    for text, sources, target, reference in rows:
        letters = ", ".join("%" + "abcd"[i] for i in range(len(sources)))
        body = text if "%" in text else f"{text} %o, {letters};"
        check(execute, body, sources, target, reference, small=small)


# -- integers ------------------------------------------------------------------------------------


def pairwise(function: Callable[[int, int], int], kind: str) -> Callable[[int, int], int]:
    """A function of 16-bit parts on both halves."""

    def both(a: int, b: int) -> int:
        parts = []
        for shift in (0, 16):
            x, y = (v >> shift & 0xFFFF for v in (a, b))
            if kind[0] == "s":
                x, y = signed(x, 16), signed(y, 16)
            parts.append(function(x, y) & 0xFFFF)
        return parts[1] << 16 | parts[0]

    return both


def test_sums_and_differences(execute: Execute) -> None:
    rows: list[Row] = []
    for kind in ("u16", "s16", "u32", "s32", "u64", "s64"):
        rows.append((f"sad.{kind}", [kind] * 3, kind, lambda a, b, c: abs(a - b) + c))
    for kind in ("s16", "s32", "s64"):
        rows.append((f"abs.{kind}", [kind], kind, abs))
        rows.append((f"neg.{kind}", [kind], kind, lambda a: -a))
    rows.append(("add.sat.s32", ["s32", "s32"], "s32", lambda a, b: clamp(a + b, "s32")))
    rows.append(("sub.sat.s32", ["s32", "s32"], "s32", lambda a, b: clamp(a - b, "s32")))
    for kind in ("u16x2", "s16x2"):
        for name, function in (("add", lambda a, b: a + b), ("min", min), ("max", max)):
            rows.append((f"{name}.{kind}", [kind, kind], kind, pairwise(function, kind)))
    for name, function in (("min", min), ("max", max)):
        rows.append(
            (f"{name}.relu.s32", ["s32", "s32"], "s32", lambda a, b, f=function: max(f(a, b), 0))
        )
        rows.append((f"{name}.relu.s16x2", ["s16x2", "s16x2"], "s16x2",
                     pairwise(lambda a, b, f=function: max(f(a, b), 0), "s16x2")))  # fmt: skip
    run_rows(execute, rows)


def test_products(execute: Execute) -> None:
    rows: list[Row] = []
    for kind in ("u16", "s16", "u32", "s32", "u64", "s64"):
        bits = bits_of(kind)
        rows.append((f"mad.lo.{kind}", [kind] * 3, kind, lambda a, b, c: a * b + c))
        rows.append((f"mad.hi.{kind}", [kind] * 3, kind, lambda a, b, c, n=bits: (a * b >> n) + c))
    rows.append(
        ("mad.hi.sat.s32", ["s32"] * 3, "s32", lambda a, b, c: clamp((a * b >> 32) + c, "s32"))
    )
    for kind in ("u32", "s32"):

        def low24(v: int, k: str = kind) -> int:
            return signed(v, 24) if k == "s32" else v & 0xFFFFFF

        rows.append((f"mul24.lo.{kind}", [kind] * 2, kind, lambda a, b, f=low24: f(a) * f(b)))
        rows.append((f"mul24.hi.{kind}", [kind] * 2, kind, lambda a, b, f=low24: f(a) * f(b) >> 16))
        rows.append(
            (f"mad24.lo.{kind}", [kind] * 3, kind, lambda a, b, c, f=low24: f(a) * f(b) + c)
        )
        rows.append(
            (f"mad24.hi.{kind}", [kind] * 3, kind, lambda a, b, c, f=low24: (f(a) * f(b) >> 16) + c)
        )
    rows.append(("mad24.hi.sat.s32", ["s32"] * 3, "s32",
                 lambda a, b, c: clamp((signed(a, 24) * signed(b, 24) >> 16) + c, "s32")))  # fmt: skip
    run_rows(execute, rows)


def halves_of(v: int, kind: str, bits: int) -> list[int]:
    parts = [v >> i & ((1 << bits) - 1) for i in range(0, 32, bits)]
    return [signed(p, bits) for p in parts] if kind == "s32" else parts


def test_dot_products_of_two(execute: Execute) -> None:
    rows: list[Row] = []
    for half, a_kind, b_kind in itertools.product(("lo", "hi"), ("u32", "s32"), ("u32", "s32")):

        def dot(a: int, b: int, c: int, h: str = half, ka: str = a_kind, kb: str = b_kind) -> int:
            x, y = halves_of(a, ka, 16), halves_of(b, kb, 8)[2 * (h == "hi") :]
            return x[0] * y[0] + x[1] * y[1] + c

        rows.append((f"dp2a.{half}.{a_kind}.{b_kind}", ["u32", "u32", "u32"], "u32", dot))
    run_rows(execute, rows)


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_carries(execute: Execute, kind: str) -> None:
    """Each body leaves the carry (or borrow) of the first operation to the second, and shows the last one."""
    bits = bits_of(kind)
    ones = (1 << bits) - 1
    w = "w" if bits == 64 else "x"
    show = (
        f"addc.{kind} %{w}1, 0, 0; xor.b{bits} %o, %o, %{w}1;"
        if bits == 64
        else f"addc.{kind} %y, 0, 0; xor.b32 %o, %o, %y;"
    )

    def add(a: int, b: int, c: int) -> int:
        first = (a & ones) + (b & ones)
        total = (c & ones) + (b & ones) + (first >> bits)
        return (first ^ total ^ total >> bits) & ones

    def sub(a: int, b: int, c: int) -> int:
        first = (a & ones) - (b & ones)
        total = (c & ones) - (b & ones) - (first < 0)
        return (first ^ total ^ (total < 0)) & ones

    body = (
        f"{{0}}.cc.{kind} %{w}, %a, %b; {{0}}c.cc.{kind} %o, %c, %b; xor.b{bits} %o, %o, %{w};"
        + show
    )
    check(execute, body.format("add"), [kind] * 3, kind, add)
    check(execute, body.format("sub"), [kind] * 3, kind, sub)

    def mad(a: int, b: int, c: int, high: bool) -> int:
        low = (a & ones) * (b & ones) if kind[0] == "u" else a * b
        first = (low & ones) + (c & ones)
        part = (low >> bits if high else low) & ones
        total = part + (b & ones) + (first >> bits)
        return (first ^ total ^ total >> bits) & ones

    for side in ("lo", "hi"):
        body = (
            f"mad.lo.cc.{kind} %{w}, %a, %b, %c; madc.{side}.cc.{kind} %o, %a, %b, %b; xor.b{bits} %o, %o, %{w};"
            + show
        )
        check(execute, body, [kind] * 3, kind, lambda a, b, c, s=side: mad(a, b, c, s == "hi"))


# -- bits ----------------------------------------------------------------------------------------


def nth_set(mask: int, base: int, offset: int) -> int:
    """The manual's fns."""
    if offset == 0:
        return base if mask >> base & 1 else M32
    position, count = base, abs(offset) - 1
    step = 1 if offset > 0 else -1
    while 0 <= position < 32:
        if mask >> position & 1:
            if count == 0:
                return position
            count -= 1
        position += step
    return M32


def extended(a: int, b: int, kind: str, mode: str) -> int:
    size = min(b, 32) if mode == "clamp" else b & 31
    if size == 0:
        return 0
    return signed(a, size) if kind == "s32" else a & ((1 << size) - 1)


def mask_of(a: int, b: int, mode: str) -> int:
    first, count = (a, b) if mode == "clamp" else (a & 31, b & 31)
    return sum(1 << i for i in range(first, min(first + count, 32))) if first < 32 else 0


def test_bits(execute: Execute) -> None:
    rows: list[Row] = []
    for bits in (16, 32, 64):
        kind = f"b{bits}"
        rows.append((f"not.{kind}", [kind], kind, lambda a: ~a))
        rows.append((f"cnot.{kind}", [kind], kind, lambda a: int(a == 0)))
        for name, function in (("and", int.__and__), ("or", int.__or__), ("xor", int.__xor__)):
            rows.append((f"{name}.{kind}", [kind, kind], kind, function))
    run_rows(execute, rows)
    rows = []
    for mode in ("clamp", "wrap"):
        rows.append(
            (f"bmsk.{mode}.b32", ["u32", "u32"], "u32", lambda a, b, m=mode: mask_of(a, b, m))
        )
        for kind in ("u32", "s32"):
            rows.append(
                (
                    f"szext.{mode}.{kind}",
                    ["u32", "u32"],
                    "u32",
                    lambda a, b, k=kind, m=mode: extended(a, b, k, m),
                )
            )
    run_rows(execute, rows, small=(0, 1))
    run_rows(execute, rows, small=(1,))
    body = "and.b32 %b, %b, 31; sub.u32 %c, %c, 35; fns.b32 %o, %a, %b, %c;"
    check(
        execute,
        body,
        ["u32", "u32", "u32"],
        "u32",
        lambda a, b, c: nth_set(a, b & 31, signed(c - 35, 32)),
        small=(1, 2),
    )


def test_lop3_with_a_predicate(execute: Execute) -> None:
    def table(a: int, b: int, c: int) -> int:
        return sum(
            (0x6A >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1)) & 1) << i
            for i in range(32)
        )

    body = "setp.ne.u32 %p1, %b, 7; lop3.{0}.b32 %x|%p, %a, %b, %c, 0x6A, %p1; selp.u32 %y, 1, 0, %p; xor.b32 %o, %x, %y;"
    for name, function in (("or", lambda x, q: x != 0 or q), ("and", lambda x, q: x != 0 and q)):
        check(execute, body.format(name), ["u32"] * 3, "u32",
              lambda a, b, c, f=function: table(a, b, c) ^ int(f(table(a, b, c), b != 7)))  # fmt: skip


# -- video ---------------------------------------------------------------------------------------


def scalar_video(
    name: str, types: tuple[str, str, str], tail: str
) -> Callable[[int, int, int], int]:
    """The scalar forms without selectors."""
    d, a_type, b_type = types

    def function(a: int, b: int, c: int) -> int:
        x, y = (signed(v, 32) if t == "s32" else v for v, t in ((a, a_type), (b, b_type)))
        by = min(y, 32) if ".clamp" in tail else y & 31
        value = {"add": x + y, "sub": x - y, "absdiff": abs(x - y), "min": min(x, y), "max": max(x, y),
                 "shl": x << by, "shr": x >> by}[name]  # fmt: skip
        if ".sat" in tail:
            value = clamp(value, d)
        last = tail.rsplit(".", 1)[-1]
        if last in ("add", "min", "max"):
            third = signed(c, 32) if d == "s32" else c
            value = signed(value, 32) if d == "s32" else value & M32
            value = {"add": value + third, "min": min(value, third), "max": max(value, third)}[last]
        return value & M32

    return function


def test_scalar_video(execute: Execute) -> None:
    tails = itertools.cycle(("", ".sat", ".add", ".sat.min", ".max", ".sat.add", ".min"))
    for name, types in itertools.product(
        ("add", "sub", "absdiff", "min", "max"), itertools.product(("u32", "s32"), repeat=3)
    ):
        tail = next(tails)
        c = ", %c" if tail.rsplit(".", 1)[-1] in ("add", "min", "max") else ""
        check(
            execute,
            f"v{name}.{'.'.join(types)}{tail} %o, %a, %b{c};",
            ["u32"] * 3,
            "u32",
            scalar_video(name, types, tail),
        )
    for name, tail in itertools.product(
        ("shl", "shr"), (".clamp", ".wrap", ".sat.clamp", ".wrap.add")
    ):
        types = ("s32", "s32", "u32")
        c = ", %c" if tail.endswith(".add") else ""
        check(execute, f"v{name}.{'.'.join(types)}{tail} %o, %a, %b{c};", ["u32"] * 3, "u32",
              scalar_video(name, types, tail), small=(1,))  # fmt: skip


def test_video_parts_and_merges(execute: Execute) -> None:
    check(execute, "vadd.s32.u32.s32 %o.h1, %a.b3, %b.h0, %c;", ["u32"] * 3, "u32",
          lambda a, b, c: c & 0xFFFF | ((a >> 24) + signed(b, 16) & 0xFFFF) << 16)  # fmt: skip
    check(execute, "vsub.u32.u32.u32.sat %o.b2, %a.b0, %b.b1, %c;", ["u32"] * 3, "u32",
          lambda a, b, c: c & ~0xFF0000 | max((a & 255) - (b >> 8 & 255), 0) << 16)  # fmt: skip
    check(execute, "vset.u32.s32.lt.add %o, %a, %b.h1, %c;", ["u32"] * 3, "u32",
          lambda a, b, c: int(a < signed(b >> 16, 16)) + c)  # fmt: skip
    for scale in (0, 7, 15):
        tail = f".shr{scale}" if scale else ""
        check(
            execute,
            f"vmad.u32.u32.u32{tail} %o, %a, %b, %c;",
            ["u32"] * 3,
            "u32",
            lambda a, b, c, n=scale: (a * b + c) >> n,
        )
        check(execute, f"vmad.s32.s32.u32.sat{tail} %o, %a, %b, %c;", ["s32", "u32", "s32"], "s32",
              lambda a, b, c, n=scale: clamp((a * b + c) >> n, "s32"))  # fmt: skip
    check(
        execute,
        "vmad.s32.s32.s32.po %o, %a, %b, %c;",
        ["s32"] * 3,
        "s32",
        lambda a, b, c: a * b + c + 1,
    )


SIMD: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "min": min, "max": max,
    "absdiff": lambda a, b: abs(a - b), "avrg": lambda a, b: (a + b + (a + b >= 0)) >> 1,
}  # fmt: skip


@pytest.mark.parametrize("lanes", [2, 4])
def test_simd_video(execute: Execute, lanes: int) -> None:
    bits = 32 // lanes
    part = f"s{bits}", f"u{bits}"

    def reference(
        name: str, types: tuple[str, str, str], tail: str
    ) -> Callable[[int, int, int], int]:
        def function(a: int, b: int, c: int) -> int:
            x, y = halves_of(a, types[1], bits), halves_of(b, types[2], bits)
            values = [SIMD[name](*pair) for pair in zip(x, y, strict=True)]
            if ".sat" in tail:
                values = [clamp(v, part[types[0] == "u32"]) for v in values]
            if ".add" in tail:
                return sum(values) + c
            return sum((v & ((1 << bits) - 1)) << i * bits for i, v in enumerate(values))

        return function

    for name, types in itertools.product(SIMD, itertools.product(("u32", "s32"), repeat=3)):
        for tail in ("", ".sat") if types[0] == types[1] else (".add",):
            check(execute, f"v{name}{lanes}.{'.'.join(types)}{tail} %o, %a, %b, %c;", ["u32"] * 3, "u32",
                  reference(name, types, tail))  # fmt: skip
    picks = ("10", "32") if lanes == 2 else ("3210", "7654")
    letter = "h" if lanes == 2 else "b"
    mixed = f"vadd{lanes}.u32.u32.u32 %o.{letter}{picks[0][-2:]}, %a.{letter}{picks[1]}, %b.{letter}{picks[0]}, %c;"
    kept = (1 << 2 * bits) - 1  # a's selector takes b's parts, and the other way round

    def crossed(a: int, b: int, c: int) -> int:
        total = reference("add", ("u32", "u32", "u32"), "")(b, a, c)
        return total & kept | c & ~kept

    check(execute, mixed, ["u32"] * 3, "u32", crossed)


# -- floating point ------------------------------------------------------------------------------

MODES = ("rn", "rz", "rm", "rp")


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("mode", MODES)
def test_arithmetic_with_special_values(execute: Execute, kind: str, mode: str) -> None:
    tails = ("", ".ftz", ".sat", ".ftz.sat") if kind == "f32" else ("",)
    for name, count in (("add", 2), ("sub", 2), ("mul", 2), ("fma", 3)):
        for tail in tails:
            check(execute, f"{name}.{mode}{tail}.{kind} %o, {', '.join(['%a', '%b', '%c'][:count])};", [kind] * count, kind,
                  computed(name, kind, mode, tail))  # fmt: skip
    for name, count in (("div", 2), ("rcp", 1), ("sqrt", 1)):
        for tail in tails[:2]:
            check(execute, f"{name}.{mode}{tail}.{kind} %o, {', '.join(['%a', '%b'][:count])};", [kind] * count, kind,
                  computed(name, kind, mode, tail))  # fmt: skip


def on_pairs(function: Callable[..., int]) -> Callable[..., int]:
    def both(*codes: int) -> int:
        return function(*(c >> 16 for c in codes)) << 16 | function(*(c & 0xFFFF for c in codes))

    return both


def nan_free(function: Callable[..., int], kind: str) -> Callable[..., int | None]:
    """Leaves pairs with a NaN open: payloads are not promised, and a code holds two halves."""
    ones = {"f16": 0x7C00, "bf16": 0x7F80}[kind]

    def checked(*codes: int) -> int | None:
        result = function(*codes)
        halves = (result & 0x7FFF, result >> 16 & 0x7FFF)
        return None if any(h > ones for h in halves) else result

    return checked


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_halves_with_special_values(execute: Execute, kind: str) -> None:
    plain = ("", ".ftz", ".sat", ".ftz.sat") if kind == "f16" else ("",)
    fused = ("", ".ftz", ".sat", ".relu", ".ftz.relu") if kind == "f16" else ("", ".relu")
    for name, count, tails in (
        ("add", 2, plain),
        ("sub", 2, plain),
        ("mul", 2, plain),
        ("fma", 3, fused),
    ):
        rounding = ".rn" if name == "fma" else ""
        operands = ", ".join(["%a", "%b", "%c"][:count])
        for tail in tails:
            reference = computed(name, kind, "rn", tail)
            check(
                execute,
                f"{name}{rounding}{tail}.{kind} %o, {operands};",
                [kind] * count,
                kind,
                reference,
            )
            check(execute, f"{name}{rounding}{tail}.{kind}x2 %o, {operands};", [f"{kind}x2"] * count, f"{kind}x2",
                  nan_free(on_pairs(reference), kind))  # fmt: skip


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_fma_oob_is_zero_outside(execute: Execute, kind: str) -> None:
    inner = computed("fma", kind, "rn", "")
    body = (
        f"setp.gt.u16 %p, %b, 40000; selp.b16 %a, 0x7FFF, %a, %p; fma.rn.oob.{kind} %o, %a, %b, %c;"
    )
    check(execute, body, [kind] * 3, kind,
          lambda a, b, c: 0 if 0x7FFF in (0x7FFF if b > 40000 else a, b) else inner(a, b, c))  # fmt: skip


def chosen(name: str, kind: str, tail: str) -> Callable[[int, int], int]:
    form = FORMATS[kind]

    def function(a: int, b: int) -> int:
        x, y = decode(a, kind), decode(b, kind)
        if ".ftz" in tail:
            x, y = (
                v if is_special(v) or abs(v) >= form.tiny else math.copysign(0.0, v) for v in (x, y)
            )
        nans = [v != v for v in (x, y)]
        if all(nans) or (".NaN" in tail and any(nans)):
            return encode(math.nan, kind)
        negative = (a ^ b) >> (form.bits - 1) & 1
        if ".abs" in tail:
            x, y = abs(x), abs(y)
        if any(nans):
            value = y if nans[0] else x
        else:
            key = lambda v: (v, math.copysign(1.0, v))  # noqa: E731
            value = (min if name == "min" else max)(x, y, key=key)
        if ".xorsign" in tail:
            value = -abs(value) if negative else abs(value)
        return encode(value, kind)

    return function


@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_extremes_with_every_modifier(execute: Execute, kind: str) -> None:
    tails = [""]
    if kind != "f64":
        flushes = ("",) if kind == "bf16" else ("", ".ftz")
        tails = ["".join(t) for t in itertools.product(flushes, ("", ".NaN"), ("", ".xorsign.abs"))]
    for name, tail in itertools.product(("min", "max"), tails):
        check(
            execute,
            f"{name}{tail}.{kind} %o, %a, %b;",
            [kind, kind],
            kind,
            chosen(name, kind, tail),
        )


@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_signs_and_classes(execute: Execute, kind: str) -> None:
    top = 1 << (bits_of(kind) - 1)
    rows: list[Row] = [
        (f"abs.{kind}", [kind], kind, lambda a: a & ~top),
        (f"neg.{kind}", [kind], kind, lambda a: a ^ top),
    ]
    if kind in ("f32", "f64"):
        form = FORMATS[kind]
        rows.append((f"copysign.{kind}", [kind, kind], kind, lambda a, b: a & top | b & ~top))
        classes: dict[str, Callable[[Any], bool]] = {
            "finite": lambda v: not is_special(v), "infinite": lambda v: abs(v) == math.inf,
            "number": lambda v: v == v, "notanumber": lambda v: v != v,
            "normal": lambda v: not is_special(v) and abs(v) >= form.tiny,
            "subnormal": lambda v: v != 0 and abs(v) < form.tiny,
        }  # fmt: skip
        for name, holds in classes.items():
            rows.append((f"testp.{name}.{kind} %p, %a; selp.u32 %o, 1, 0, %p;", [kind], "u32",
                         lambda a, h=holds: int(h(decode(a, kind)))))  # fmt: skip
    run_rows(execute, rows)


# -- comparison and selection --------------------------------------------------------------------

RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
}  # fmt: skip


def related(name: str, x: Any, y: Any) -> bool:
    unordered = x != x or y != y
    if name in ("num", "nan"):
        return unordered == (name == "nan")
    if name in RELATIONS:
        return not unordered and RELATIONS[name](x, y)
    return unordered or RELATIONS[name[:-1]](x, y)


@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_set_and_its_values(execute: Execute, kind: str) -> None:
    names = [
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "equ",
        "neu",
        "ltu",
        "leu",
        "gtu",
        "geu",
        "num",
        "nan",
    ]
    small = kind in ("f16", "bf16")
    targets = {"u32": M32, "s32": M32} | (
        {kind: encode(Fraction(1), kind)} if small else {"f32": 0x3F800000}
    )
    for name, (target, true) in itertools.product(names, targets.items()):
        check(execute, f"set.{name}.{target}.{kind} %o, %a, %b;", [kind, kind], target,
              lambda a, b, n=name, t=true: t if related(n, decode(a, kind), decode(b, kind)) else 0)  # fmt: skip
    for operation, function in (("and", int.__and__), ("or", int.__or__), ("xor", int.__xor__)):
        check(execute, f"setp.eq.{kind} %p1, %a, 0f00000000; set.lt.{operation}.u32.{kind} %o, %a, %b, !%p1;".replace(
            "0f00000000", "%c"), [kind, kind, kind], "u32",
            lambda a, b, c, f=function: M32 * f(int(related("lt", decode(a, kind), decode(b, kind))),
                                               int(not related("eq", decode(a, kind), decode(c, kind)))))  # fmt: skip


def test_slct(execute: Execute) -> None:
    rows: list[Row] = []
    for kind in ("u16", "s32", "u64", "f32", "f64"):
        rows.append(
            (f"slct.{kind}.s32", [kind, kind, "s32"], kind, lambda a, b, c: a if c >= 0 else b)
        )
        rows.append(
            (
                f"slct.{kind}.f32",
                [kind, kind, "f32"],
                kind,
                lambda a, b, c: a if decode(c, "f32") >= 0 else b,
            )
        )
    rows.append(("slct.ftz.b32.f32", ["u32", "u32", "f32"], "u32",
                 lambda a, b, c: a if decode(c, "f32") >= 0 or abs(decode(c, "f32")) < FORMATS["f32"].tiny else b))  # fmt: skip
    run_rows(execute, rows)


# -- conversion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_floats_to_narrower_floats(execute: Execute, mode: str) -> None:
    pairs = [
        ("f64", "f32"),
        ("f64", "f16"),
        ("f32", "f16"),
        ("f64", "bf16"),
        ("f32", "bf16"),
        ("f16", "bf16"),
        ("bf16", "f16"),
    ]
    for source, target in pairs:
        tails = [""] if "bf16" in (source, target) else ["", ".sat"]
        if source == "f32" and target == "f16":
            tails += [".ftz"]
        if source == "f64" and target == "f32":
            tails += [".ftz", ".ftz.sat"]
        if source == "f32" and mode in ("rn", "rz"):
            tails += [".relu", ".satfinite", ".relu.satfinite"]
        for tail in tails:
            check(
                execute,
                f"cvt.{mode}{tail}.{target}.{source} %o, %a;",
                [source],
                target,
                converted(source, target, mode, tail),
            )


@pytest.mark.parametrize("mode", ["rn", "rz"])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_pairs_of_floats_to_halves(execute: Execute, kind: str, mode: str) -> None:
    for tail in ("", ".relu", ".satfinite", ".relu.satfinite"):
        one = converted("f32", kind, mode, tail)
        reference = nan_free(lambda a, b, f=one: f(a) << 16 | f(b), kind)
        check(
            execute,
            f"cvt.{mode}{tail}.{kind}x2.f32 %o, %a, %b;",
            ["f32", "f32"],
            f"{kind}x2",
            reference,
        )


def test_floats_to_wider_and_to_whole_floats(execute: Execute) -> None:
    for source, target in (
        ("f16", "f32"),
        ("f16", "f64"),
        ("bf16", "f32"),
        ("bf16", "f64"),
        ("f32", "f64"),
    ):
        tails = (
            ("", ".ftz", ".sat") if source == "f32" else ("", ".sat") if source == "f16" else ("",)
        )
        for tail in tails:
            check(
                execute,
                f"cvt{tail}.{target}.{source} %o, %a;",
                [source],
                target,
                converted(source, target, "rn", tail),
            )
    for kind, mode in itertools.product(
        ("f16", "bf16", "f32", "f64"), ("rni", "rzi", "rmi", "rpi")
    ):
        for tail in ("", ".ftz", ".sat") if kind == "f32" else ("",):
            check(
                execute,
                f"cvt.{mode}{tail}.{kind}.{kind} %o, %a;",
                [kind],
                kind,
                converted(kind, kind, mode, tail),
            )


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (source, target)
        for source in ("f16", "bf16", "f32", "f64")
        for target in ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64")
        if not (source == "bf16" and bits_of(target) == 8)  # PTX has no such conversion
    ],
)
def test_floats_to_every_integer(execute: Execute, source: str, target: str) -> None:
    wide = f"{target[0]}{max(bits_of(target), 16)}"
    for mode in ("rni", "rzi", "rmi", "rpi"):
        tails = (
            ("",) if source == "bf16" else ("", ".sat", ".ftz") if source == "f32" else ("", ".sat")
        )
        for tail in tails:

            def reference(code: int, m: str = mode, t: str = tail) -> int:
                value = decode(code, source)
                if value != value:  # NaN: zero, for 64 bits on either side the lowest bit pattern
                    return (
                        1 << (bits_of(target) - 1)
                        if source == "f64" or bits_of(target) == 64
                        else 0
                    )
                if is_special(value):
                    return clamp(1 << 80 if value > 0 else -(1 << 80), target)
                if ".ftz" in t and abs(value) < FORMATS["f32"].tiny:
                    value = 0.0
                return clamp(integral(Fraction(value), m), target)

            check(execute, f"cvt.{mode}{tail}.{target}.{source} %o, %a;", [source], wide,
                  lambda code, f=reference: wrap(f(code), target))  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_every_integer_to_floats(execute: Execute, mode: str) -> None:
    for source, target in itertools.product(("u16", "s16", "u32", "s32", "u64", "s64"), FORMATS):

        def reference(value: int, t: str = target) -> int:
            return encode(rounded(Fraction(value), mode, FORMATS[t]) if value else 0.0, t)

        check(execute, f"cvt.{mode}.{target}.{source} %o, %a;", [source], target, reference)
    for source in ("u8", "s8"):
        check(execute, f"cvt.{mode}.f32.{source} %o, %a;", ["u16"], "f32",
              lambda a, k=source: encode(Fraction(wrap(a, k)) if wrap(a, k) else 0.0, "f32"))  # fmt: skip


def test_integers_to_integers_of_every_width(execute: Execute) -> None:
    kinds = [f"{s}{n}" for n in (8, 16, 32, 64) for s in "us"]
    for source, target in itertools.product(kinds, kinds):
        wide_source = f"{source[0]}{max(bits_of(source), 16)}"
        wide = f"{target[0]}{max(bits_of(target), 16)}"
        for tail in ("", ".sat"):
            check(execute, f"cvt{tail}.{target}.{source} %o, %a;", [wide_source], wide,
                  lambda a, s=source, t=target, sat=tail: clamp(wrap(a, s), t) if sat else wrap(wrap(a, s), t))  # fmt: skip


def test_integers_packed_with_saturation(execute: Execute) -> None:
    for kind in ("u16", "s16"):
        check(execute, f"cvt.pack.sat.{kind}.s32 %o, %a, %b;", ["s32", "s32"], "u32",
              lambda a, b, k=kind: (clamp(a, k) & 0xFFFF) << 16 | clamp(b, k) & 0xFFFF)  # fmt: skip
    for kind in ("u8", "s8", "u4", "s4", "u2", "s2"):
        n = bits_of(kind)
        ones = (1 << n) - 1
        check(execute, f"shr.s32 %a, %a, 28; cvt.pack.sat.{kind}.s32.b32 %o, %a, %b, %c;", ["s32", "s32", "u32"], "u32",
              lambda a, b, c, k=kind, n=n, o=ones: (c << 2 * n | (clamp(a >> 28, k) & o) << n | clamp(b, k) & o) & M32)  # fmt: skip


@pytest.mark.parametrize("kind", ["e4m3", "e5m2"])
def test_fp8_of_every_half(execute: Execute, kind: str) -> None:
    """Rounding to nearest even and saturation, against the definition of the formats."""
    mantissa, bias, top = (3, 7, 0x7E) if kind == "e4m3" else (2, 15, 0x7B)

    def value_of(code: int) -> Fraction:
        exponent, fraction = code >> mantissa, code & ((1 << mantissa) - 1)
        return (fraction | (1 << mantissa if exponent else 0)) * Fraction(2) ** (
            max(exponent, 1) - bias - mantissa
        )

    values = [value_of(code) for code in range(top + 1)]

    def narrow(code: int, source: str, relu: bool) -> int:
        value = decode(code, source)
        if value != value:
            return 0x7F
        sign = 0x80 if math.copysign(1.0, value) < 0 else 0
        if relu and sign:
            return 0
        size = abs(value)
        if size >= values[-1]:
            return sign | top
        above = next(i for i, v in enumerate(values) if v >= size)
        if values[above] == size:
            return sign | above
        low, high = size - values[above - 1], values[above] - size
        return sign | (above - 1 if low < high or (low == high and above % 2 == 1) else above)

    for relu in ("", ".relu"):
        for source in ("f16",):
            check(execute, f"cvt.rn.satfinite{relu}.{kind}x2.{source}x2 %o, %a;", [f"{source}x2"], "u16",
                  lambda a, s=source, r=relu: narrow(a >> 16, s, bool(r)) << 8 | narrow(a & 0xFFFF, s, bool(r)))  # fmt: skip
        check(execute, f"cvt.rn.satfinite{relu}.{kind}x2.f32 %o, %a, %b;", ["f32", "f32"], "u16",
              lambda a, b, r=relu: narrow(a, "f32", bool(r)) << 8 | narrow(b, "f32", bool(r)))  # fmt: skip

        def widen(code: int, r: str = relu) -> int:
            special = (code & 0x7F) > top
            size = (
                math.nan
                if special and (kind == "e4m3" or code & 3)
                else math.inf
                if special
                else value_of(code & 0x7F)
            )
            negative = code & 0x80
            if size == size and (negative and r):
                return 0
            result = -size if negative else size
            return encode(
                result if result != 0 else math.copysign(0.0, -1.0 if negative else 1.0), "f16"
            )

        check(execute, f"cvt.rn{relu}.f16x2.{kind}x2 %o, %a;", ["u16"], "f16x2",
              nan_free(lambda a, f=widen: f(a >> 8) << 16 | f(a & 255), "f16"))  # fmt: skip


def test_tf32_of_every_float(execute: Execute) -> None:
    def narrowed(code: int, mode: str, tail: str) -> int | None:
        value = decode(code, "f32")
        if value != value:
            return encode(math.nan, "f32")
        if is_special(value):
            if "satfinite" in tail:
                return code & 0x80000000 | 0x7F7FE000
            return 0 if "relu" in tail and value < 0 else code
        kept, rest = code >> 13, code & 0x1FFF
        up = {"rz": 0, "rna": rest >= 0x1000, "rn": rest > 0x1000 or (rest == 0x1000 and kept & 1)}[
            mode
        ]
        result = (kept + int(up)) << 13
        if "satfinite" in tail and result & 0x7FFFFFFF >= 0x7F800000:
            result = code & 0x80000000 | 0x7F7FE000
        return 0 if "relu" in tail and code >> 31 else result

    for mode, tail in (
        ("rna", ""),
        ("rna", ".satfinite"),
        ("rn", ""),
        ("rz", ""),
        ("rn", ".relu"),
        ("rz", ".relu"),
    ):
        check(
            execute,
            f"cvt.{mode}{tail}.tf32.f32 %o, %a;",
            ["f32"],
            "f32",
            lambda a, m=mode, t=tail: narrowed(a, m, t),
        )
