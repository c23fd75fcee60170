"""Index expressions as sympy expressions: for tests of the rules, and for proofs that need more
than they have.

Importing this module loads sympy, so nothing on the compile path does.
"""

from __future__ import annotations

from typing import Any, assert_never, cast

import sympy

from tilewright.ir.index.nodes import (
    Constant,
    FloorDiv,
    Index,
    IsNonNegative,
    IsZero,
    Max,
    Min,
    Mod,
    Product,
    Sum,
    Variable,
)
from tilewright.ir.index.walk import AnyNode


def to_sympy(value: Index) -> Any:
    """The same expression over integer symbols of the variables' names."""
    match cast(AnyNode, value):
        case Constant(value=number):
            return sympy.Integer(number)
        case Variable(name=name):
            return sympy.Symbol(name, integer=True)
        case Sum(terms=terms, constant=constant):
            return sympy.Add(*(factor * to_sympy(term) for term, factor in terms), constant)
        case Product(factors=factors):
            return sympy.Mul(*map(to_sympy, factors))
        case FloorDiv(left=left, right=right):
            return sympy.floor(to_sympy(left) / to_sympy(right))
        case Mod(left=left, right=right):
            return sympy.Mod(to_sympy(left), to_sympy(right))
        case Min(values=values):
            return sympy.Min(*map(to_sympy, values))
        case Max(values=values):
            return sympy.Max(*map(to_sympy, values))
        case IsNonNegative(value=inner):
            return sympy.Piecewise((1, to_sympy(inner) >= 0), (0, True))
        case IsZero(value=inner):
            return sympy.Piecewise((1, sympy.Eq(to_sympy(inner), 0)), (0, True))
        case other:
            assert_never(other)
