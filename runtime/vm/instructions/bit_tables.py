"""`lop3` and `prmt`: bits and bytes that a table or a selector chooses."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Immediate, Instruction


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


VALUES: dict[tuple[str, str], Any] = {
    ("lop3", "int"): _lop3,
    ("prmt", "any"): _permute,
    ("prmt", "int"): _permute,
}
