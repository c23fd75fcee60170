"""f16 and bf16 arithmetic, single and packed in pairs.

Sums and products of halves are computed in float32 and rounded once more: with 24 bits against 11
or 8 that is correct. Fused multiply-adds go through float64 and rounding to odd.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.instructions.floats import extreme
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction
from tilewright.runtime.vm.rounding import to_odd, two_sum

KINDS = ("f16", "bf16", "f16x2", "bf16x2")


def widen(x: Array, kind: str) -> Array:
    """f16 values, or the bits of bf16, to float32."""
    if kind == "f16":
        return x.view(np.float16).astype(np.float32)
    return (x.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bf16(x: Array, mode: str = "rn") -> Array:
    """float32 to the bits of bf16 (nearest even or toward zero); NaN becomes 0x7FFF."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    if mode == "rn":
        rounded = bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
    else:
        rounded = bits
    high = (rounded >> np.uint32(16)).astype(np.uint16)
    nan = np.isnan(x)
    return np.where(nan, np.uint16(0x7FFF), high) if nan.any() else high


def narrow_half(x: Array, kind: str) -> Array:
    """float32 to f16 values or bf16 bits, nearest even."""
    return x.astype(np.float16) if kind == "f16" else to_bf16(x)


def odd32(s: Array, e: Array) -> Array:
    """The float64 sum `s + e` rounded to odd in float32: a half rounds it correctly."""
    wide = to_odd(s, e) if np.count_nonzero(e) else s
    near = wide.astype(np.float32)
    moves = np.flatnonzero((near != wide) & np.isfinite(near))
    if len(moves):
        bits = near.view(np.int32)
        moves = moves[bits[moves] & 1 == 0]
        outward = np.abs(wide[moves]) > np.abs(near[moves])
        bits[moves] += np.where(outward, 1, -1).astype(np.int32)
    return near


def _general(
    function: Callable[..., Array], ins: Instruction, frame: Frame, out: list[Array]
) -> Any:
    """A function on float32 arrays, applied to halves or to pairs of halves."""
    full = next(m for m in ins.mods if m in KINDS)
    kind = full.removesuffix("x2")
    dtype = DTYPES[kind]
    paired = full.endswith("x2")
    sources = [frame.read(o, "b32" if paired else kind).view(dtype) for o in ins.operands[1:]]
    target = out[0].view(dtype)
    relu, sat = "relu" in ins.mods, "sat" in ins.mods

    def run() -> None:
        result = function(*(widen(x, kind) for x in sources))
        if relu:
            result = np.where(np.isnan(result), result, np.maximum(result, np.float32(0)))
        if sat:
            result = np.where(np.isnan(result), np.float32(0), np.clip(result, 0, 1)) + np.float32(
                0
            )
        np.copyto(target, narrow_half(result, kind))

    return run


def fused(a: Array, b: Array, c: Array) -> Array:
    """a·b + c of widened halves: exact product, sum rounded to odd in float32."""
    product = np.multiply(a, b, dtype=np.float64)
    total, error = two_sum(product, c.astype(np.float64))
    if not np.isfinite(total).all():
        error = np.where(np.isfinite(total), error, 0)
    return odd32(total, error)


def _minmax(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    propagates = "NaN" in ins.mods
    xorsign = "xorsign" in ins.mods

    def function(a: Array, b: Array) -> Array:
        if not xorsign:
            return extreme(ufunc, a, b, propagates=propagates)
        result = extreme(ufunc, np.abs(a), np.abs(b), propagates=propagates)
        return np.where(np.signbit(a) ^ np.signbit(b), -result, result)

    return _general(function, ins, frame, out)


def _sign(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """abs and neg change sign bits only."""
    paired = ins.mods[-1].endswith("x2")
    a = frame.read(ins.operands[1], "b32" if paired else "b16").view(np.uint16)
    target = out[0].view(np.uint16)
    if ins.opcode == "abs":
        return partial(np.bitwise_and, a, np.uint16(0x7FFF), target)
    return partial(np.bitwise_xor, a, np.uint16(0x8000), target)


def _wide(function: Any) -> Callable[[Array], Array]:
    return lambda x: function(x.astype(np.float64)).astype(np.float32)


def _table() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {}
    for kind in KINDS:
        table |= {
            ("add", kind): partial(_general, np.add),
            ("sub", kind): partial(_general, np.subtract),
            ("mul", kind): partial(_general, np.multiply),
            ("fma", kind): partial(_general, fused),
            ("min", kind): partial(_minmax, np.fmin),
            ("max", kind): partial(_minmax, np.fmax),
            ("abs", kind): _sign,
            ("neg", kind): _sign,
            ("ex2", kind): partial(_general, _wide(np.exp2)),
            ("tanh", kind): partial(_general, _wide(np.tanh)),
        }
    return table


VALUES = _table()
