"""Bit operations: logic, shifts, funnel shifts, reversal, counts and searches."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import BITS, Immediate, Instruction


def _logic(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1]
    if kind == "pred":
        return _logic_pred(ufunc, ins, frame, out)
    return partial(
        ufunc, frame.read(ins.operands[1], kind), frame.read(ins.operands[2], kind), out[0]
    )


def _logic_pred(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    (a, not_a), (b, not_b) = (frame.predicate(o) for o in ins.operands[1:3])

    def run() -> None:
        ufunc(~a if not_a else a, ~b if not_b else b, out[0])

    return run


def _not(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    ufunc: Any = np.logical_not if ins.mods[-1] == "pred" else np.invert
    return partial(ufunc, frame.read(ins.operands[1], ins.mods[-1]), out[0])


def _cnot(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    a = frame.read(ins.operands[1], ins.mods[-1])
    return lambda: np.copyto(out[0], a == 0, casting="unsafe")


def _shift(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """shl, shr: amounts beyond the width clamp."""
    kind = ins.mods[-1]
    bits = BITS[kind]
    arithmetic = ins.opcode == "shr" and kind[0] == "s"
    seen = kind if arithmetic else f"u{bits}"
    a, target = frame.read(ins.operands[1], seen), out[0].view(DTYPES[seen])
    ufunc = np.left_shift if ins.opcode == "shl" else np.right_shift
    amount = ins.operands[2]
    if isinstance(amount, Immediate) and 0 <= int(amount.value) < bits:
        return partial(ufunc, a, frame.constant(np.dtype(DTYPES[seen]).type(amount.value)), target)
    by, clamped = frame.read(amount, "u32"), frame.scratch(np.uint32, "by")
    limit = frame.constant(np.uint32(bits - 1))
    wide = frame.scratch(DTYPES[seen], "by")

    def run() -> None:
        np.minimum(by, limit, out=clamped)
        np.copyto(wide, clamped, casting="unsafe")
        beyond = None if arithmetic else by > limit
        ufunc(a, wide, target)
        if beyond is not None and beyond.any():
            target[beyond] = 0

    return run


def _funnel(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """shf.{l,r}.{wrap,clamp}: 32 bits out of the pair b:a."""
    low, high, amount = (frame.read(o, "u32") for o in ins.operands[1:4])
    left, clamp = "l" in ins.mods, "clamp" in ins.mods
    fixed = ins.operands[3]
    if isinstance(fixed, Immediate) and 0 < int(fixed.value) < 32:
        return _fixed_funnel(
            frame, low, high, int(fixed.value) if left else 32 - int(fixed.value), out[0]
        )

    def run() -> None:
        by = np.minimum(amount, np.uint32(32)) if clamp else amount & np.uint32(31)
        pair = high.astype(np.uint64) << np.uint64(32) | low
        if left:
            np.copyto(out[0], (pair << by) >> np.uint64(32), casting="unsafe")
        else:
            np.copyto(out[0], (pair >> by) & np.uint64(0xFFFFFFFF), casting="unsafe")

    return run


def _fixed_funnel(frame: Frame, low: Array, high: Array, by: int, out: Array) -> Any:
    """The upper word of the pair shifted left by 1 to 31."""
    x, y = frame.scratch(np.uint32, 0), frame.scratch(np.uint32, 1)
    left, right = frame.constant(np.uint32(by)), frame.constant(np.uint32(32 - by))

    def run() -> None:
        np.left_shift(high, left, x)
        np.right_shift(low, right, y)
        np.bitwise_or(x, y, out)

    return run


def _reverse(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    bits = BITS[ins.mods[-1]]
    a = frame.read(ins.operands[1], f"u{bits}")

    def run() -> None:
        raw = np.ascontiguousarray(a).view(np.uint8).reshape(frame.n, bits // 8)
        flipped = np.packbits(np.unpackbits(raw[:, ::-1], axis=1)[:, ::-1], axis=1)[:, ::-1]
        np.copyto(out[0], np.ascontiguousarray(flipped).view(a.dtype).ravel())

    return run


def _count(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    a = frame.read(ins.operands[1], f"u{BITS[ins.mods[-1]]}")
    return lambda: np.copyto(out[0], np.bitwise_count(a), casting="unsafe")


def highest_bit(a: Array) -> Array:
    """The index of the highest one of unsigned values, -1 for zero (exact, by halves)."""
    found = np.full(len(a), -1, np.int64)
    rest = a.astype(np.uint64)
    position = np.zeros(len(a), np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        high = rest >> np.uint64(step)
        more = high != 0
        position += np.where(more, step, 0)
        rest = np.where(more, high, rest)
    return np.where(a != 0, position, found)


def _leading(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    bits = BITS[ins.mods[-1]]
    a = frame.read(ins.operands[1], f"u{bits}")
    return lambda: np.copyto(out[0], bits - 1 - highest_bit(a), casting="unsafe")


def _find(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """bfind{.shiftamt}: the highest bit that differs from the sign; all ones where there is
    none.
    """
    kind = ins.mods[-1]
    bits = BITS[kind]
    a = frame.read(ins.operands[1], kind)
    amount = "shiftamt" in ins.mods

    def run() -> None:
        value = np.where(a < 0, ~a, a).view(f"u{bits // 8}") if kind[0] == "s" else a
        place = highest_bit(value)
        result = np.where(place < 0, -1, bits - 1 - place if amount else place)
        np.copyto(out[0], result.astype(np.int32).view(np.uint32))

    return run


def _find_nth(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """fns: the position of the n-th one counted from `base`, upward for n ≥ 0, downward below."""
    mask, base = (frame.read(o, "u32") for o in ins.operands[1:3])
    offset = frame.read(ins.operands[3], "s32")

    def run() -> None:
        for lane in range(frame.n):
            out[0][lane] = _nth(int(mask[lane]), int(base[lane]), int(offset[lane]))

    return run


def _nth(mask: int, base: int, offset: int) -> int:
    if offset == 0:
        return base if mask >> base & 1 else 0xFFFFFFFF
    places = range(base, 32) if offset > 0 else range(base, -1, -1)
    ones = [place for place in places if mask >> place & 1]
    return ones[abs(offset) - 1] if len(ones) >= abs(offset) else 0xFFFFFFFF


VALUES: dict[tuple[str, str], Any] = {
    ("and", "int"): partial(_logic, np.bitwise_and),
    ("or", "int"): partial(_logic, np.bitwise_or),
    ("xor", "int"): partial(_logic, np.bitwise_xor),
    ("not", "int"): _not,
    ("cnot", "int"): _cnot,
    ("shl", "int"): _shift,
    ("shr", "int"): _shift,
    ("shf", "int"): _funnel,
    ("brev", "int"): _reverse,
    ("popc", "int"): _count,
    ("clz", "int"): _leading,
    ("bfind", "int"): _find,
    ("fns", "int"): _find_nth,
}
