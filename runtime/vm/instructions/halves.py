"""f16 and bf16 arithmetic, single and packed in pairs.

Sums and products of halves are computed in float32 and rounded once more: with 24 bits against 11
or 8 that is correct. A fused multiply-add of f16 is computed in float64 and rounded directly: a
sum that float64 cannot hold spans more than 53 bits, so it lies on no tie of f16. One of bf16 is
computed in float32, where its product is exact; that can round twice only where the sum lands on
a tie of bf16 or overflows, and those lanes go through float64 and rounding to odd.

Packed bf16 pairs are computed as two rows, the low halves and the high halves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions.floats import extreme, saturate
from tilewright.runtime.vm.memory import Array, any_of
from tilewright.runtime.vm.records import Instruction, Operand
from tilewright.runtime.vm.rounding import to_odd, two_sum

KINDS = ("f16", "bf16", "f16x2", "bf16x2")
_OUTSIDE = np.uint16(0x7FFF)
_MODIFIERS = {"relu", "sat", "ftz"}
_LEAST_NORMAL = np.float16(2.0**-14)
_EXACT = np.float32(2.0**-110)  # products of bf16 that are less may have lost bits in float32


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
    return np.where(nan, np.uint16(0x7FFF), high) if any_of(nan) else high


def narrow_half(x: Array, kind: str) -> Array:
    """float32 to f16 values or bf16 bits, nearest even."""
    return x.astype(np.float16) if kind == "f16" else to_bf16(x)


def odd32(s: Array, e: Array) -> Array:
    """The float64 sum `s + e` rounded to odd in float32: a half rounds it correctly."""
    wide = to_odd(s, e) if np.count_nonzero(e) else s
    near = wide.astype(np.float32)
    moves = np.flatnonzero((near != wide) & np.isfinite(near))
    if len(moves):
        exact, flat = wide.reshape(-1), near.reshape(-1)
        bits = flat.view(np.int32)
        moves = moves[bits[moves] & 1 == 0]
        outward = np.abs(exact[moves]) > np.abs(flat[moves])
        bits[moves] += np.where(outward, 1, -1).astype(np.int32)
    return near


def flush_half(x: Array) -> Array:
    """Values that f16 holds as subnormals to zero of the same sign (`.ftz` is for f16 only)."""
    rounded = x.astype(np.float16)
    return np.where(np.absolute(rounded) < _LEAST_NORMAL, np.copysign(np.float32(0), x), x)


def bind_widen(frame: Frame, operand: Operand, full: str, key: str) -> tuple[Array, Any]:
    """An operand as float32 scratch, `(lanes, 2)` for f16x2 and `(2, lanes)` for bf16x2, and the
    call that fills it.
    """
    kind, paired = full.removesuffix("x2"), full.endswith("x2")
    bits = frame.read(operand, "b32" if paired else "b16")
    if kind == "f16":
        shape = (frame.n, 2) if paired else (frame.n,)
        wide = frame.buffer(key, shape, np.float32)
        return wide, partial(np.copyto, wide, bits.view(np.float16).reshape(shape))
    sixteen = frame.constant(np.uint32(16))
    if not paired:
        wide = frame.buffer(key, (frame.n,), np.uint32)

        def fill() -> None:
            np.copyto(wide, bits)
            np.left_shift(wide, sixteen, wide)

        return wide.view(np.float32), fill
    wide = frame.buffer(key, (2, frame.n), np.uint32)
    low, high = wide
    upper = frame.constant(np.uint32(0xFFFF0000))

    def fill_pair() -> None:
        np.left_shift(bits, sixteen, low)
        np.bitwise_and(bits, upper, high)

    return wide.view(np.float32), fill_pair


def bind_narrow(frame: Frame, wide: Array, full: str, out: Array) -> Any:
    """The call that rounds float32 scratch (as `bind_widen` lays it out) to nearest even, into the
    register row `out`; the scratch is lost.
    """
    kind, paired = full.removesuffix("x2"), full.endswith("x2")
    if kind == "f16":
        return partial(np.copyto, out.view(np.float16).reshape(wide.shape), wide, casting="unsafe")
    bits, odd = wide.view(np.uint32), frame.buffer("odd", wide.shape, np.uint32)
    sixteen, one, almost, upper = (
        np.broadcast_to(frame.constant(np.uint32(x)), wide.shape).copy()
        for x in (16, 1, 0x7FFF, 0xFFFF0000)
    )
    nan = frame.buffer("nan", wide.shape, np.bool_)
    flat = nan.reshape(-1)

    def narrow() -> None:
        np.isnan(wide, nan)
        np.right_shift(bits, sixteen, odd)
        np.bitwise_and(odd, one, odd)
        np.add(odd, almost, odd)
        np.add(bits, odd, bits)
        if any_of(flat):
            np.putmask(bits, nan, np.uint32(0x7FFF0000))
        np.right_shift(bits[0] if paired else bits, sixteen[0] if paired else sixteen, lows)
        if paired:
            np.bitwise_and(bits[1], upper[1], bits[1])
            np.bitwise_or(bits[1], lows, out)
        else:
            np.copyto(out, lows, casting="unsafe")

    lows = odd[0] if paired else odd
    return narrow


def _general(
    function: Callable[..., Array], ins: Instruction, frame: Frame, out: list[Array]
) -> Any:
    """A function on float32 arrays, applied to halves or to pairs of halves."""
    full = next(m for m in ins.mods if m in KINDS)
    plain = isinstance(function, np.ufunc) and not _MODIFIERS & set(ins.mods)
    if plain and full.startswith("f16"):
        return _native(function, ins, frame, out[0], full)
    bound = [bind_widen(frame, o, full, f"half{i}") for i, o in enumerate(ins.operands[1:])]
    sources, fills = [wide for wide, _ in bound], [fill for _, fill in bound]
    first = sources[0]
    relu, sat, ftz = (name in ins.mods for name in ("relu", "sat", "ftz"))
    narrow = bind_narrow(frame, first, full, out[0])

    def run() -> None:
        for fill in fills:
            fill()
        if plain:
            function(*sources, first)
            narrow()
            return
        result = function(*(flush_half(x) for x in sources) if ftz else sources)
        if relu:
            result = np.where(np.isnan(result), result, np.maximum(result, np.float32(0)))
        result = saturate(result) if sat else result
        np.copyto(first, flush_half(result) if ftz else result)
        narrow()

    return run


def _native(
    ufunc: Callable[..., Array], ins: Instruction, frame: Frame, out: Array, full: str
) -> Callable[[], Array]:
    """NumPy's own f16, which also goes through float32."""
    kind = "b32" if full == "f16x2" else "b16"
    sources = [frame.read(o, kind).view(np.float16) for o in ins.operands[1:]]
    return partial(ufunc, *sources, out.view(np.float16))


