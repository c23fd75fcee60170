"""cvt between all types, packed forms included."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.instructions import fp8
from tilewright.runtime.vm.instructions.floats import flush, saturate
from tilewright.runtime.vm.instructions.halves import (
    bind_narrow,
    bind_widen,
    odd32,
    to_bf16,
    widen,
)
from tilewright.runtime.vm.memory import Array, any_of
from tilewright.runtime.vm.records import BITS, Instruction
from tilewright.runtime.vm.rounding import directed, narrow, to_odd, two_sum

_FLOATS = ("f16", "bf16", "f32", "f64")
_LARGEST = {"f16": 65504.0, "bf16": (2 - 2.0**-7) * 2.0**127}
_TO_INTEGER: dict[str, Any] = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


def _convert(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    target, source = ins.mods[-2:]
    if "x2" in target or "x2" in source or target == "tf32":
        return _packed(ins, frame, out, target, source)
    a = frame.read(ins.operands[1], source)
    if source not in _FLOATS and target not in _FLOATS:
        return _integers(ins, frame, out, a)
    if source in _FLOATS and target not in _FLOATS:
        return _to_integer(ins, out, a)
    if source in _FLOATS:
        return _plain_float(ins, frame, out[0]) or _floats(ins, out, a)
    return _from_integer(ins, out, a)


def _put(out: Array, value: Array) -> None:
    """Writes an integer to a register that may be wider: extends it by its own signedness."""
    np.copyto(out.view(f"{value.dtype.kind}{out.dtype.itemsize}"), value, casting="unsafe")


def _integers(ins: Instruction, frame: Frame, out: list[Array], a: Array) -> Any:
    target, source = ins.mods[-2:]
    dtype = DTYPES[target]
    if "sat" in ins.mods:
        limits = np.iinfo(dtype)

        def saturating() -> None:
            low = max(limits.min, np.iinfo(a.dtype).min)
            high = min(limits.max, np.iinfo(a.dtype).max)
            _put(out[0], np.clip(a, low, high).astype(dtype))

        return saturating
    same_register = BITS[target] == out[0].dtype.itemsize * 8
    if same_register and BITS[target] >= BITS[source]:
        view = out[0].view(f"{'i' if source[0] == 's' else 'u'}{out[0].dtype.itemsize}")
        return lambda: np.copyto(view, a, casting="unsafe")
    return lambda: _put(out[0], a.astype(dtype))


def _to_integer(ins: Instruction, out: list[Array], a: Array) -> Any:
    target, source = ins.mods[-2:]
    rounding = next((_TO_INTEGER[m] for m in ins.mods if m in _TO_INTEGER), np.trunc)
    dtype, limits = DTYPES[target], np.iinfo(DTYPES[target])
    wide_nan = source == "f64" or BITS[target] == 64
    at_nan = np.array(1 << (BITS[target] - 1) if wide_nan else 0, np.uint64).astype(dtype)
    low, high = float(limits.min), float(limits.max)
    ftz = "ftz" in ins.mods
    same = out[0].dtype.itemsize == np.dtype(dtype).itemsize
    direct = out[0].view(dtype) if same and source in ("f32", "f64") else None

    def run() -> None:
        if direct is not None and low <= np.minimum.reduce(a) and np.maximum.reduce(a) < high:
            np.copyto(direct, a if rounding is np.trunc else rounding(a), casting="unsafe")
            return
        value = widen(a, source) if source in ("f16", "bf16") else flush(a) if ftz else a
        value = rounding(value.astype(np.float64))
        nan = np.isnan(value)
        inside = np.where(nan | (value <= low) | (value >= high), 0.0, value).astype(dtype)
        result = np.where(
            value >= high, limits.max, np.where(value <= low, limits.min, inside)
        ).astype(dtype)
        _put(out[0], np.where(nan, at_nan, result))

    return run


def _from_integer(ins: Instruction, out: list[Array], a: Array) -> Any:
    target = ins.mods[-2]
    mode = _mode(ins)
    view = out[0].view(DTYPES[target]) if target not in ("bf16", "f16") else out[0]
    if mode == "rn" and target in ("f32", "f64") and "sat" not in ins.mods:
        return lambda: np.copyto(view, a, casting="unsafe")

    def run() -> None:
        big, small = _split(a)
        _store_float(ins, out[0], *two_sum(big, small), target, mode)

    return run


def _split(a: Array) -> tuple[Array, Array]:
    """An integer of up to 64 bits as the sum of two float64."""
    low = a & a.dtype.type(0xFFFF) if a.dtype.itemsize > 2 else np.zeros_like(a)
    return (a - low).astype(np.float64), low.astype(np.float64)


def _mode(ins: Instruction) -> str:
    return next((m for m in ins.mods if m in ("rz", "rm", "rp")), "rn")


def _plain_float(ins: Instruction, frame: Frame, out: Array) -> Any:
    """Nearest even between f32 and the halves, without modifiers: one or a few NumPy calls."""
    target, source = ins.mods[-2:]
    if set(ins.mods[:-2]) - {"rn"} or "f64" in (target, source):
        return None
    a = frame.read(ins.operands[1], source)
    if source == "bf16" and target == "f32":
        bits, sixteen = out.view(np.uint32), frame.constant(np.uint32(16))

        def shift() -> None:
            np.copyto(bits, a)
            np.left_shift(bits, sixteen, bits)

        return shift
    if source == "f32" and target == "bf16":
        wide = frame.buffer("half0", (frame.n,), np.float32)
        narrow = bind_narrow(frame, wide, "bf16", out)

        def to_half() -> None:
            np.copyto(wide, a)
            narrow()

        return to_half
    if {source, target} == {"f16", "f32"}:
        return partial(np.copyto, out.view(DTYPES[target]), a, casting="unsafe")
    return None


def _floats(ins: Instruction, out: list[Array], a: Array) -> Any:
    target, source = ins.mods[-2:]
    integral = next((_TO_INTEGER[m] for m in ins.mods if m in _TO_INTEGER), None)
    mode, ftz = _mode(ins), "ftz" in ins.mods
    plain = {"f32", "f64"} >= {target, source} and not ftz and integral is None
    if plain and mode == "rn" and "sat" not in ins.mods:
        view = out[0].view(DTYPES[target])
        return lambda: np.copyto(view, a, casting="unsafe")

    def run() -> None:
        value = widen(a, source) if source in ("f16", "bf16") else a
        if ftz and value.dtype == np.float32:
            value = flush(value)
        wide = value.astype(np.float64)
        if integral is not None:
            wide = integral(wide)
        _store_float(ins, out[0], wide, np.zeros_like(wide), target, mode)

    return run


def _store_float(ins: Instruction, out: Array, s: Array, e: Array, target: str, mode: str) -> None:
    """Rounds the float64 sum `s + e` to the target type."""
    value = _rounded(s, e, target, mode)
    if "relu" in ins.mods:
        value = np.where(np.isnan(value), value, np.maximum(value, value.dtype.type(0)))
    if "sat" in ins.mods:
        value = saturate(value)
    if "satfinite" in ins.mods:
        most = value.dtype.type(_LARGEST[target])
        value = np.where(np.isinf(value), np.copysign(most, value), value)
    if target == "bf16":
        np.copyto(out, to_bf16(value))
    else:
        if target == "f32" and "ftz" in ins.mods:
            value = flush(value)
        np.copyto(out.view(DTYPES[target]), value, casting="unsafe")


def _rounded(s: Array, e: Array, target: str, mode: str) -> Array:
    """The rounded value in a NumPy float that holds it (bf16 as float32)."""
    if target == "f64":
        return directed(s, e, mode)
    odd = to_odd(s, e) if e.any() else s
    if target == "f32":
        return narrow(odd, mode)
    if target == "f16":
        return _half(odd, mode)
    if mode == "rn":
        return widen(to_bf16(odd32(odd, np.zeros_like(odd))), "bf16")
    single = narrow(odd, mode)
    below = widen(to_bf16(single, "rz"), "bf16")
    inexact = np.isfinite(single) & (single != below)
    away = inexact & ((single > 0) if mode == "rp" else (single < 0) if mode == "rm" else False)
    bits: Array = below.view(np.uint32) + (away.astype(np.uint32) << np.uint32(16))
    return bits.view(np.float32)


def _half(odd: Array, mode: str) -> Array:
    near = odd.astype(np.float16)
    if mode == "rn":
        return near
    wide = near.astype(np.float64)
    above = wide > odd if mode in ("rm", "rz") else np.zeros(len(odd), bool)
    below = wide < odd if mode in ("rp", "rz") else np.zeros(len(odd), bool)
    if mode == "rz":
        above, below = above & (odd > 0), below & (odd < 0)
    near = np.where(above, np.nextafter(near, np.float16(-np.inf)), near)
    return np.where(below, np.nextafter(near, np.float16(np.inf)), near)


# -- packed ------------------------------------------------------------------------------------


def _packed(ins: Instruction, frame: Frame, out: list[Array], target: str, source: str) -> Any:
    if target == "tf32":
        return _tf32(ins, frame, out)
    if target in ("f16x2", "bf16x2") and source == "f32":
        return _pair_of_halves(ins, frame, out, target[:-2])
    if target in ("e4m3x2", "e5m2x2"):
        return _to_fp8(ins, frame, out, target, source)
    if source in ("e4m3x2", "e5m2x2"):
        return _from_fp8(ins, frame, out, source)
    raise Fault("unsupported", f"instruction {ins.name}")


def _tf32(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """To 10 mantissa bits: `rna` (ties away), `rn` or `rz`; the low bits become zero."""
    bits = frame.read(ins.operands[1], "b32")
    values = bits.view(np.float32)
    add = {"rna": 0x1000, "rz": 0}.get(ins.mods[0])
    infinite, sign = np.uint32(0x7F800000), np.uint32(0x80000000)
    largest = np.uint32(0x7F7FE000)
    saturates, relu = "satfinite" in ins.mods, "relu" in ins.mods

    def run() -> None:
        even = np.uint32(0xFFF) + (bits >> np.uint32(13) & np.uint32(1))
        rounded = bits + (even if add is None else np.uint32(add)) & np.uint32(0xFFFFE000)
        rounded = np.where(np.isfinite(values), rounded, bits)
        if saturates:
            rounded = np.where(rounded & ~sign == infinite, rounded & sign | largest, rounded)
        if relu:
            rounded = np.where(values < 0, np.uint32(0), rounded)
        np.copyto(out[0], np.where(np.isnan(values), np.uint32(0x7FFFFFFF), rounded))

    return run


def _pair_of_halves(ins: Instruction, frame: Frame, out: list[Array], kind: str) -> Any:
    """The first source goes to the upper half."""
    upper, lower = (frame.read(o, "f32") for o in ins.operands[1:3])
    if kind == "bf16" and ins.mods[:-2] == ("rn",):
        wide = frame.buffer("half0", (2, frame.n), np.float32)
        narrow = bind_narrow(frame, wide, "bf16x2", out[0])

        def to_bf16_pair() -> None:
            _fill_pair(wide, lower, upper)
            narrow()

        return to_bf16_pair
    halves = out[0].view(np.uint16)
    both = np.empty((frame.n, 2), np.float32)
    flat = both.reshape(-1)
    mode, relu = _mode(ins), "relu" in ins.mods
    infinite = np.uint16(0x7C00 if kind == "f16" else 0x7F80)
    narrowed, nan = np.empty(2 * frame.n, np.float16), np.empty(2 * frame.n, np.bool_)

    def run() -> None:
        np.copyto(both[:, 0], lower)
        np.copyto(both[:, 1], upper)
        if relu:
            np.copyto(flat, 0, where=flat < 0)
        if kind == "bf16":
            np.copyto(halves, to_bf16(flat, mode))
            return
        if mode == "rn":
            np.copyto(narrowed, flat, casting="unsafe")
        else:
            np.copyto(narrowed, _half(flat.astype(np.float64), mode))
        np.isnan(flat, nan)
        np.copyto(halves, narrowed.view(np.uint16))
        if any_of(nan):
            halves[nan] = 0x7FFF

    def saturating() -> None:
        run()
        halves[(halves & np.uint16(0x7FFF)) == infinite] -= 1  # to the largest finite number

    return saturating if "satfinite" in ins.mods else run


def _to_fp8(ins: Instruction, frame: Frame, out: list[Array], target: str, source: str) -> Any:
    """Through a table over the upper halves of f32, the rest of the bits in the last of them."""
    table = fp8.encoder(target, relu="relu" in ins.mods)
    if source == "f32":
        upper, lower = (frame.read(o, "f32") for o in ins.operands[1:3])
        wide = frame.buffer("half0", (2, frame.n), np.float32)
        fill: Any = partial(_fill_pair, wide, lower, upper)
    else:
        wide, fill = bind_widen(frame, ins.operands[1], source, "half0")
        wide = wide if source == "bf16x2" else wide.T
    bits = wide.view(np.uint32)
    index, rest = (np.empty((2, frame.n), np.uint32) for _ in range(2))
    rounded = np.empty((2, frame.n), np.bool_)
    codes = np.empty(frame.n, np.uint16)
    places = (codes.view(np.uint8)[0::2], codes.view(np.uint8)[1::2])

    def run() -> None:
        fill()
        np.bitwise_and(bits, _LOWER, rest)
        np.not_equal(rest, 0, rounded)
        np.right_shift(bits, _SIXTEEN, index)
        np.bitwise_or(index, rounded, index)
        for place, chosen in zip(places, index, strict=True):
            np.copyto(place, table.take(chosen))
        np.copyto(out[0], codes, casting="unsafe")

    return run


_LOWER, _SIXTEEN = np.uint32(0xFFFF), np.uint32(16)


def _fill_pair(wide: Array, lower: Array, upper: Array) -> None:
    np.copyto(wide[0], lower)
    np.copyto(wide[1], upper)


def _from_fp8(ins: Instruction, frame: Frame, out: list[Array], source: str) -> Any:
    """Through a table of all pairs of codes."""
    pair = frame.read(ins.operands[1], "b16")
    table = fp8.decoder(source, relu="relu" in ins.mods)
    return lambda: np.copyto(out[0], table.take(pair))


def _integer_pack(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """cvt.pack.sat.d.s32{.b32}: two (with c: four) saturated integers in one register."""
    kind = ins.mods[2]
    bits = int(kind[1:])
    least, most = (0, (1 << bits) - 1) if kind[0] == "u" else (-1 << bits - 1, (1 << bits - 1) - 1)
    a, b = (frame.read(o, "s32") for o in ins.operands[1:3])
    c = frame.read(ins.operands[3], "u32") if len(ins.operands) > 3 else None

    def run() -> None:
        mask = np.uint32((1 << bits) - 1)
        high, low = (np.clip(x, least, most).astype(np.uint32) & mask for x in (a, b))
        value = high << np.uint32(bits) | low
        if c is not None:
            value = c << np.uint32(2 * bits) | value
        np.copyto(out[0], value)

    return run


def _cvt(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    return _integer_pack(ins, frame, out) if "pack" in ins.mods else _convert(ins, frame, out)


VALUES: dict[tuple[str, str], Any] = {
    ("cvt", kind): _cvt for kind in ("any", "int", "f16", "bf16", "f32", "f64")
}
