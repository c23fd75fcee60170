"""Fields of bits: extract, insert, masks, sign and zero extension."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import BITS, Immediate, Instruction


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


VALUES: dict[tuple[str, str], Any] = {
    ("bfe", "int"): _extract,
    ("bfi", "int"): _insert,
    ("bmsk", "int"): _mask,
    ("szext", "int"): _extend,
}
