"""One operation on held values as C++ text: the same for scalars and for elements of tiles."""

from __future__ import annotations

from collections.abc import Callable

from tilewright.codegen.cpu.dtypes import Tables, is_floating
from tilewright.codegen.cpu.emitter import Emitter, expression
from tilewright.codegen.cpu.nest import Nest, Term
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare, Fma, Select, Unary
from tilewright.ir.types import DType
from tilewright.ir.values import element_type

_PLAIN = {"neg": "negate", "abs": "absolute", "not": "invert"}
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^"}
_CALLS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "div": "div",
    "floordiv": "floordiv",
    "mod": "modulo",
    "min": "least",
    "max": "most",
    "pow": "power",
    "shl": "shift_left",
    "shr": "shift_right",
}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_EXACT = ("neg", "abs", "min", "max", "and", "or", "xor", "shr", "floor", "ceil", "round")
"""Operations whose results need no rounding where their operands are of a narrow float type."""


def compute(emitter: Emitter, item: Instruction, operands: list[str]) -> str:
    """The held result of an elementwise instruction on held operands."""
    return _RULES[type(item)](emitter, item, operands)


def _unary(emitter: Emitter, item: Unary, operands: list[str]) -> str:
    dtype = element_type(item.operand)
    if item.op in _PLAIN:
        found = f"tw::{_PLAIN[item.op]}({operands[0]})"
    else:
        emitter.headers.add("functions.h")
        found = f"tw::{item.op}_of({operands[0]})"
    return _brought_back(emitter.tables, dtype, item.op, found)


def _binary(emitter: Emitter, item: Binary, operands: list[str]) -> str:
    dtype, (left, right) = element_type(item.left), operands
    if item.op in ("and", "or", "xor") or (is_floating(dtype) and item.op in _INFIX):
        found = f"({left} {_INFIX[item.op]} {right})"
    else:
        found = f"tw::{_CALLS[item.op]}({left}, {right})"
    return _brought_back(emitter.tables, dtype, item.op, found)


def _brought_back(tables: Tables, dtype: DType, op: str, text: str) -> str:
    if op in _EXACT and is_floating(dtype) and dtype.bits > 8:
        return text
    return tables.round_held(dtype, text)


def _compare(emitter: Emitter, item: Compare, operands: list[str]) -> str:
    return f"({operands[0]} {_COMPARE[item.op]} {operands[1]})"


def _fma(emitter: Emitter, item: Fma, operands: list[str]) -> str:
    dtype = element_type(item.x)
    if dtype.is_float and dtype.name not in ("f32", "f64"):
        x, y, z = (f"(double){o}" for o in operands)
        exact = f"tw::fused({x}, {y}, {z})"
        narrow = exact if dtype.bits <= 8 else f"tw::round_odd({exact})"
        return emitter.tables.round_held(dtype, narrow)
    return emitter.tables.round_held(dtype, f"tw::fused({', '.join(operands)})")


def _select(emitter: Emitter, item: Select, operands: list[str]) -> str:
    return f"({operands[0]} ? {operands[1]} : {operands[2]})"


def _cast(emitter: Emitter, item: Cast, operands: list[str]) -> str:
    return emitter.tables.cast(item.dtype, element_type(item.operand), operands[0])


_RULES: dict[type[Instruction], Callable[[Emitter, Instruction, list[str]], str]] = {
    Unary: _unary,  # type: ignore[dict-item]
    Binary: _binary,  # type: ignore[dict-item]
    Compare: _compare,  # type: ignore[dict-item]
    Fma: _fma,  # type: ignore[dict-item]
    Select: _select,  # type: ignore[dict-item]
    Cast: _cast,  # type: ignore[dict-item]
}
ELEMENTWISE = tuple(_RULES)


@expression(*ELEMENTWISE)
def element_of_elementwise(nest: Nest, item: Instruction, index: tuple[Term, ...]) -> Term:
    """The operation on the operands' elements at the same index, in a temporary."""
    from_operands = [nest.value(value, index) for value in item.operand_values]
    depth = max(term.depth for term in from_operands)
    text = compute(nest.emitter, item, [term.text for term in from_operands])
    (result,) = item.results
    return nest.define(nest.emitter.held(result), text, depth, result.name or "v")
