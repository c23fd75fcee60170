"""f32 and f64 arithmetic, with rounding modes, `.ftz`, `.sat`, NaN rules; the approximate
functions.

`fma.f32` is computed in float64: the product is exact there, and only a sum that lands on a tie (or
a possible tie of a subnormal) can round twice; those are corrected with the exact error of the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.memory import Array, any_of
from tilewright.runtime.vm.records import Instruction
from tilewright.runtime.vm.rounding import (
    directed,
    directed_fma64,
    error_signs,
    narrow,
    negate_zeros,
    to_odd,
    two_product,
    two_sum,
)

Function = Callable[..., Array]
_MODES = ("rz", "rm", "rp")
_TINY = np.float32(2.0**-126)


def mode_of(ins: Instruction) -> str:
    """The rounding mode; without one nearest even."""
    return next((m for m in ins.mods if m in _MODES), "rn")


def flush(x: Array) -> Array:
    """Subnormals of f32 to zero of the same sign."""
    small = np.less(np.absolute(x), _TINY)
    if not any_of(small):
        return x
    return np.where(small, np.copysign(np.float32(0), x), x)


def saturate(x: Array) -> Array:
    """Clamps to [0, 1]; NaN gives +0."""
    found: Array = np.where(np.isnan(x), x.dtype.type(0), np.clip(x, 0, 1)) + x.dtype.type(0)
    return found


def extreme(ufunc: Any, a: Array, b: Array, *, propagates: bool) -> Array:
    """min and max: a NaN loses against a number (unless `.NaN`), and -0 < +0."""
    is_max = ufunc is np.fmax
    result = np.asarray((np.maximum if is_max else np.minimum)(a, b) if propagates else ufunc(a, b))
    zeros = np.equal(result, 0)
    if any_of(zeros):
        zeros &= (a == 0) & (b == 0)
        bits = f"u{a.dtype.itemsize}"
        x, y = a.view(bits), b.view(bits)
        np.copyto(result.view(bits), x & y if is_max else x | y, where=zeros)
    return result


def _general(
    function: Function, ins: Instruction, frame: Frame, out: list[Array], kind: str
) -> Any:
    """Any function of the operands, with `.ftz` before and after and `.sat`."""
    sources = [frame.read(o, kind) for o in ins.operands[1:]]
    target = out[0].view(DTYPES[kind])
    ftz, sat = "ftz" in ins.mods and kind == "f32", "sat" in ins.mods

    def run() -> None:
        result = function(*(flush(x) for x in sources)) if ftz else function(*sources)
        if ftz:
            result = flush(result)
        np.copyto(target, saturate(result) if sat else result, casting="unsafe")

    return run


def _binary(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """add, sub, mul: one NumPy call in the plain case."""
    kind = "f64" if "f64" in ins.mods else "f32"
    mode = mode_of(ins)
    if mode == "rn" and "ftz" not in ins.mods and "sat" not in ins.mods:
        a, b = (frame.read(o, kind) for o in ins.operands[1:3])
        return partial(ufunc, a, b, out[0].view(DTYPES[kind]))
    if mode == "rn":
        return _general(ufunc, ins, frame, out, kind)
    exact = {np.add: two_sum, np.subtract: lambda a, b: two_sum(a, -b), np.multiply: two_product}[
        ufunc
    ]

    def function(a: Array, b: Array) -> Array:
        x, y = a.astype(np.float64), b.astype(np.float64)
        near, error = exact(x, y)
        if kind == "f64":
            found = directed(near, error_signs(error, near, (x, y), _RESIDUALS[ufunc]), mode)
        else:
            found = narrow(np.where(np.isfinite(near), to_odd(near, error), near), mode)
        if ufunc is np.multiply or mode != "rm":
            return found
        return negate_zeros(found, near == 0, x, -y if ufunc is np.subtract else y)

    return _general(function, ins, frame, out, kind)


_RESIDUALS: dict[Any, Callable[..., Fraction]] = {
    np.add: lambda near, a, b: a + b - near,
    np.subtract: lambda near, a, b: a - b - near,
    np.multiply: lambda near, a, b: a * b - near,
    np.divide: lambda near, a, b: (a - near * b) * (1 if b > 0 else -1 if b < 0 else 0),
    np.reciprocal: lambda near, a: (1 - near * a) * (1 if a > 0 else -1 if a < 0 else 0),
    np.sqrt: lambda near, a: a - near * near,
}


def _untie(total: Array, product: Array, c: Array) -> Array:
    _, error = two_sum(product, c)
    return np.where(np.isfinite(error), to_odd(total, error), total)


def _fma(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = "f64" if "f64" in ins.mods else "f32"
    mode = mode_of(ins)
    if kind == "f32" and mode == "rn":
        return _fast_fma(ins, frame, out)

    def single(a: Array, b: Array, c: Array) -> Array:
        product = np.multiply(a, b, dtype=np.float64)
        total = product + c
        found = narrow(_untie(total, product, c.astype(np.float64)), mode)
        return negate_zeros(found, total == 0, product, c) if mode == "rm" else found

    double = partial(directed_fma64, mode=mode)
    return _general(double if kind == "f64" else single, ins, frame, out, kind)


def _fast_fma(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """Rounding to nearest: it can go wrong twice only on a tie of f32 or in its subnormals."""
    if "ftz" not in ins.mods and "sat" not in ins.mods:
        return _bind_fma(frame, [frame.read(o, "f32") for o in ins.operands[1:4]], out[0])
    flushes, saturates = "ftz" in ins.mods, "sat" in ins.mods
    sources = [frame.read(o, "f32") for o in ins.operands[1:4]]
    flushed = [frame.scratch(np.float32, f"fma{i}") for i in range(3)] if flushes else sources
    plain, target = _bind_fma(frame, flushed, out[0]), out[0].view(np.float32)

    def run() -> None:
        if flushes:
            for source, place in zip(sources, flushed, strict=True):
                np.copyto(place, flush(source))
        plain()
        result = flush(target) if flushes else target
        np.copyto(target, saturate(result) if saturates else result)

    return run


def _bind_fma(frame: Frame, sources: list[Array], out: Array) -> Callable[[], None]:
    """The common case, in as few NumPy calls as possible."""
    a, b, c = sources
    target, target_bits = out.view(np.float32), out.view(np.uint32)
    product, addend, total = (frame.scratch(np.float64, i) for i in range(3))
    bits, low = total.view(np.int64), frame.scratch(np.int64, 2)
    below, tie = frame.constant(np.int64(0x1FFFFFFF)), frame.constant(np.int64(0x10000000))
    scale, exponent = frame.scratch(np.uint32, 3), frame.constant(np.uint32(0x7F800000))
    zero, suspect = frame.constant(np.uint32(0)), frame.scratch(np.bool_, "tie")

    first = suspect.argmax  # of a true element, or 0

    def correct() -> None:
        target[suspect] = _untie(total[suspect], product[suspect], addend[suspect])

    def run() -> None:
        np.copyto(product, a)
        np.copyto(total, b)
        np.multiply(product, total, product)
        np.copyto(addend, c)  # kept: the target may be the register of c
        np.add(product, addend, total)
        np.copyto(target, total, casting="unsafe")
        np.bitwise_and(bits, below, low)
        np.equal(low, tie, suspect)
        if first() or suspect[0]:
            correct()
        np.bitwise_and(target_bits, exponent, scale)
        np.equal(scale, zero, suspect)
        if first() or suspect[0]:
            np.logical_and(suspect, total, suspect)  # exact zeros are right
            correct()

    return run


def _divide(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    return _correctly_rounded(np.divide, ins, frame, out)


def _correctly_rounded(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """div, sqrt, rcp: NumPy rounds to nearest; other modes look at the sign of the residual."""
    kind = "f64" if "f64" in ins.mods else "f32"
    mode = mode_of(ins)
    if mode == "rn" or "approx" in ins.mods:
        return _general(ufunc, ins, frame, out, kind)

    def function(*sources: Array) -> Array:
        wide = [x.astype(np.float64) for x in sources]
        near = ufunc(*wide)
        if ufunc is np.sqrt:
            product, low = two_product(near, near)
            error = (wide[0] - product) - low
        else:
            top, bottom = wide if ufunc is np.divide else (np.ones_like(wide[0]), wide[0])
            product, low = two_product(near, bottom)
            error = ((top - product) - low) * np.sign(bottom)
        known = np.isfinite(near) & np.isfinite(error)
        if kind == "f64":
            valid = tuple(np.where(np.isinf(near) & (x == 0), np.inf, x) for x in wide)
            return directed(near, error_signs(error, near, valid, _RESIDUALS[ufunc]), mode)
        return narrow(np.where(known, to_odd(near, error), near), mode)

    return _general(function, ins, frame, out, kind)


def _minmax(ufunc: Any, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = "f64" if "f64" in ins.mods else "f32"
    propagates = "NaN" in ins.mods
    xorsign, absolute = "xorsign" in ins.mods, "abs" in ins.mods

    def function(*sources: Array) -> Array:
        a, *rest = sources
        result = np.abs(a) if absolute else a
        for b in rest:
            sign = np.signbit(a) ^ np.signbit(b)
            result = extreme(ufunc, result, np.abs(b) if absolute else b, propagates=propagates)
            if xorsign:
                result = np.where(sign, -np.abs(result), np.abs(result))
        return result

    return _general(function, ins, frame, out, kind)


def _sign(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """abs and neg act on the sign bit, NaN included."""
    kind = "f64" if "f64" in ins.mods else "f32"
    ufunc = np.absolute if ins.opcode == "abs" else np.negative
    if "ftz" in ins.mods:
        return _general(ufunc, ins, frame, out, kind)
    return partial(ufunc, frame.read(ins.operands[1], kind), out[0].view(DTYPES[kind]))


def _copysign(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    kind = ins.mods[-1]
    sign, value = (frame.read(o, kind) for o in ins.operands[1:3])
    return partial(np.copysign, value, sign, out[0].view(DTYPES[kind]))


def _unary(function: Function, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    return _general(function, ins, frame, out, "f64" if "f64" in ins.mods else "f32")


def _gross(function: Function, ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """rcp and rsqrt `.approx.ftz.f64`: of the upper words only, and the lower word is zero."""
    a = frame.read(ins.operands[1], "u64")
    target, upper = out[0].view(np.uint64), np.uint64(0xFFFFFFFF << 32)

    def run() -> None:
        x = (a & upper).view(np.float64)
        x = np.where(np.abs(x) < np.finfo(np.float64).tiny, np.copysign(0.0, x), x)
        result = np.asarray(function(x))
        bits = result.view(np.uint64) & upper
        np.copyto(target, np.where(np.isnan(result), result.view(np.uint64), bits))

    return run


def _wide(function: Function) -> Function:
    """Evaluates in float64, so that the result is well inside the manual's bound."""
    return lambda x: function(x.astype(np.float64)).astype(x.dtype)


