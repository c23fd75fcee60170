"""Rules of // and %.

Both sides of a division by a number n are reduced in the same way, which is what lets a quotient
and its remainder be put together again (`sums`):

| rule | holds because |
| --- | --- |
| (n·q + r) // n = q + r // n, (n·q + r) % n = r % n | floor |
| (g·t + s) // (g·m) = t // m, (g·t + s) % (g·m) = g·(t % m) + s, 0 ≤ s < g | s never carries |
| r // n = k, r % n = r − k·n where both ends of r agree on k | intervals |
| (x // m + c) // n = (x + c·m) // (m·n) | floor of floor |
| (x % m) // n = (x // n) % (m // n), n divides m | digits |
| (c·(x % m) + y) % n = (c·x + y) % n, n divides c·m | congruence |
| (b·q + r) // b = q + r // b, (b·q + r) % b = r % b for an expression b | floor |
"""

from __future__ import annotations

import math
from functools import cache

from tilewright.ir.index.nodes import Constant, FloorDiv, Index, Mod, as_index, define, intern
from tilewright.ir.index.sums import (
    Terms,
    add_all,
    make_product,
    make_sum,
    split_factors,
    split_terms,
)


@define("floor_divide")
@cache
def floor_divide(a: Index, b: Index) -> Index:
    """a // b."""
    if not isinstance(b, Constant):
        quotient, rest = _split_by_expression(a, b)
        return quotient + _divide_by_expression(rest, b)
    n = b.value
    if n == 0:
        raise ZeroDivisionError(f"{a} // 0")
    if n < 0:
        return floor_divide(-a, as_index(-n))
    quotient, rest = _split_by_number(a, n)
    return quotient + _divide_rest(rest, n)


@define("modulo")
@cache
def modulo(a: Index, b: Index) -> Index:
    """a % b."""
    if not isinstance(b, Constant):
        _, rest = _split_by_expression(a, b)
        return _remainder_by_expression(rest, b)
    n = b.value
    if n == 0:
        raise ZeroDivisionError(f"{a} % 0")
    if n < 0:
        return -modulo(-a, as_index(-n))
    _, rest = _split_by_number(_open_remainders(a, n), n)
    return _remainder_rest(rest, n)


def _split_by_number(value: Index, n: int) -> tuple[Index, Index]:
    """value = n·quotient + rest; the rest has coefficients below n and a constant in [0, n)."""
    terms, constant = split_terms(value)
    quotients: list[Index] = [as_index(constant // n)]
    rest: Terms = {}
    for term, factor in terms.items():
        whole = abs(factor) // n * (1 if factor > 0 else -1)
        left = factor - whole * n
        quotients.append(term * whole)
        if left and left * term.divisor % n == 0:
            common = math.gcd(left, n)
            quotients.append(_divide_exactly(term, n // common) * (left // common))
        elif left:
            rest[term] = left
    return add_all(quotients), make_sum(rest, constant % n)


def _divide_exactly(term: Index, n: int) -> Index:
    """term // n for a term that n divides, left for `make_sum` to multiply back."""
    match term:
        case FloorDiv(left=left, right=Constant(value=m)) if m > 0:
            return left // (m * n)
        case _:
            return intern(FloorDiv, term, as_index(n))


def _divide_rest(rest: Index, n: int) -> Index:
    if n == 1:
        return as_index(0)
    if rest.low is not None and rest.high is not None and rest.low // n == rest.high // n:
        return as_index(rest.low // n)
    found = _find_carry_free(rest, n)
    if found is not None:
        high, _, scale = found
        return high // (n // scale)
    terms, constant = split_terms(rest)
    if len(terms) == 1:
        ((term, factor),) = terms.items()
        match term, factor:
            case FloorDiv(left=left, right=Constant(value=m)), 1 if m > 0:
                return (left + constant * m) // (m * n)
            case Mod(left=left, right=Constant(value=m)), 1 if constant == 0 and m % n == 0:
                return left // n % (m // n)
            case _:
                pass
    return intern(FloorDiv, rest, as_index(n))


def _remainder_rest(rest: Index, n: int) -> Index:
    if n == 1:
        return as_index(0)
    if rest.low is not None and rest.high is not None and rest.low // n == rest.high // n:
        return rest - rest.low // n * n
    found = _find_carry_free(rest, n)
    if found is not None:
        high, low, scale = found
        return high % (n // scale) * scale + low
    return intern(Mod, rest, as_index(n))


def _find_carry_free(rest: Index, n: int) -> tuple[Index, Index, int] | None:
    """(high, low, g) with rest = g·high + low, 0 ≤ low < g, g > 1 a divisor of n; the largest g."""
    terms, constant = split_terms(rest)
    scales = {math.gcd(factor, n) for factor in terms.values()} - {1}
    for scale in sorted(scales, reverse=True):
        below = {term: factor for term, factor in terms.items() if factor % scale}
        low = make_sum(below, constant % scale)
        if low.low is not None and low.low >= 0 and low.high is not None and low.high < scale:
            above = {term: factor // scale for term, factor in terms.items() if factor % scale == 0}
            return make_sum(above, constant // scale), low, scale
    return None


def _open_remainders(value: Index, n: int) -> Index:
    """Replace x % m by x where n divides its coefficient times m."""
    terms, constant = split_terms(value)
    opened = [as_index(constant)]
    for term, factor in terms.items():
        match term:
            case Mod(left=left, right=Constant(value=m)) if factor * m % n == 0:
                opened.append(left * factor)
            case _:
                opened.append(term * factor)
    return add_all(opened)


def _split_by_expression(value: Index, b: Index) -> tuple[Index, Index]:
    """value = b·quotient + rest, taking every term that has b as a factor."""
    if value is b:
        return as_index(1), as_index(0)
    terms, constant = split_terms(value)
    wanted = split_factors(b)
    quotients: list[Index] = []
    rest: Terms = {}
    for term, factor in terms.items():
        left = list(split_factors(term))
        if all(left.count(each) >= wanted.count(each) for each in wanted):
            for each in wanted:
                left.remove(each)
            quotients.append(make_product(left) * factor)
        else:
            rest[term] = factor
    return add_all(quotients), make_sum(rest, constant)


def _is_below(value: Index, b: Index) -> bool:
    """Whether 0 ≤ value < b is known."""
    difference = b - value
    return (
        value.low is not None
        and value.low >= 0
        and difference.low is not None
        and difference.low > 0
    )


def _divide_by_expression(rest: Index, b: Index) -> Index:
    if _is_below(rest, b) or rest is as_index(0):
        return as_index(0)
    return intern(FloorDiv, rest, b)


def _remainder_by_expression(rest: Index, b: Index) -> Index:
    if _is_below(rest, b) or rest is as_index(0):
        return rest
    return intern(Mod, rest, b)
