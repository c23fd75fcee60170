"""Rewrite rules as values: an equation in text, and for which numbers it holds.

    Rule("mul(x, 1) = x", "number")

The left side is an instruction (by its mnemonic) whose arguments are variables, numbers, or
further instructions; the right side is built from the same. A rule for scalars holds for tiles too:
a number then matches a tile `full` of it. `holds_for` says for which dtypes: "integer", "float",
"number" (both), "bool", "any". Every rule of `RULES` is tested against the meaning of its sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tilewright.ir.instruction import REGISTRY, Instruction
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.shape import Full
from tilewright.ir.kernel import Builder
from tilewright.ir.types import DType
from tilewright.ir.values import TileType, Value, element_type, shape_of


@dataclass(frozen=True)
class Term:
    """A pattern: `head` is a mnemonic (with arguments), a variable's name, or a number's text."""

    head: str
    arguments: tuple[Term, ...] = ()

    @property
    def is_number(self) -> bool:
        return self.head.lstrip("-").isdigit()


@dataclass(frozen=True)
class Rule:
    """`equation`, left to right, for operands of the dtypes that `holds_for` names."""

    equation: str
    holds_for: str

    @cached_property
    def sides(self) -> tuple[Term, Term]:
        left, right = self.equation.split("=")
        return parse_term(left), parse_term(right)

    def allows(self, dtype: DType) -> bool:
        match self.holds_for:
            case "integer":
                return dtype.is_integer
            case "float":
                return dtype.is_float
            case "number":
                return dtype.is_integer or dtype.is_float
            case "bool":
                return dtype.kind == "bool"
        return True


def parse_term(text: str) -> Term:
    """`add(x, mul(y, 0))` as a Term."""
    tokens = re.findall(r"-?\w+|[(),]", text)
    term, rest = _read(tokens)
    assert not rest, text
    return term


def _read(tokens: list[str]) -> tuple[Term, list[str]]:
    head, rest = tokens[0], tokens[1:]
    if not rest or rest[0] != "(":
        return Term(head), rest
    arguments = []
    while rest[0] != ")":
        argument, rest = _read(rest[1:])
        arguments.append(argument)
    return Term(head, tuple(arguments)), rest[1:]


RULES: tuple[Rule, ...] = (
    Rule("add(x, 0) = x", "integer"),
    Rule("add(0, x) = x", "integer"),
    Rule("sub(x, 0) = x", "number"),
    Rule("sub(x, x) = 0", "integer"),
    Rule("mul(x, 1) = x", "number"),
    Rule("mul(1, x) = x", "number"),
    Rule("mul(x, 0) = 0", "integer"),
    Rule("mul(0, x) = 0", "integer"),
    Rule("div(x, 1) = x", "float"),
    Rule("floordiv(x, 1) = x", "integer"),
    Rule("mod(x, 1) = 0", "integer"),
    Rule("min(x, x) = x", "number"),
    Rule("max(x, x) = x", "number"),
    Rule("neg(neg(x)) = x", "number"),
    Rule("not(not(x)) = x", "any"),
    Rule("and(x, x) = x", "any"),
    Rule("or(x, x) = x", "any"),
    Rule("select(c, x, x) = x", "any"),
    Rule("shl(x, 0) = x", "integer"),
    Rule("shr(x, 0) = x", "integer"),
)

Defined = Mapping[Value, Instruction]


def apply_rules(item: Instruction, defined: Defined, builder: Builder) -> Value | None:
    """What stands for the single result of `item` by the first rule that matches, or None."""
    if len(item.results) != 1 or not item.operand_values:
        return None
    result = item.results[0]
    for rule in _by_head(item.mnemonic):
        left, right = rule.sides
        bound: dict[str, Value] = {}
        if rule.allows(element_type(result)) and _match_item(left, item, defined, bound):
            return _build(right, bound, result, builder)
    return None


def _by_head(mnemonic: str) -> list[Rule]:
    return [rule for rule in RULES if rule.sides[0].head == mnemonic]


def _match_item(term: Term, item: Instruction, defined: Defined, bound: dict[str, Value]) -> bool:
    operands = item.operand_values
    return (
        item.mnemonic == term.head
        and len(operands) == len(term.arguments)
        and all(_match(t, v, defined, bound) for t, v in zip(term.arguments, operands, strict=True))
    )


def _match(term: Term, value: Value, defined: Defined, bound: dict[str, Value]) -> bool:
    if term.is_number:
        return find_constant(value, defined) == int(term.head)
    if term.arguments:
        item = defined.get(value)
        return item is not None and _match_item(term, item, defined, bound)
    return bound.setdefault(term.head, value) is value


def find_constant(value: Value, defined: Defined) -> int | float | bool | None:
    """The number that `value` (or every element of it) is known to be, else None."""
    item = defined.get(value)
    if isinstance(item, Full):
        item = defined.get(item.value)
    return item.value if isinstance(item, Const) else None


def _build(term: Term, bound: Mapping[str, Value], like: Value, builder: Builder) -> Value:
    if term.is_number:
        return build_constant(int(term.head), like, builder)
    if not term.arguments:
        return bound[term.head]
    cls, op = REGISTRY[term.head]
    names = [spec.name for spec in cls.specs if spec.kind == "operand"]
    fields: dict[str, Any] = {} if op is None else {"op": op}
    for name, argument in zip(names, term.arguments, strict=True):
        fields[name] = _build(argument, bound, like, builder)
    return builder.value(cls(**fields))


def build_constant(number: int | float | bool, like: Value, builder: Builder) -> Value:
    """`number` as a value of the type of `like`: a scalar, or a tile full of it."""
    dtype = element_type(like)
    scalar = builder.value(Const(value=float(number) if dtype.is_float else number, dtype=dtype))
    if isinstance(like.type, TileType):
        return builder.value(Full(value=scalar, shape=shape_of(like)))
    return scalar