def _test(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """testp: finite, infinite, number, notanumber, normal, subnormal."""
    kind = ins.mods[-1]
    a = frame.read(ins.operands[1], kind)
    tiny = np.finfo(a.dtype).tiny
    tests: dict[str, Callable[[Array], Array]] = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "number": lambda x: ~np.isnan(x),
        "notanumber": np.isnan,
        "normal": lambda x: np.isfinite(x) & (np.abs(x) >= tiny),
        "subnormal": lambda x: (x != 0) & (np.abs(x) < tiny),
    }
    test = tests[ins.mods[0]]
    return lambda: np.copyto(out[0], test(a))


def _reciprocal_root(x: Array) -> Array:
    return 1.0 / np.sqrt(x)


def _is_gross(ins: Instruction) -> bool:
    return {"approx", "ftz", "f64"} <= set(ins.mods)


def _reciprocal(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    bind = _gross if _is_gross(ins) else _correctly_rounded
    return bind(np.reciprocal, ins, frame, out)


def _root(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    if _is_gross(ins):
        return _gross(_reciprocal_root, ins, frame, out)
    return _unary(_wide(_reciprocal_root), ins, frame, out)


def _table() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {}
    for kind in ("f32", "f64"):
        table |= {
            ("add", kind): partial(_binary, np.add),
            ("sub", kind): partial(_binary, np.subtract),
            ("mul", kind): partial(_binary, np.multiply),
            ("fma", kind): _fma,
            ("mad", kind): _fma,
            ("div", kind): _divide,
            ("rcp", kind): _reciprocal,
            ("sqrt", kind): partial(_correctly_rounded, np.sqrt),
            ("rsqrt", kind): _root,
            ("min", kind): partial(_minmax, np.fmin),
            ("max", kind): partial(_minmax, np.fmax),
            ("abs", kind): _sign,
            ("neg", kind): _sign,
            ("copysign", kind): _copysign,
            ("testp", kind): _test,
        }
    for opcode, function in {
        "ex2": np.exp2,
        "lg2": np.log2,
        "sin": np.sin,
        "cos": np.cos,
        "tanh": np.tanh,
    }.items():
        table[opcode, "f32"] = partial(_unary, _wide(function))
    return table


VALUES = _table()
