"""Bit operations: logic, shifts, funnel shifts, fields, counts, `lop3`, `prmt`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
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


def _two_inputs(code: int, a: Array, b: Array, out: Array) -> None:
    """The function of two bits whose table is `code` (bit 2a + b)."""
    match code:
        case 0b0000 | 0b1111:
            out.fill(0xFFFFFFFF if code else 0)
        case 0b1100 | 0b0011:
            (np.copyto(out, a) if code == 0b1100 else np.invert(a, out))
        case 0b1010 | 0b0101:
            (np.copyto(out, b) if code == 0b1010 else np.invert(b, out))
        case 0b0100:  # a and not b
            np.bitwise_and(a, b, out)
            np.bitwise_xor(a, out, out)
        case 0b0010:  # b and not a
            np.bitwise_and(a, b, out)
            np.bitwise_xor(b, out, out)
        case 0b1000:
            np.bitwise_and(a, b, out)
        case 0b1110:
            np.bitwise_or(a, b, out)
        case 0b0110:
            np.bitwise_xor(a, b, out)
        case _:  # the inverse of one of those
            _two_inputs(code ^ 0b1111, a, b, out)
            np.invert(out, out)


def _lop3(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """Any function of three bits: f(a, b, 0) xor (c and (f(a, b, 0) xor f(a, b, 1)))."""
    a, b, c = (frame.read(o, "b32") for o in ins.operands[1:4])
    code = ins.operands[4]
    assert isinstance(code, Immediate)
    table = int(code.value)
    without = sum((table >> (2 * i) & 1) << i for i in range(4))
    with_c = sum((table >> (2 * i + 1) & 1) << i for i in range(4))
    change = without ^ with_c
    if {"or", "and"} & set(ins.mods):
        return _lop3_with_predicate(ins, frame, out, (a, b, c), table)
    x, y, target = frame.scratch(np.uint32, 0), frame.scratch(np.uint32, 1), out[0]

    def run() -> None:
        _two_inputs(without, a, b, x)
        if change == 0b1111:
            np.bitwise_xor(x, c, target)
        elif change == 0:
            np.copyto(target, x)
        else:
            _two_inputs(change, a, b, y)
            np.bitwise_and(y, c, y)
            np.bitwise_xor(x, y, target)

    return run


def _lop3_with_predicate(
    ins: Instruction, frame: Frame, out: list[Array], sources: tuple[Array, ...], table: int
) -> Any:
    """lop3.BoolOp d|p, a, b, c, table, q: p = (d != 0) BoolOp q."""
    combine = np.logical_or if "or" in ins.mods else np.logical_and
    extra, inverted = frame.predicate(ins.operands[5])

    def run() -> None:
        value = np.zeros(frame.n, np.uint32)
        for index in range(8):
            if table >> index & 1:
                term = np.full(frame.n, 0xFFFFFFFF, np.uint32)
                for source, bit in zip(sources, (4, 2, 1), strict=True):
                    term &= source if index & bit else ~source
                value |= term
        combined = combine(value != 0, ~extra if inverted else extra)
        np.copyto(out[0], value)
        np.copyto(out[1], combined)

    return run


def _permute(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """prmt: four bytes chosen out of eight, or one of its modes."""
    a, b, selector = (frame.read(o, "b32") for o in ins.operands[1:4])
    mode = ins.mods[-1] if ins.mods[-1] != "b32" else ""
    choice = ins.operands[3]
    if isinstance(choice, Immediate) and not mode and int(choice.value) & 0x8888 == 0:
        picks = [int(choice.value) >> (4 * i) & 7 for i in range(4)]
        return _fixed_permute(frame, picks, (a, b), out[0])
    return _slow_permute(a, b, selector, mode, out)


def _fixed_permute(frame: Frame, picks: list[int], sources: tuple[Array, Array], out: Array) -> Any:
    """Known bytes: one strided copy for each, or for each half where they are neighbours."""
    paired = all(picks[i] % 2 == 0 and picks[i + 1] == picks[i] + 1 for i in (0, 2))
    dtype, per = (np.uint16, 2) if paired else (np.uint8, 4)
    chosen = [picks[0] // 2, picks[2] // 2] if paired else picks
    scratch = frame.scratch(np.uint32, 0)
    moves = [
        (scratch.view(dtype)[i::per], sources[pick // per].view(dtype)[pick % per :: per])
        for i, pick in enumerate(chosen)
    ]

    def run() -> None:
        for target, source in moves:
            np.copyto(target, source)
        np.copyto(out, scratch)

    return run


def _slow_permute(a: Array, b: Array, selector: Array, mode: str, out: list[Array]) -> Any:
    def run() -> None:
        pair = b.astype(np.uint64) << np.uint64(32) | a
        total = np.zeros(len(a), np.uint64)
        signs = not mode and bool((selector & np.uint32(0x8888)).any())
        for byte in range(4):
            nibble = _selected(selector, mode, byte)
            value = pair >> ((nibble & 7).astype(np.uint64) * np.uint64(8)) & np.uint64(0xFF)
            if signs:
                sign = np.where(value & np.uint64(0x80), np.uint64(0xFF), np.uint64(0))
                value = np.where(nibble & 8, sign, value)
            total |= value << np.uint64(8 * byte)
        np.copyto(out[0], total, casting="unsafe")

    return run


def _selected(selector: Array, mode: str, byte: int) -> Array:
    """Which of the eight bytes goes to `byte`."""
    base = (selector & np.uint32(3)).astype(np.int64)
    match mode:
        case "":
            return (selector >> np.uint32(4 * byte) & np.uint32(15)).astype(np.int64)
        case "f4e":
            return base + byte
        case "b4e":
            return (base - byte) & 7
        case "rc8":
            return base
        case "ecl":
            return np.maximum(base, byte)
        case "ecr":
            return np.minimum(base, byte)
        case "rc16":
            return (base & 1) * 2 + (byte & 1)
    raise Fault("unsupported", f"prmt mode {mode}")


def _extract(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """bfe: a field, sign-extended for signed types (also where it runs off the top)."""
    kind = ins.mods[-1]
    bits = BITS[kind]
    a, position, length = (
        frame.read(ins.operands[1], f"u{bits}"),
        *(frame.read(o, "u32") for o in ins.operands[2:4]),
    )
    signed = kind[0] == "s"
    fixed = [int(o.value) for o in ins.operands[2:4] if isinstance(o, Immediate)]
    if len(fixed) == 2 and fixed[0] >= 0 < fixed[1] and sum(fixed) <= bits:
        return _fixed_extract(frame, a.view(DTYPES[kind]), fixed[0], fixed[1], out[0])

    def run() -> None:
        wide = a.astype(np.uint64)
        pos, size = position.astype(np.int64) & 255, length.astype(np.int64) & 255
        field = np.where(
            pos < bits, wide >> np.minimum(pos, bits - 1).astype(np.uint64), np.uint64(0)
        )
        mask = _low_mask(np.minimum(size, bits))
        field &= mask
        if signed:
            top = np.minimum(pos + size - 1, bits - 1).clip(0)
            negative = (wide >> top.astype(np.uint64) & np.uint64(1)).astype(bool) & (size > 0)
            have = np.minimum(size, np.maximum(bits - pos, 0))
            field = np.where(negative, field | ~_low_mask(have), field)
        np.copyto(out[0], field, casting="unsafe")

    return run


def _fixed_extract(frame: Frame, a: Array, position: int, length: int, out: Array) -> Any:
    """A field that lies inside: to the top, and down with its sign."""
    bits = 8 * a.dtype.itemsize
    left = frame.constant(a.dtype.type(bits - position - length))
    right = frame.constant(a.dtype.type(bits - length))
    target = out.view(a.dtype)

    def run() -> None:
        np.left_shift(a, left, target)
        np.right_shift(target, right, target)

    return run


def _low_mask(size: Array) -> Array:
    """`size` ones, for sizes 0 to 64."""
    full = np.uint64(0xFFFFFFFFFFFFFFFF)
    short = (np.uint64(1) << np.minimum(size, 63).astype(np.uint64)) - np.uint64(1)
    return np.where(size >= 64, full, short)


def _insert(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """bfi: the low bits of a put into b."""
    bits = BITS[ins.mods[-1]]
    a, b = (frame.read(o, f"u{bits}") for o in ins.operands[1:3])
    position, length = (frame.read(o, "u32") for o in ins.operands[3:5])

    def run() -> None:
        pos, size = position.astype(np.int64) & 255, length.astype(np.int64) & 255
        inside = pos < bits
        by = np.minimum(pos, bits - 1).astype(np.uint64)
        mask = np.where(inside, _low_mask(np.minimum(size, bits)) << by, np.uint64(0))
        merged = (a.astype(np.uint64) << by) & mask | b.astype(np.uint64) & ~mask
        np.copyto(out[0], merged, casting="unsafe")

    return run


def _mask(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """bmsk: `length` ones from `position`."""
    position, length = (frame.read(o, "u32") for o in ins.operands[1:3])
    clamp = "clamp" in ins.mods

    def run() -> None:
        pos, size = position.astype(np.int64), length.astype(np.int64)
        pos, size = (np.minimum(pos, 32), np.minimum(size, 32)) if clamp else (pos & 31, size & 31)
        np.copyto(
            out[0],
            _low_mask(size) << pos.astype(np.uint64) & np.uint64(0xFFFFFFFF),
            casting="unsafe",
        )

    return run


def _extend(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """szext: the low `length` bits, extended by their sign or by zeros."""
    a, length = frame.read(ins.operands[1], "u32"), frame.read(ins.operands[2], "u32")
    clamp, signed = "clamp" in ins.mods, ins.mods[-1] == "s32"

    def run() -> None:
        size = np.minimum(length, np.uint32(32)) if clamp else length & np.uint32(31)
        mask = _low_mask(size)
        value = a.astype(np.uint64) & mask
        if signed:
            top = np.maximum(size, np.uint32(1)).astype(np.uint64) - np.uint64(1)
            value = np.where(value >> top & np.uint64(1), value | ~mask, value)
        np.copyto(out[0], value, casting="unsafe")

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
    ("lop3", "int"): _lop3,
    ("prmt", "any"): _permute,
    ("prmt", "int"): _permute,
    ("bfe", "int"): _extract,
    ("bfi", "int"): _insert,
    ("bmsk", "int"): _mask,
    ("szext", "int"): _extend,
    ("brev", "int"): _reverse,
    ("popc", "int"): _count,
    ("clz", "int"): _leading,
    ("bfind", "int"): _find,
    ("fns", "int"): _find_nth,
}
