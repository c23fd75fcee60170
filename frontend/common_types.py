"""Which casts make two dtypes one: the advice of the error where they meet.

A float wins over an integer, whatever their sizes; of two floats or two integers the one that
holds all values of both; else both are cast to the smallest usual type that does.
"""

from __future__ import annotations

from tilewright.ir.types import DType, bool_, f32, f64, i8, i16, i32, i64
from tilewright.ir.values import Value, element_type


def suggest_casts(first: Value, other: Value) -> str:
    """The hint of an error: the casts after which `first` and `other` have one dtype."""
    dtype = find_common(element_type(first), element_type(other))
    casts = [
        f"{value.name or 'x'}.cast(tw.{dtype.name})"
        for value in (first, other)
        if element_type(value) != dtype
    ]
    return f"cast {'both' if len(casts) > 1 else 'one of them'}, e.g. {' and '.join(casts)}"


def find_common(left: DType, right: DType) -> DType:
    """The dtype in which values of `left` and `right` are combined."""
    pair = (left, right)
    if bool_ in pair:
        return right if left == bool_ else left
    if left.is_integer and right.is_integer:
        low, high = min(d.min for d in pair), max(d.max for d in pair)
        integers = (*pair, i8, i16, i32, i64)
        return next((d for d in integers if d.min <= low and high <= d.max), i64)
    floats = [d for d in pair if d.is_float]
    usual = (*floats, f32, f64)
    return next(d for d in usual if all(_holds(d, narrow) for narrow in floats))


def _holds(wide: DType, narrow: DType) -> bool:
    return wide.exponent >= narrow.exponent and wide.mantissa >= narrow.mantissa
