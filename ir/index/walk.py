"""Walks over index expressions: their variables, substitution and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from typing import assert_never, cast

from tilewright.ir.index.choices import equal, maximum, minimum
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
    Product,
    Sum,
    Variable,
    as_index,
)
from tilewright.ir.index.sums import add_all

AnyNode = Constant | Variable | Sum | Product | FloorDiv | Mod | Min | Max | IsNonNegative | IsZero


def operands(value: Index) -> tuple[Index, ...]:
    """The expressions that a node is made of, in order."""
    match cast(AnyNode, value):
        case Constant() | Variable():
            return ()
        case Sum(terms=terms):
            return tuple(term for term, _ in terms)
        case Product(factors=parts) | Min(values=parts) | Max(values=parts):
            return parts
        case FloorDiv(left=left, right=right) | Mod(left=left, right=right):
            return left, right
        case IsNonNegative(value=inner) | IsZero(value=inner):
            return (inner,)
        case other:
            assert_never(other)


@cache
def variables(value: Index) -> frozenset[Variable]:
    """All variables of an expression."""
    if isinstance(value, Variable):
        return frozenset((value,))
    return frozenset().union(*map(variables, operands(value)))


def substitute(value: Index, replacements: Mapping[Index, IndexLike]) -> Index:
    """The expression with nodes (usually variables) replaced, simplified again."""
    done = {node: as_index(new) for node, new in replacements.items()}

    def visit(node: Index) -> Index:
        if node not in done:
            done[node] = _rebuild(node, visit)
        return done[node]

    return visit(value)


def _rebuild(node: Index, visit: Callable[[Index], Index]) -> Index:
    match cast(AnyNode, node):
        case Constant() | Variable():
            return node
        case Sum(terms=terms, constant=constant):
            return add_all(visit(term) * factor for term, factor in terms) + constant
        case Product(factors=factors):
            return prod((visit(factor) for factor in factors), start=as_index(1))
        case FloorDiv(left=left, right=right):
            return visit(left) // visit(right)
        case Mod(left=left, right=right):
            return visit(left) % visit(right)
        case Min(values=values):
            return minimum(*map(visit, values))
        case Max(values=values):
            return maximum(*map(visit, values))
        case IsNonNegative(value=value):
            return visit(value) >= 0
        case IsZero(value=value):
            return equal(visit(value), 0)
        case other:
            assert_never(other)


def evaluate(value: IndexLike, environment: Mapping[str, int]) -> int:
    """The number that an expression has for these values of its variables, by name."""
    done: dict[Index, int] = {}

    def visit(node: Index) -> int:
        if node not in done:
            done[node] = _compute(node, visit, environment)
        return done[node]

    return visit(as_index(value))


def _compute(node: Index, visit: Callable[[Index], int], environment: Mapping[str, int]) -> int:
    match cast(AnyNode, node):
        case Constant(value=number):
            return number
        case Variable(name=name):
            return environment[name]
        case Sum(terms=terms, constant=constant):
            return sum(visit(term) * factor for term, factor in terms) + constant
        case Product(factors=factors):
            return prod(map(visit, factors))
        case FloorDiv(left=left, right=right):
            return visit(left) // visit(right)
        case Mod(left=left, right=right):
            return visit(left) % visit(right)
        case Min(values=values):
            return min(map(visit, values))
        case Max(values=values):
            return max(map(visit, values))
        case IsNonNegative(value=inner):
            return int(visit(inner) >= 0)
        case IsZero(value=inner):
            return int(visit(inner) == 0)
        case other:
            assert_never(other)
