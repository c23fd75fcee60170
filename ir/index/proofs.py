"""Questions about index expressions: interval, divisor, and proofs; the answer False means "not
proved".

Where the interval of the whole does not decide, an expression is bounded from below by a simpler
one:

| term | replaced by | holds because |
| --- | --- | --- |
| c·(x // n) | all times n: c·(x − n + 1) if c > 0, c·x if c < 0 | x − n < n·(x // n) ≤ x |
| −c·(x % n) | −c·x, x ≥ 0 | x % n ≤ x |
| c·min(…) | each of them if c > 0, any of them if c < 0 | it is one of them, and the least |
| c·max(…) | any of them if c > 0, each of them if c < 0 | it is one of them, and the greatest |
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from tilewright.ir.index.intervals import Interval
from tilewright.ir.index.nodes import (
    Constant,
    FloorDiv,
    Index,
    IndexLike,
    IsNonNegative,
    IsZero,
    Max,
    Min,
    Mod,
    as_index,
)
from tilewright.ir.index.sums import split_terms

# Enough for a tile offset in a padded extent: two divisions, a minimum, a remainder.
_DEPTH = 4


def interval(value: IndexLike) -> Interval:
    """Inclusive bounds, None where nothing is known."""
    value = as_index(value)
    return value.low, value.high


def divisor(value: IndexLike) -> int:
    """The largest number proved to divide the value; 0 for the number zero."""
    return as_index(value).divisor


def prove_nonnegative(value: IndexLike) -> bool:
    """Whether value ≥ 0 always holds."""
    return _prove(as_index(value), _DEPTH)


def prove_less(a: IndexLike, b: IndexLike) -> bool:
    """Whether a < b always holds."""
    return _prove(as_index(b) - a - 1, _DEPTH)


def prove_equal(a: IndexLike, b: IndexLike) -> bool:
    """Whether a = b always holds."""
    difference = as_index(a) - b
    return _prove(difference, _DEPTH) and _prove(-difference, _DEPTH)


def prove_divisible(value: IndexLike, n: int) -> bool:
    """Whether n always divides the value."""
    value = as_index(value)
    return value.divisor % n == 0 or value % n is as_index(0)


def prove(condition: IndexLike) -> bool:
    """Whether a condition (comparisons joined by minimum and maximum) always holds."""
    match as_index(condition):
        case IsNonNegative(value=value):
            return prove_nonnegative(value)
        case IsZero(value=value):
            return prove_equal(value, 0)
        case Min(values=values):
            return all(prove(value) for value in values)
        case Max(values=values) if any(prove(value) for value in values):
            return True
        case other:
            return other.low is not None and other.low > 0


@cache
def _prove(value: Index, depth: int) -> bool:
    if value.low is not None and value.low >= 0:
        return True
    if depth == 0 or (value.high is not None and value.high < 0):
        return False
    return any(all(_prove(case, depth - 1) for case in cases) for cases in _bound_from_below(value))


def _bound_from_below(value: Index) -> Iterator[list[Index]]:
    """Lists of expressions: if all of a list are ≥ 0, the value is."""
    terms, _ = split_terms(value)
    for term, factor in terms.items():
        rest = value - term * factor
        match term:
            case FloorDiv(left=left, right=Constant(value=n)) if n > 0:
                below = left - (n - 1) if factor > 0 and left.divisor % n else left
                # value is whole: it is ≥ 0 where n·value > −n.
                yield [rest * n + below * factor + (n - 1)]
            case Mod(left=left) if factor < 0 and left.low is not None and left.low >= 0:
                yield [rest + left * factor]
            case Min(values=values) | Max(values=values):
                cases = [rest + each * factor for each in values]
                if isinstance(term, Min) == (factor > 0):
                    yield cases
                else:
                    yield from ([case] for case in cases)
            case _:
                pass
