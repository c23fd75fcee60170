"""The nodes of index expressions: immutable, interned, each carrying what is proved about it.

Equal expressions are one object, so equality is identity (`a is b`; whether two expressions have
equal *values* is asked by `equal(a, b)`). Every node knows an interval, a divisor (0 for the number
zero, which everything divides) and a key that orders the terms of a sum the same way in every
process. `//` and `%` round down, as in Python; dividing by zero has no value. The rules that build
simplified nodes live in files by topic and define the operators through `define`; `intern` makes a
node as it stands and belongs to those rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import reduce
from typing import TypeVar

from tilewright.ir.index.intervals import (
    Bound,
    Interval,
    add_intervals,
    divide_intervals,
    modulo_intervals,
    multiply_intervals,
    scale_interval,
)

Facts = tuple[Bound, Bound, int, str]
Binary = Callable[["Index", "Index"], "Index"]

_OPERATORS: dict[str, Binary] = {}
_NODES: dict[tuple[object, ...], Index] = {}


def define(name: str) -> Callable[[Binary], Binary]:
    """Make a function of two expressions the meaning of an operator of `Index`."""

    def register(function: Binary) -> Binary:
        _OPERATORS[name] = function
        return function

    return register


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Index:
    """An integer expression; `low` and `high` are inclusive, None where unbounded."""

    low: Bound
    high: Bound
    divisor: int
    key: str

    def __add__(self, other: IndexLike) -> Index:
        return _OPERATORS["add"](self, as_index(other))

    def __radd__(self, other: int) -> Index:
        return _OPERATORS["add"](as_index(other), self)

    def __sub__(self, other: IndexLike) -> Index:
        return _OPERATORS["subtract"](self, as_index(other))

    def __rsub__(self, other: int) -> Index:
        return _OPERATORS["subtract"](as_index(other), self)

    def __mul__(self, other: IndexLike) -> Index:
        return _OPERATORS["multiply"](self, as_index(other))

    def __rmul__(self, other: int) -> Index:
        return _OPERATORS["multiply"](as_index(other), self)

    def __neg__(self) -> Index:
        return _OPERATORS["multiply"](self, as_index(-1))

    def __floordiv__(self, other: IndexLike) -> Index:
        return _OPERATORS["floor_divide"](self, as_index(other))

    def __rfloordiv__(self, other: int) -> Index:
        return _OPERATORS["floor_divide"](as_index(other), self)

    def __mod__(self, other: IndexLike) -> Index:
        return _OPERATORS["modulo"](self, as_index(other))

    def __rmod__(self, other: int) -> Index:
        return _OPERATORS["modulo"](as_index(other), self)

    def __ge__(self, other: IndexLike) -> Index:
        return _OPERATORS["at_least"](self, as_index(other))

    def __le__(self, other: IndexLike) -> Index:
        return _OPERATORS["at_least"](as_index(other), self)

    def __gt__(self, other: IndexLike) -> Index:
        return _OPERATORS["at_least"](self, as_index(other) + 1)

    def __lt__(self, other: IndexLike) -> Index:
        return _OPERATORS["at_least"](as_index(other), self + 1)

    def __bool__(self) -> bool:
        if self.low is not None and self.low == self.high:
            return self.low != 0
        if (self.low is not None and self.low > 0) or (self.high is not None and self.high < 0):
            return True
        raise TypeError(f"whether {self} is true is not known at compile time")

    def __repr__(self) -> str:
        return self.key

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        own = [field.name for field in fields(self)][len(fields(Index)) :]
        return intern, (type(self), *(getattr(self, name) for name in own))


IndexLike = Index | int
Node = TypeVar("Node", bound=Index)


def intern(kind: type[Node], *arguments: object) -> Node:
    """The one node of this kind with these arguments, exactly as they are."""
    identity = (kind, *arguments)
    node = _NODES.get(identity)
    if node is None:
        facts = kind.find_facts(*arguments)  # type: ignore[attr-defined]
        node = _NODES.setdefault(identity, kind(*facts, *arguments))
    return node  # type: ignore[return-value]


def as_index(value: IndexLike) -> Index:
    """The expression of a Python integer, or the expression itself."""
    return value if isinstance(value, Index) else intern(Constant, int(value))


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Constant(Index):
    """A number."""

    value: int

    @staticmethod
    def find_facts(value: int) -> Facts:
        """Exact."""
        return value, value, abs(value), str(value)


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Variable(Index):
    """A named integer in [at_least, at_most] that is a multiple of `multiple_of`."""

    name: str
    at_least: Bound
    at_most: Bound
    multiple_of: int

    @staticmethod
    def find_facts(name: str, low: Bound, high: Bound, divisor: int) -> Facts:
        """As declared; the bounds move inwards to multiples of the divisor."""
        low = None if low is None else -(-low // divisor) * divisor
        high = None if high is None else high // divisor * divisor
        return low, high, divisor, name


def variable(name: str, low: Bound = None, high: Bound = None, divisor: int = 1) -> Variable:
    """A named integer with its facts; variables with equal names and facts are one."""
    if divisor < 1:
        raise ValueError(f"a divisor is at least 1, not {divisor}")
    return intern(Variable, name, low, high, divisor)


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Sum(Index):
    """Σ coefficient · term + constant: terms distinct, sorted by key, neither sums nor numbers."""

    terms: tuple[tuple[Index, int], ...]
    constant: int

    @staticmethod
    def find_facts(terms: tuple[tuple[Index, int], ...], constant: int) -> Facts:
        """Terms count as independent of each other."""
        interval: Interval = (constant, constant)
        divisor, text = abs(constant), []
        for term, factor in terms:
            interval = add_intervals(interval, scale_interval((term.low, term.high), factor))
            divisor = math.gcd(divisor, factor * term.divisor)
            sign = "+ " if factor > 0 else "- "
            scale = "" if -1 <= factor <= 1 else f"{abs(factor)}*"
            text.append(sign + scale + _wrap(term))
        if constant:
            text.append(f"{'-' if constant < 0 else '+'} {abs(constant)}")
        key = " ".join(text)
        return *interval, divisor, key[2:] if key[0] == "+" else f"-{key[2:]}"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Product(Index):
    """A product of two or more factors, sorted by key, neither sums nor numbers nor products."""

    factors: tuple[Index, ...]

    @staticmethod
    def find_facts(factors: tuple[Index, ...]) -> Facts:
        """Factors count as independent of each other."""
        interval = reduce(multiply_intervals, ((f.low, f.high) for f in factors))
        divisor = math.prod(factor.divisor for factor in factors)
        return *interval, divisor, "*".join(map(_wrap, factors))


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class FloorDiv(Index):
    """left // right."""

    left: Index
    right: Index

    @staticmethod
    def find_facts(left: Index, right: Index) -> Facts:
        """Exact quotients keep the rest of the divisor."""
        low, high = divide_intervals((left.low, left.high), (right.low, right.high))
        divisor = 1
        if isinstance(right, Constant) and left.divisor % right.value == 0:
            divisor = left.divisor // abs(right.value)
        return low, high, divisor, f"{_wrap(left)} // {_wrap(right)}"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Mod(Index):
    """left % right."""

    left: Index
    right: Index

    @staticmethod
    def find_facts(left: Index, right: Index) -> Facts:
        """What divides both sides divides the remainder."""
        low, high = modulo_intervals((left.low, left.high), (right.low, right.high))
        divisor = math.gcd(left.divisor, right.divisor)
        return low, high, divisor, f"{_wrap(left)} % {_wrap(right)}"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Min(Index):
    """The smallest of two or more values, sorted by key."""

    values: tuple[Index, ...]

    @staticmethod
    def find_facts(values: tuple[Index, ...]) -> Facts:
        """At most any of them, at least the lowest of them."""
        highs = [value.high for value in values if value.high is not None]
        lows = [value.low for value in values if value.low is not None]
        low = min(lows) if len(lows) == len(values) else None
        divisor = math.gcd(*(value.divisor for value in values))
        return low, min(highs, default=None), divisor, f"min({', '.join(map(str, values))})"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Max(Index):
    """The largest of two or more values, sorted by key."""

    values: tuple[Index, ...]

    @staticmethod
    def find_facts(values: tuple[Index, ...]) -> Facts:
        """At least any of them, at most the highest of them."""
        highs = [value.high for value in values if value.high is not None]
        lows = [value.low for value in values if value.low is not None]
        high = max(highs) if len(highs) == len(values) else None
        divisor = math.gcd(*(value.divisor for value in values))
        return max(lows, default=None), high, divisor, f"max({', '.join(map(str, values))})"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class IsNonNegative(Index):
    """1 where value ≥ 0, else 0."""

    value: Index

    @staticmethod
    def find_facts(value: Index) -> Facts:
        """A truth value."""
        return 0, 1, 1, f"{_compared(value)} >= 0"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class IsZero(Index):
    """1 where value = 0, else 0."""

    value: Index

    @staticmethod
    def find_facts(value: Index) -> Facts:
        """A truth value."""
        return 0, 1, 1, f"{_compared(value)} == 0"


def _compared(value: Index) -> str:
    """The text of one side of a comparison: comparisons chain in Python, so they are wrapped."""
    return f"({value.key})" if isinstance(value, (IsNonNegative, IsZero)) else value.key


def _wrap(value: Index) -> str:
    """The text of an operand, in parentheses where an operator could bind it otherwise."""
    simple = type(value) in _SIMPLE or (type(value) is Constant and value.value >= 0)
    return value.key if simple else f"({value.key})"


_SIMPLE = frozenset({Variable, Min, Max})
