"""Rules of min, max and comparisons.

A comparison is an expression with the values 0 and 1. `a >= b`, `a < b` and so on are brought to
value ≥ 0, the terms divided by their common divisor: 4·i − 3 ≥ 0 is i − 1 ≥ 0. Conditions meet in
`minimum` (and) and `maximum` (or).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from tilewright.ir.index.nodes import (
    Index,
    IndexLike,
    IsNonNegative,
    IsZero,
    Max,
    Min,
    as_index,
    define,
    intern,
)
from tilewright.ir.index.sums import make_sum, split_terms


def minimum(first: IndexLike, *others: IndexLike) -> Index:
    """The smallest value; for conditions: and."""
    kept = _keep_extremes(Min, (first, *others), lambda a, b: a - b)
    return kept[0] if len(kept) == 1 else intern(Min, kept)


def maximum(first: IndexLike, *others: IndexLike) -> Index:
    """The largest value; for conditions: or."""
    kept = _keep_extremes(Max, (first, *others), lambda a, b: b - a)
    return kept[0] if len(kept) == 1 else intern(Max, kept)


def _keep_extremes(
    kind: type[Min] | type[Max],
    values: tuple[IndexLike, ...],
    excess: Callable[[Index, Index], Index],
) -> tuple[Index, ...]:
    """The values, flattened, without those that another one always beats; sorted by key."""
    flat: dict[Index, None] = {}
    for value in map(as_index, values):
        flat.update(dict.fromkeys(value.values if isinstance(value, kind) else (value,)))
    kept: list[Index] = []
    for value in flat:
        if any(_is_non_negative(excess(value, other)) for other in kept):
            continue
        kept = [other for other in kept if not _is_non_negative(excess(other, value))]
        kept.append(value)
    return tuple(sorted(kept, key=lambda value: value.key))


def _is_non_negative(value: Index) -> bool:
    return value.low is not None and value.low >= 0


@define("at_least")
@cache
def at_least(a: Index, b: Index) -> Index:
    """1 where a ≥ b, else 0."""
    difference = a - b
    if difference.low is not None and difference.low >= 0:
        return as_index(1)
    if difference.high is not None and difference.high < 0:
        return as_index(0)
    terms, constant = split_terms(difference)
    common = math.gcd(*terms.values())
    scaled = {term: factor // common for term, factor in terms.items()}
    return intern(IsNonNegative, make_sum(scaled, constant // common))


def equal(a: IndexLike, b: IndexLike) -> Index:
    """1 where a = b, else 0."""
    return _is_zero(as_index(a) - as_index(b))


def not_equal(a: IndexLike, b: IndexLike) -> Index:
    """1 where a ≠ b, else 0."""
    return 1 - equal(a, b)


def logical_not(condition: Index) -> Index:
    """1 − condition, as a comparison where it is one."""
    if isinstance(condition, IsNonNegative):
        return condition.value < 0
    return 1 - condition


@cache
def _is_zero(difference: Index) -> Index:
    low, high = difference.low, difference.high
    if low is not None and low == high:
        return as_index(int(low == 0))
    if (low is not None and low > 0) or (high is not None and high < 0):
        return as_index(0)
    terms, constant = split_terms(difference)
    step = math.gcd(*(factor * term.divisor for term, factor in terms.items()))
    if constant and (step == 0 or constant % step):
        return as_index(0)
    common = math.gcd(*terms.values(), constant)
    first = min(terms, key=lambda term: term.key)
    common = common if terms[first] > 0 else -common
    scaled = {term: factor // common for term, factor in terms.items()}
    return intern(IsZero, make_sum(scaled, constant // common))
