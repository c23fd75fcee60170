"""What instructions mean, on Python integers and rationals: formats, rounding, special values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

Real = Fraction | float  # floats only for NaN, infinities and signed zeros


@dataclass(frozen=True)
class Format:
    """A binary format: bits of precision, lowest exponent of a unit, overflow at 2**limit."""

    bits: int
    precision: int
    least: int
    limit: int

    @property
    def mantissa(self) -> int:
        return self.precision - 1

    @property
    def bias(self) -> int:
        return self.limit - 1

    @property
    def tiny(self) -> Fraction:
        """The least normal number."""
        return Fraction(2) ** (2 - self.limit)


FORMATS = {
    "f16": Format(16, 11, -24, 16),
    "bf16": Format(16, 8, -133, 128),
    "f32": Format(32, 24, -149, 128),
    "f64": Format(64, 53, -1074, 1024),
}


def decode(code: int, kind: str) -> Real:
    """The value of a code; zeros, infinities and NaN as floats."""
    form = FORMATS[kind]
    sign = -1 if code >> (form.bits - 1) else 1
    exponent = code >> form.mantissa & ((1 << (form.bits - form.precision)) - 1)
    fraction = code & ((1 << form.mantissa) - 1)
    if exponent == (1 << (form.bits - form.precision)) - 1:
        return math.nan if fraction else sign * math.inf
    if exponent == 0 and fraction == 0:
        return sign * 0.0
    whole = fraction | (1 << form.mantissa if exponent else 0)
    return sign * whole * Fraction(2) ** (max(exponent, 1) - form.bias - form.mantissa)


def rounded(value: Fraction, mode: str, form: Format) -> Real:
    """A rational other than zero in a format: a rational, a signed zero or an infinity."""
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - form.precision + 1, form.least)
    down = magnitude // unit
    rest = magnitude / unit - down
    half = Fraction(1, 2)
    away = {"rn": rest > half or (rest == half and down % 2 == 1), "rz": False,
            "rm": value < 0 and rest > 0, "rp": value > 0 and rest > 0,
            "rna": rest >= half}[mode]  # fmt: skip
    result: Real = (down + bool(away)) * unit
    if result >= Fraction(2) ** form.limit:
        inward = mode == "rz" or (mode == "rm" and value > 0) or (mode == "rp" and value < 0)
        largest = (2 - Fraction(2) ** (1 - form.precision)) * Fraction(2) ** (form.limit - 1)
        result = largest if inward else math.inf
    result = -result if value < 0 else result
    return result if result != 0 else math.copysign(0.0, value)


def encode(value: Real, kind: str) -> int:
    """The code of a value that the format has; NaN is any quiet one."""
    form = FORMATS[kind]
    exponents = (1 << (form.bits - form.precision)) - 1
    if isinstance(value, float) and math.isnan(value):
        return exponents << form.mantissa | 1 << (form.mantissa - 1)
    sign = int(math.copysign(1.0, value) < 0) << (form.bits - 1)
    magnitude = abs(value)
    if magnitude == 0:
        return sign
    if magnitude == math.inf:
        return sign | exponents << form.mantissa
    exact = Fraction(magnitude)
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    if Fraction(2) ** exponent > exact:
        exponent -= 1
    biased = max(exponent + form.bias, 0)
    unit = Fraction(2) ** (max(biased, 1) - form.bias - form.mantissa)
    whole = int(exact / unit)
    return sign | (
        whole if biased == 0 else (biased << form.mantissa) + whole - (1 << form.mantissa)
    )


def is_special(*values: Real) -> bool:
    """Whether a NaN or an infinity is among them."""
    return any(isinstance(v, float) and not math.isfinite(v) for v in values)


def flushed(value: Real, form: Format) -> Real:
    """Subnormals to zero of their sign."""
    return math.copysign(0.0, value) if abs(value) < form.tiny else value


def arithmetic(name: str, values: list[Real], mode: str) -> Real:
    """add, sub, mul, fma, div, sqrt, rcp before rounding; zeros carry their sign."""
    if name == "sub":
        return arithmetic("add", [values[0], -values[1]], mode)
    if name == "rcp":
        return arithmetic("div", [Fraction(1), values[0]], mode)
    if is_special(*values) or (name == "div" and values[1] == 0) or name == "sqrt":
        return _ieee(name, values)
    if name == "add":
        return _sum(values[0], values[1], mode)
    if name == "fma":
        return _sum(arithmetic("mul", values[:2], mode), values[2], mode)
    a, b = values
    sign = math.copysign(1.0, a) * math.copysign(1.0, b)
    if a == 0 or b == 0:
        return sign * 0.0
    return Fraction(a) * Fraction(b) if name == "mul" else Fraction(a) / Fraction(b)


def _sum(a: Real, b: Real, mode: str) -> Real:
    if is_special(a, b):
        return _ieee("add", [a, b])
    total = Fraction(a) + Fraction(b)
    if total != 0:
        return total
    if a == 0 and b == 0 and math.copysign(1.0, a) == math.copysign(1.0, b):
        return math.copysign(0.0, a)
    return -0.0 if mode == "rm" else 0.0


def _ieee(name: str, values: list[Real]) -> Real:
    """Special values through float64: only infinities, NaN and signs matter (sqrt: see below)."""
    if any(isinstance(v, float) and math.isnan(v) for v in values):
        return math.nan
    a, *rest = (_shrink(v) for v in values)
    try:
        match name:
            case "add":
                return a + rest[0]
            case "mul":
                return a * rest[0]
            case "fma":
                return a * rest[0] + rest[1]
            case "sqrt":
                return values[0] if a == 0 or a == math.inf else math.nan if a < 0 else values[0]
            case _:
                return a / rest[0]
    except ZeroDivisionError:
        if a == 0:
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, rest[0])


def _shrink(value: Real) -> float:
    """A stand-in with the same sign that cannot overflow."""
    if isinstance(value, float):
        return value
    return math.copysign(1.5, value)


def root(value: Real, mode: str, form: Format) -> Real:
    """The correctly rounded square root of a number above zero."""
    exact = Fraction(value)
    scale = 4 ** (200 + 2 * abs(form.least))
    whole = math.isqrt(exact.numerator * scale // exact.denominator)
    found = Fraction(whole, math.isqrt(scale))
    if found * found != exact:  # a sticky bit below everything that rounding looks at
        found += Fraction(1, 2 * math.isqrt(scale))
    return rounded(found, mode, form)


def finish(value: Real, kind: str, mode: str, mods: str) -> Real:
    """Rounds, then applies `.ftz`, `.sat` and `.relu`."""
    form = FORMATS[kind]
    if isinstance(value, Fraction):
        value = rounded(value, mode, form)
    if ".ftz" in mods and not is_special(value):
        value = flushed(value, form)
    if "sat" in mods.split("."):
        value = 0.0 if value != value or value <= 0 else min(value, Fraction(1))
    if ".relu" in mods and value < 0:
        value = 0.0
    return value


def computed(name: str, kind: str, mode: str, mods: str) -> Callable[..., int]:
    """The reference of a floating-point instruction, from codes to a code."""
    form = FORMATS[kind]

    def function(*codes: int) -> int:
        values = [decode(code, kind) for code in codes]
        if ".ftz" in mods:
            values = [v if is_special(v) else flushed(v, form) for v in values]
        value = arithmetic(name, values, mode)
        if name == "sqrt" and isinstance(value, Fraction):
            value = root(value, mode, form)
        return encode(finish(value, kind, mode, mods), kind)

    return function


def converted(source: str, target: str, mode: str, mods: str = "") -> Callable[[int], int]:
    """The reference of a float-to-float conversion; `rni` and so on round to whole numbers."""

    def function(code: int) -> int:
        value = decode(code, source)
        if ".ftz" in mods and source == "f32" and not is_special(value):
            value = flushed(value, FORMATS["f32"])
        if mode.endswith("i") and isinstance(value, Fraction):
            whole = integral(value, mode)
            value = Fraction(whole) if whole else math.copysign(0.0, value)
        rest = mods if target == "f32" else mods.replace(".ftz", "")
        result = finish(value, target, mode if len(mode) == 2 else "rn", rest)
        if ".satfinite" in mods and result in (math.inf, -math.inf):
            form = FORMATS[target]
            largest = (2 - Fraction(2) ** (1 - form.precision)) * Fraction(2) ** (form.limit - 1)
            result = largest if result > 0 else -largest
        return encode(result, target)

    return function


def integral(value: Fraction, mode: str) -> int:
    """A rational as a whole number: `rni`, `rzi`, `rmi`, `rpi`."""
    down = math.floor(value)
    if mode == "rmi" or down == value:
        return down
    if mode == "rpi":
        return down + 1
    if mode == "rzi":
        return down if value > 0 else down + 1
    rest = value - down
    return down + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and down % 2 == 1))
