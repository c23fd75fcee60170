"""The video instructions: arithmetic on bytes and half words selected out of registers.

Scalar forms (`vadd`, …) take one part of each source, extend it, combine the parts, saturate, and
then either combine with `c` once more (`.add`, `.min`, `.max`) or put the result into a part of
`c`. SIMD forms (`vadd2`, `vadd4`, …) do that for two or four lanes of a register, whose parts the
selectors take out of the pair b:a.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction, Operand, Register, Selected

_COMPARE = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
_SECOND: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "min": np.minimum, "max": np.maximum,
}  # fmt: skip


def _average(a: Array, b: Array) -> Array:
    total = a + b
    return (total + (total >= 0)) >> 1


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "min": np.minimum, "max": np.maximum,
    "absdiff": lambda a, b: np.abs(a - b), "avrg": _average,
}  # fmt: skip


def _split(operand: Operand) -> tuple[Operand, str]:
    if isinstance(operand, Selected):
        return operand.register, operand.selector
    return operand, ""


def _types(ins: Instruction) -> list[str]:
    return [mod for mod in ins.mods if mod in ("u32", "s32")]


def _part(word: Array, selector: str, signed: bool) -> Array:
    """A selected part of 32-bit words (int64), extended."""
    bits = {"": 32, "b": 8, "h": 16}[selector[:1]]
    shift = bits * int(selector[1:] or 0)
    value = word >> shift & ((1 << bits) - 1)
    return np.where(value >> (bits - 1) & 1, value - (1 << bits), value) if signed else value


def _clip(value: Array, bits: int, signed: bool) -> Array:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return np.clip(value, low, high)


def _words(frame: Frame, operand: Operand) -> Callable[[], Array]:
    row = frame.read(operand, "u32")
    return lambda: row.astype(np.int64)


def _bind(compute: Callable[..., Array], ins: Instruction, frame: Frame) -> Any:
    """The step: `compute(a, b, c)` on 32-bit words as int64."""
    target, selector = _split(ins.operands[0])
    assert isinstance(target, Register)
    row = frame.row(target)
    sources = [_words(frame, _split(operand)[0]) for operand in ins.operands[1:]]
    selectors = [_split(operand)[1] for operand in ins.operands[1:3]]

    def step(mask: Array | None) -> None:
        a, b, *rest = (read() for read in sources)
        value = compute((a, b, rest[0] if rest else None), selectors, selector)
        words = (value & 0xFFFFFFFF).astype(np.uint32)
        np.copyto(row, words, where=True if mask is None else mask)

    return step


# -- scalar --------------------------------------------------------------------------------------


def _finish(ins: Instruction, value: Array, c: Array | None, selector: str, signed: bool) -> Array:
    """Saturation, then the secondary operation, or the merge into `c`."""
    bits = {"": 32, "b": 8, "h": 16}[selector[:1]]
    if "sat" in ins.mods:
        value = _clip(value, bits, signed)
    if c is None:
        return value
    second = next((m for m in ins.mods if m in _SECOND), None)
    if second is not None:
        return np.asarray(_SECOND[second](_part(value, "", signed), _part(c, "", signed)))
    shift, ones = bits * int(selector[1:] or 0), (1 << bits) - 1
    return c & ~(ones << shift) | (value & ones) << shift


def _scalar(name: str, ins: Instruction, frame: Frame) -> Any:
    *result, a_type, b_type = _types(ins)
    signed = (result or ["u32"])[0] == "s32"

    def combine(a: Array, b: Array) -> Array:
        if name == "set":
            compare = next(_COMPARE[m] for m in ins.mods if m in _COMPARE)
            return np.asarray(compare(a, b)).astype(np.int64)
        if name in ("shl", "shr"):
            by = np.minimum(b, 32) if "clamp" in ins.mods else b & 31
            return np.asarray(a << by if name == "shl" else a >> by)
        return np.asarray(_OPERATIONS[name](a, b))

    def compute(words: Any, selectors: list[str], selector: str) -> Array:
        a = _part(words[0], selectors[0], a_type == "s32")
        b = _part(words[1], selectors[1], b_type == "s32")
        return _finish(ins, combine(a, b), words[2], selector, signed)

    return _bind(compute, ins, frame)


def _multiply_add(ins: Instruction, frame: Frame) -> Any:
    """vmad{.po}{.sat}{.shr7,.shr15}: up to 65 bits between, so in Python integers."""
    _, a_type, b_type = _types(ins)
    signed = "s32" in (a_type, b_type)
    shift = 7 if "shr7" in ins.mods else 15 if "shr15" in ins.mods else 0

    def compute(words: Any, selectors: list[str], selector: str) -> Array:
        a = _part(words[0], selectors[0], a_type == "s32").astype(object)
        b = _part(words[1], selectors[1], b_type == "s32").astype(object)
        c = _part(words[2], "", signed).astype(object)
        total = (a * b + c + int("po" in ins.mods)) >> shift
        if "sat" in ins.mods:
            total = _clip(total, 32, signed)
        return np.asarray(total & 0xFFFFFFFF).astype(np.int64)

    return _bind(compute, ins, frame)


# -- SIMD ----------------------------------------------------------------------------------------


def _simd(name: str, lanes: int, ins: Instruction, frame: Frame) -> Any:
    *result, a_type, b_type = _types(ins)
    signed = (result or ["u32"])[0] == "s32"
    letter, bits = ("h", 16) if lanes == 2 else ("b", 8)

    def chosen(pair: Array, selector: str, default: str, lane: int, is_signed: bool) -> Array:
        digit = (selector[1:] or default)[lanes - 1 - lane]
        value = pair >> np.uint64(bits * int(digit)) & np.uint64((1 << bits) - 1)
        return _part(value.astype(np.int64), f"{letter}0", is_signed)

    def compute(words: Any, selectors: list[str], selector: str) -> Array:
        pair = words[1].astype(np.uint64) << np.uint64(32) | words[0].astype(np.uint64)
        first, second = ("10", "32") if lanes == 2 else ("3210", "7654")
        picked = selector[1:] or first
        total: Any = words[2] if "add" in ins.mods else np.zeros_like(words[2])
        for lane in range(lanes):
            a = chosen(pair, selectors[0], first, lane, a_type == "s32")
            b = chosen(pair, selectors[1], second, lane, b_type == "s32")
            value = _lane(ins, name, a, b)
            if "sat" in ins.mods:
                value = _clip(value, bits, signed)
            if "add" in ins.mods:
                total = total + value if str(lane) in picked else total
                continue
            kept = value if str(lane) in picked else words[2] >> bits * lane
            total = total | (kept & ((1 << bits) - 1)) << bits * lane
        return np.asarray(total)

    return _bind(compute, ins, frame)


def _lane(ins: Instruction, name: str, a: Array, b: Array) -> Array:
    if name == "set":
        compare = next(_COMPARE[m] for m in ins.mods if m in _COMPARE)
        return np.asarray(compare(a, b)).astype(np.int64)
    return np.asarray(_OPERATIONS[name](a, b))


EFFECTS: dict[str, Any] = {
    f"v{name}": partial(_scalar, name)
    for name in ("add", "sub", "absdiff", "min", "max", "shl", "shr", "set")
}
EFFECTS["vmad"] = _multiply_add
for _lanes in (2, 4):
    for _name in ("add", "sub", "avrg", "absdiff", "min", "max", "set"):
        EFFECTS[f"v{_name}{_lanes}"] = partial(_simd, _name, _lanes)