def _fma(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    full = next(m for m in ins.mods if m in KINDS)
    if _MODIFIERS & set(ins.mods):
        return _general(fused, ins, frame, out)
    run = (_FmaBf16 if full.startswith("bf16") else _fma_f16)(ins, frame, out[0], full)
    return _out_of_bounds(ins, frame, out[0], run) if "oob" in ins.mods else run


def _out_of_bounds(ins: Instruction, frame: Frame, out: Array, run: Any) -> Any:
    """fma.oob: zero where a factor is the NaN that tensor copies fill the outside with."""
    kind = "b32" if ins.mods[-1].endswith("x2") else "b16"
    a, b = (frame.read(o, kind).view(np.uint16) for o in ins.operands[1:3])
    target = out.view(np.uint16)

    def zeroing() -> None:
        outside = (a == _OUTSIDE) | (b == _OUTSIDE)
        run()
        target[outside] = 0

    return zeroing


def _fma_f16(ins: Instruction, frame: Frame, out: Array, full: str) -> Any:
    kind = "b32" if full == "f16x2" else "b16"
    a, b, c = (frame.read(o, kind).view(np.float16) for o in ins.operands[1:4])
    x, y = (frame.buffer(f"half{i}", a.shape, np.float64) for i in range(2))
    target = out.view(np.float16)

    def run() -> None:
        np.copyto(x, a)
        np.copyto(y, b)
        np.multiply(x, y, x)
        np.copyto(y, c)
        np.add(x, y, x)
        np.copyto(target, x, casting="unsafe")

    return run


class _FmaBf16:
    """fma.bf16 and bf16x2: in float32, and again where that may have rounded twice."""

    def __init__(self, ins: Instruction, frame: Frame, out: Array, full: str) -> None:
        bound = [bind_widen(frame, o, full, f"half{i}") for i, o in enumerate(ins.operands[1:4])]
        (self.a, fill_a), (self.b, fill_b), (self.c, fill_c) = bound
        self.fills = fill_a, fill_b, fill_c
        shape = self.a.shape
        self.product, self.total, self.rest = (
            frame.buffer(f"half{i}", shape, np.float32) for i in (3, 4, 5)
        )
        self.suspect, self.wrong, self.other = (
            frame.buffer(name, shape, np.bool_) for name in ("suspect", "wrong", "other")
        )
        self.below, self.tie = (np.full(shape, x, np.uint32) for x in (0xFFFF, 0x8000))
        self.narrow = bind_narrow(frame, self.total, full, out)

    def __call__(self) -> None:
        for fill in self.fills:
            fill()
        product, total, suspect = self.product, self.total, self.suspect
        flat = suspect.reshape(-1)
        np.multiply(self.a, self.b, product)
        np.add(product, self.c, total)
        low = self.rest.view(np.uint32)
        np.bitwise_and(total.view(np.uint32), self.below, low)
        np.equal(low, self.tie, suspect)
        if any_of(flat):
            self.keep_inexact()
            if any_of(flat):
                self.correct(np.flatnonzero(flat))
        np.isfinite(total, suspect)
        np.logical_not(suspect, suspect)
        if any_of(flat):
            self.correct(np.flatnonzero(flat))
        np.equal(total, 0, suspect)
        if any_of(flat):
            self.sign_zeros(np.flatnonzero(flat))
        self.narrow()

    def keep_inexact(self) -> None:
        """A sum is exact if taking either term away leaves the other; tiny products may not be."""
        product, total, rest, wrong, other = (
            self.product, self.total, self.rest, self.wrong, self.other
        )  # fmt: skip
        np.subtract(total, product, rest)
        np.not_equal(rest, self.c, wrong)
        np.subtract(total, self.c, rest)
        np.not_equal(rest, product, other)
        np.logical_or(wrong, other, wrong)
        np.absolute(product, rest)
        np.less(rest, _EXACT, other)
        np.logical_or(wrong, other, wrong)
        np.logical_and(self.suspect, wrong, self.suspect)

    def correct(self, few: Array) -> None:
        """Rounds to odd instead."""
        x, y, z = self.a.take(few), self.b.take(few), self.c.take(few)
        self.total.reshape(-1)[few] = fused(x, y, z)

    def sign_zeros(self, few: Array) -> None:
        """A product too small for float32 still gives the zero its sign."""
        x, y, product = self.a.take(few), self.b.take(few), self.product.take(few)
        lost = (x != 0) & (y != 0) & (product == 0)
        if any_of(lost):
            self.total.reshape(-1)[few[lost]] = product[lost]


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
            ("fma", kind): _fma,
            ("min", kind): partial(_minmax, np.fmin),
            ("max", kind): partial(_minmax, np.fmax),
            ("abs", kind): _sign,
            ("neg", kind): _sign,
            ("ex2", kind): partial(_general, _wide(np.exp2)),
            ("tanh", kind): partial(_general, _wide(np.tanh)),
        }
    return table


VALUES = _table()
