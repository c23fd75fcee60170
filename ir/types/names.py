"""The types by name: constants for the fixed ones, `parse_dtype` for all, `codebook` for tables.

Types are interned: equal types are one object, however they were spelled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import cache

from tilewright.ir.types.record import DType, Special

u1, u2, u3, u4, u5, u6, u7, u8 = (DType(f"u{bits}", bits, "uint") for bits in range(1, 9))
u16, u32, u64 = (DType(f"u{bits}", bits, "uint") for bits in (16, 32, 64))
i1, i2, i3, i4, i5, i6, i7, i8 = (DType(f"i{bits}", bits, "int") for bits in range(1, 9))
i16, i32, i64 = (DType(f"i{bits}", bits, "int") for bits in (16, 32, 64))


def _make_float(name: str, bits: int, exponent: int, mantissa: int, special: Special) -> DType:
    bias = (1 << (exponent - 1)) - 1
    return DType(name, bits, "float", exponent, mantissa, bias, special)


f16 = _make_float("f16", 16, 5, 10, "ieee")
bf16 = _make_float("bf16", 16, 8, 7, "ieee")
tf32 = _make_float("tf32", 32, 8, 10, "ieee")
f32 = _make_float("f32", 32, 8, 23, "ieee")
f64 = _make_float("f64", 64, 11, 52, "ieee")
f8e4m3 = _make_float("f8e4m3", 8, 4, 3, "nan")
f8e5m2 = _make_float("f8e5m2", 8, 5, 2, "ieee")
f4e2m1 = _make_float("f4e2m1", 4, 2, 1, "finite")
f6e3m2 = _make_float("f6e3m2", 6, 3, 2, "finite")
f6e2m3 = _make_float("f6e2m3", 6, 2, 3, "finite")
e8m0 = DType("e8m0", 8, "scale", 8, 0, 127, "nan")
bool_ = DType("bool", 8, "bool")

# Quantiles of the normal distribution, scaled to [-1, 1], with an exact zero (QLoRA, appendix E).
nf4 = DType(
    "nf4",
    4,
    "codebook",
    table=(
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ),
)

NAMED: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (
        *(u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64),
        *(i1, i2, i3, i4, i5, i6, i7, i8, i16, i32, i64),
        *(f16, bf16, tf32, f32, f64, f8e4m3, f8e5m2, f4e2m1, f6e3m2, f6e2m3),
        *(e8m0, bool_, nf4),
    )
}

_SMALL_FLOAT = re.compile(r"f([3-8])(_?)e([1-7])m([0-6])")
_CODEBOOK = re.compile(r"codebook([1-8])<([^<>]*)>")


@cache
def parse_dtype(text: str) -> DType:
    """The type named by `u4`, `f16`, `f5_e2m2`, `codebook1<-1.0, 1.0>`, …; the inverse of `str`."""
    if text in NAMED:
        return NAMED[text]
    if match := _SMALL_FLOAT.fullmatch(text):
        bits, exponent, mantissa = (int(match[group]) for group in (1, 3, 4))
        return _parse_small_float(text, bits, exponent, mantissa)
    if match := _CODEBOOK.fullmatch(text):
        return codebook(int(match[1]), [float(value) for value in match[2].split(",")])
    raise ValueError(
        f"unknown type {text!r}: types are uN and iN (N = 1…8, 16, 32, 64), f16, bf16, tf32, f32, "
        "f64, f8e4m3, f8e5m2, fN_eXmY (N = 3…8, 1 + X + Y = N), e8m0, bool, nf4 and "
        "codebookN<value, …>"
    )


def _parse_small_float(text: str, bits: int, exponent: int, mantissa: int) -> DType:
    if 1 + exponent + mantissa != bits:
        raise ValueError(
            f"type {text!r} does not add up: 1 sign, {exponent} exponent and {mantissa} mantissa "
            f"bits are {1 + exponent + mantissa} bits, not {bits}"
        )
    short, full = f"f{bits}e{exponent}m{mantissa}", f"f{bits}_e{exponent}m{mantissa}"
    if bits == 8 and short in NAMED:
        raise ValueError(
            f"unknown type {text!r}: write {short}, which has NaN (there is no all-finite form)"
        )
    if bits == 8 and text == short:
        raise ValueError(f"unknown type {text!r}: write {full}, whose codes are all finite")
    return NAMED.get(short) or _small_float(full, bits, exponent, mantissa)


@cache
def _small_float(name: str, bits: int, exponent: int, mantissa: int) -> DType:
    return _make_float(name, bits, exponent, mantissa, "finite")


def codebook(bits: int, values: Iterable[float]) -> DType:
    """The type whose code c means values[c]; 2^bits finite values, 1 ≤ bits ≤ 8."""
    if not 1 <= bits <= 8:
        raise ValueError(f"a codebook has 1 to 8 bits, not {bits}")
    table = tuple(float(value) + 0.0 for value in values)  # + 0.0 turns -0.0 into 0.0
    if len(table) != 1 << bits:
        raise ValueError(f"a codebook of {bits} bits has {1 << bits} values, not {len(table)}")
    if not all(math.isfinite(value) for value in table):
        raise ValueError("the values of a codebook are finite numbers")
    return nf4 if table == nf4.table else _codebook(bits, table)


@cache
def _codebook(bits: int, table: tuple[float, ...]) -> DType:
    text = ", ".join(repr(value) for value in table)
    return DType(f"codebook{bits}<{text}>", bits, "codebook", table=table)


def list_small_floats() -> list[DType]:
    """All fN_eXmY with N ≤ 8 whose codes are all finite."""
    names = (f"f{n}_e{x}m{n - 1 - x}" for n in range(3, 9) for x in range(1, n))
    return [parse_dtype(name) for name in names if name not in ("f8_e4m3", "f8_e5m2")]
