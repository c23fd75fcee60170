"""Integer arithmetic: add, sub, mul, mad, div, rem, min, max, abs, neg, sad, carries, dot
products.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import BITS, Instruction

_WIDE = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}


def unsigned(kind: str) -> str:
    """The unsigned type of the same width: two's complement wraps alike."""
    return f"u{BITS[kind]}"


def _binary(
    ufunc: Any, ins: Instruction, frame: Frame, out: list[Array], *, signed: bool = False
) -> Any:
    kind = ins.mods[-1]
    if ins.mods[-1] in ("u16x2", "s16x2"):
        return _pairs(ufunc, ins, frame, out)
    seen = kind if signed else unsigned(kind)
    a, b = frame.read(ins.operands[1], seen), frame.read(ins.operands[2], seen)
    return partial(ufunc, a, b, out=out[0].view(DTYPES[seen]))


def _pairs(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """Two 16-bit lanes in one register."""
    dtype = np.int16 if ins.mods[-1] == "s16x2" else np.uint16
    a, b = (frame.read(o, "b32").view(dtype) for o in ins.operands[1:3])
    return partial(ufunc, a, b, out=out[0].view(dtype))


def _add(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    if "sat" in ins.mods:
        return _saturating(np.add, ins, frame, out)
    if "cc" in ins.mods:
        return _carry(ins, frame, out, subtract=False, carry_in=False)
    return _binary(np.add, ins, frame, out)


def _sub(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    if "sat" in ins.mods:
        return _saturating(np.subtract, ins, frame, out)
    if "cc" in ins.mods:
        return _carry(ins, frame, out, subtract=True, carry_in=False)
    return _binary(np.subtract, ins, frame, out)


def _saturating(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    a, b = (frame.read(o, "s32") for o in ins.operands[1:3])
    wide = frame.scratch(np.int64)
    low, high = -(1 << 31), (1 << 31) - 1

    def run() -> None:
        ufunc(a, b, out=wide, dtype=np.int64)
        np.clip(wide, low, high, out=wide)
        np.copyto(out[0].view(np.int32), wide, casting="unsafe")

    return run


def _carry(
    ins: Instruction, frame: Frame, out: list[Array], *, subtract: bool, carry_in: bool
) -> Any:
    """Sums with the carry flag: `add.cc`, `addc`, `sub.cc`, `subc` (the flag is the borrow)."""
    kind = unsigned(ins.mods[-1])
    a, b = (frame.read(o, kind) for o in ins.operands[1:3])
    ufunc = np.subtract if subtract else np.add
    total, flag = frame.scratch(DTYPES[kind]), frame.carry
    carry = out[1] if len(out) > 1 else frame.scratch(np.bool_, "carry")
    second = frame.scratch(np.bool_, "carry2")

    def run() -> None:
        incoming = flag.astype(total.dtype) if carry_in else None
        ufunc(a, b, total)
        if subtract:
            np.less(a, b, carry)
        else:
            np.less(total, a, carry)
        if incoming is not None:
            before = total.copy()
            ufunc(before, incoming, total)
            (np.less if not subtract else np.greater)(total, before, second)
            np.logical_or(carry, second, carry)
        np.copyto(out[0], total)

    return run


def _multiply(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    return _product(ins, frame, out, None)


def _mad(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1]
    seen = _WIDE[kind] if "wide" in ins.mods else kind
    return _product(ins, frame, out, frame.read(ins.operands[3], unsigned(seen)))


def _product(ins: Instruction, frame: Frame, out: list[Array], addend: Array | None) -> Any:
    """mul and mad in their `lo`, `hi` and `wide` forms."""
    kind = ins.mods[-1]
    if "cc" in ins.mods or ins.opcode == "madc":
        return _mad_carry(ins, frame, out)
    if "wide" in ins.mods:
        return _wide_product(ins, frame, out, addend)
    if "hi" in ins.mods:
        return _high_product(ins, frame, out, addend)
    seen = unsigned(kind)
    a, b = (frame.read(o, seen) for o in ins.operands[1:3])
    if addend is None:
        return partial(np.multiply, a, b, out[0])
    product, total = frame.scratch(DTYPES[seen]), out[0]

    def run() -> None:
        np.multiply(a, b, product)
        np.add(product, addend, total)

    return run


def _wide_product(ins: Instruction, frame: Frame, out: list[Array], addend: Array | None) -> Any:
    kind = ins.mods[-1]
    wide = DTYPES[_WIDE[kind]]
    a, b = (frame.read(o, kind) for o in ins.operands[1:3])
    x, y = frame.scratch(wide, 0), frame.scratch(wide, 1)
    total = out[0].view(wide)
    extra = None if addend is None else addend.view(wide)

    def run() -> None:
        np.copyto(x, a)
        np.copyto(y, b)
        if extra is None:
            np.multiply(x, y, total)
        else:
            np.multiply(x, y, x)
            np.add(x, extra, total)

    return run


def high_bits(a: Array, b: Array, kind: str) -> Array:
    """The upper half of a product."""
    bits = BITS[kind]
    if bits < 64:
        wide = np.int64 if kind[0] == "s" else np.uint64
        return ((a.astype(wide) * b.astype(wide)) >> wide(bits)).astype(DTYPES[kind])
    x, y = a.view(np.uint64), b.view(np.uint64)
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    x1, x0, y1, y0 = x >> half, x & low, y >> half, y & low
    middle = x1 * y0 + ((x0 * y0) >> half)
    other = x0 * y1 + (middle & low)
    high = x1 * y1 + (middle >> half) + (other >> half)
    if kind[0] == "s":
        high = high - np.where(a < 0, y, np.uint64(0)) - np.where(b < 0, x, np.uint64(0))
    found: Array = high.view(DTYPES[kind])
    return found


def _high_product(ins: Instruction, frame: Frame, out: list[Array], addend: Array | None) -> Any:
    kind = ins.mods[-1]
    a, b = (frame.read(o, kind) for o in ins.operands[1:3])

    def run() -> None:
        high = high_bits(a, b, kind).view(out[0].dtype)
        np.copyto(out[0], high if addend is None else high + addend)

    def saturating() -> None:
        assert addend is not None
        total = high_bits(a, b, kind).astype(np.int64) + addend.view(np.int32)
        np.copyto(out[0].view(np.int32), np.clip(total, -(1 << 31), (1 << 31) - 1), "unsafe")

    if "sat" in ins.mods:
        return saturating

    return run


def _mad_carry(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """mad.{lo,hi}.cc and madc."""
    kind = ins.mods[-1]
    seen = unsigned(kind)
    a, b = (frame.read(o, kind) for o in ins.operands[1:3])
    c = frame.read(ins.operands[3], seen)
    flag = frame.carry
    carry = out[1] if len(out) > 1 else frame.scratch(np.bool_, "carry")
    reads_flag, high = ins.opcode == "madc", "hi" in ins.mods

    def run() -> None:
        x, y = a.view(c.dtype), b.view(c.dtype)
        product = high_bits(a, b, kind).view(c.dtype) if high else x * y
        total = product + c
        overflow = total < c
        if reads_flag:
            after = total + flag.astype(c.dtype)
            overflow |= after < total
            total = after
        np.copyto(carry, overflow)
        np.copyto(out[0], total)

    return run


def _mul24(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1]
    a, b = (frame.read(o, kind) for o in ins.operands[1:3])
    c = frame.read(ins.operands[3], kind) if ins.opcode == "mad24" else None
    shift, saturates, signed = 16 if "hi" in ins.mods else 0, "sat" in ins.mods, kind == "s32"

    def run() -> None:
        x, y = (
            (v.astype(np.int64) << 40 >> 40) if signed else (v.astype(np.int64) & 0xFFFFFF)
            for v in (a, b)
        )
        value = x * y >> shift
        total = value if c is None else value + c
        if saturates:
            total = np.clip(total, -(1 << 31), (1 << 31) - 1)
        np.copyto(out[0].view(np.uint32), total & 0xFFFFFFFF, casting="unsafe")

    return run


def _divide(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """div and rem truncate toward zero; division by zero gives all ones (rem: the dividend), as
    hardware does.
    """
    kind = ins.mods[-1]
    a, b = (frame.read(o, kind) for o in ins.operands[1:3])
    is_rem, signed = ins.opcode == "rem", kind[0] == "s"
    target = out[0].view(DTYPES[kind])

    def run() -> None:
        zero = b == 0
        divisor = np.where(zero, np.ones_like(b), b)
        remainder = np.fmod(a, divisor) if signed else a % divisor
        if is_rem:
            np.copyto(target, np.where(zero, a, remainder))
        else:
            ones = np.array(-1).astype(kind_dtype)
            np.copyto(target, np.where(zero, ones, (a - remainder) // divisor))

    kind_dtype = DTYPES[kind]
    return run


def _extreme(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    run = _binary(ufunc, ins, frame, out, signed=True)
    if "relu" not in ins.mods:
        return run
    target = out[0].view(np.int16 if ins.mods[-1] == "s16x2" else np.int32)

    def relu() -> None:
        run()
        np.maximum(target, 0, out=target)

    return relu


def _unary(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1]
    return partial(ufunc, frame.read(ins.operands[1], kind), out[0].view(DTYPES[kind]))


def _sad(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1]
    a, b, c = (frame.read(o, kind) for o in ins.operands[1:4])
    target = out[0].view(DTYPES[kind])

    def run() -> None:
        np.copyto(target, np.where(a > b, a - b, b - a) + c)

    return run


def _dot(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """dp4a and dp2a: sums of byte products into 32 bits."""
    a_kind, b_kind = ins.mods[-2:]
    pair = ins.opcode == "dp2a"
    upper = pair and "hi" in ins.mods
    a_type = np.dtype(f"{'i' if a_kind[0] == 's' else 'u'}{2 if pair else 1}")
    b_type = np.dtype(f"{'i' if b_kind[0] == 's' else 'u'}1")
    a, b, c = (frame.read(o, "b32") for o in ins.operands[1:4])

    def run() -> None:
        x = np.ascontiguousarray(a).view(a_type).reshape(frame.n, -1).astype(np.int64)
        y = np.ascontiguousarray(b).view(b_type).reshape(frame.n, -1).astype(np.int64)
        if pair:
            y = y[:, 2:] if upper else y[:, :2]
        total = (x * y).sum(axis=1) + c
        np.copyto(out[0], total.astype(np.uint64).astype(np.uint32))

    return run


VALUES: dict[tuple[str, str], Any] = {
    ("add", "int"): _add,
    ("sub", "int"): _sub,
    ("add", "u16x2"): partial(_binary, np.add),
    ("add", "s16x2"): partial(_binary, np.add),
    ("addc", "int"): partial(_carry, subtract=False, carry_in=True),
    ("subc", "int"): partial(_carry, subtract=True, carry_in=True),
    ("mul", "int"): _multiply,
    ("mad", "int"): _mad,
    ("madc", "int"): _mad_carry,
    ("mul24", "int"): _mul24,
    ("mad24", "int"): _mul24,
    ("div", "int"): _divide,
    ("rem", "int"): _divide,
    ("min", "int"): partial(_extreme, np.minimum),
    ("max", "int"): partial(_extreme, np.maximum),
    ("min", "u16x2"): partial(_extreme, np.minimum),
    ("max", "u16x2"): partial(_extreme, np.maximum),
    ("min", "s16x2"): partial(_extreme, np.minimum),
    ("max", "s16x2"): partial(_extreme, np.maximum),
    ("abs", "int"): partial(_unary, np.absolute),
    ("neg", "int"): partial(_unary, np.negative),
    ("sad", "int"): _sad,
    ("dp4a", "int"): _dot,
    ("dp2a", "int"): _dot,
}
