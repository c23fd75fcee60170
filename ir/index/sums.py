"""Rules of +, − and ×: expressions are polynomials over atoms, with integer coefficients.

Products of sums are multiplied out, so that equal polynomials are one node. One rule puts back
together what index arithmetic takes apart: c·n·(y // n) + c·(y % n) = c·y, also where the quotient
is itself a remainder, c·n·((y // n) % k) + c·(y % n) = c·(y % (n·k)), and where n divides y, so
that there is no remainder.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from tilewright.ir.index.nodes import (
    Constant,
    FloorDiv,
    Index,
    Mod,
    Product,
    Sum,
    as_index,
    define,
    intern,
)

Terms = dict[Index, int]


def split_terms(value: Index) -> tuple[Terms, int]:
    """Coefficients by term, and the constant."""
    match value:
        case Constant():
            return {}, value.value
        case Sum():
            return dict(value.terms), value.constant
        case _:
            return {value: 1}, 0


def make_sum(terms: Terms, constant: int) -> Index:
    """Σ coefficient · term + constant in its simplest form; terms are neither sums nor numbers."""
    kept = {term: factor for term, factor in terms.items() if factor}
    if not kept:
        return as_index(constant)
    for join in (_join_quotient, _join_remainder):
        joined = join(kept)
        if joined is not None:
            return joined + constant
    if constant == 0 and len(kept) == 1:
        ((term, factor),) = kept.items()
        if factor == 1:
            return term
    ordered = tuple(sorted(kept.items(), key=_order))
    return intern(Sum, ordered, constant)


def _order(item: tuple[Index, int]) -> str:
    return item[0].key


@define("add")
@cache
def add(a: Index, b: Index) -> Index:
    """a + b."""
    return _combine(a, b, 1)


@define("subtract")
@cache
def subtract(a: Index, b: Index) -> Index:
    """a − b."""
    return _combine(a, b, -1)


def _combine(a: Index, b: Index, sign: int) -> Index:
    terms, constant = split_terms(a)
    more, more_constant = split_terms(b)
    for term, factor in more.items():
        terms[term] = terms.get(term, 0) + sign * factor
    return make_sum(terms, constant + sign * more_constant)


def add_all(values: Iterable[Index]) -> Index:
    """The sum of all values."""
    total: Index = as_index(0)
    for value in values:
        total = add(total, value)
    return total


@define("multiply")
@cache
def multiply(a: Index, b: Index) -> Index:
    """a · b, multiplied out."""
    terms, constant = split_terms(a)
    more, more_constant = split_terms(b)
    product: Terms = {}

    def put(term: Index, factor: int) -> None:
        product[term] = product.get(term, 0) + factor

    for x, factor in terms.items():
        put(x, factor * more_constant)
        for y, other in more.items():
            put(_multiply_terms(x, y), factor * other)
    for y, other in more.items():
        put(y, other * constant)
    return make_sum(product, constant * more_constant)


def split_factors(term: Index) -> tuple[Index, ...]:
    """The factors of a term."""
    return term.factors if isinstance(term, Product) else (term,)


def make_product(factors: Iterable[Index]) -> Index:
    """The product of atoms."""
    ordered = sorted(factors, key=lambda factor: factor.key)
    if not ordered:
        return as_index(1)
    return ordered[0] if len(ordered) == 1 else intern(Product, tuple(ordered))


def _multiply_terms(a: Index, b: Index) -> Index:
    return make_product((*split_factors(a), *split_factors(b)))


def _join_quotient(terms: Terms) -> Index | None:
    """The sum with an exact quotient multiplied back; None where there is none."""
    for term, factor in terms.items():
        match term:
            case FloorDiv(left=left, right=Constant(value=n)) if (
                0 < n <= abs(factor) and left.divisor % n == 0
            ):
                whole = abs(factor) // n * (1 if factor > 0 else -1)
                return make_sum({**terms, term: factor - whole * n}, 0) + left * whole
            case _:
                pass
    return None


def _join_remainder(terms: Terms) -> Index | None:
    """The sum with a quotient and its remainder put together; None where there is no such pair."""
    remainders = [term for term in terms if isinstance(term, Mod)]
    for term in remainders:
        factor, (value, size) = terms[term], (term.left, term.right)
        if not isinstance(size, Constant):
            continue
        quotient, wanted = value // size, factor * size.value
        if terms.get(quotient) == wanted:
            return _replace(terms, term, quotient, value * factor)
        for outer in remainders:
            if outer.left is quotient and terms[outer] == wanted:
                return _replace(terms, term, outer, value % (size * outer.right) * factor)
    return None


def _replace(terms: Terms, first: Index, second: Index, value: Index) -> Index:
    rest = {term: factor for term, factor in terms.items() if term not in (first, second)}
    return make_sum(rest, 0) + value
