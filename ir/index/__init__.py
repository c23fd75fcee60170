"""Index expressions: interned integer arithmetic that simplifies itself and proves what it can.

>>> i, j = variable("i", 0, 7), variable("j", 0, 15)
>>> flat = 16 * i + j
>>> flat // 16, flat % 16, flat // 32, 16 * (flat // 16) + flat % 16 is flat
(i, j, i // 2, True)
>>> interval(flat), divisor(32 * i + 8), prove_less(flat, 128)
((0, 127), 8, True)
"""

from tilewright.ir.index.choices import at_least, equal, logical_not, maximum, minimum, not_equal
from tilewright.ir.index.division import floor_divide, modulo
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
    Product,
    Sum,
    Variable,
    as_index,
    variable,
)
from tilewright.ir.index.proofs import (
    divisor,
    interval,
    prove,
    prove_divisible,
    prove_equal,
    prove_less,
    prove_nonnegative,
)
from tilewright.ir.index.sums import add, multiply, subtract
from tilewright.ir.index.walk import AnyNode, evaluate, operands, substitute, variables

__all__ = [
    "AnyNode",
    "Constant",
    "FloorDiv",
    "Index",
    "IndexLike",
    "Interval",
    "IsNonNegative",
    "IsZero",
    "Max",
    "Min",
    "Mod",
    "Product",
    "Sum",
    "Variable",
    "add",
    "as_index",
    "at_least",
    "divisor",
    "equal",
    "evaluate",
    "floor_divide",
    "interval",
    "logical_not",
    "maximum",
    "minimum",
    "modulo",
    "multiply",
    "not_equal",
    "operands",
    "prove",
    "prove_divisible",
    "prove_equal",
    "prove_less",
    "prove_nonnegative",
    "substitute",
    "subtract",
    "variable",
    "variables",
]
