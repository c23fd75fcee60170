"""Expressions: a syntax node becomes a static or an SSA value."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from tilewright.frontend.arithmetic import binary, compare, join, static_truth, truth, unary
from tilewright.frontend.calls import call
from tilewright.frontend.context import Context
from tilewright.frontend.handlers import value_attribute
from tilewright.frontend.indexing import subscript
from tilewright.frontend.operands import is_scalar, is_tile, unify
from tilewright.frontend.outside import find_outside, static_attribute, unknown
from tilewright.frontend.sequences import bind_target, iterate
from tilewright.frontend.values import (
    Binding,
    Extents,
    Method,
    Missing,
    Record,
    describe,
    is_number,
    is_static,
)
from tilewright.ir.diagnostics import LanguageError, TypeMismatch
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.control import If
from tilewright.ir.instructions.elementwise import Select
from tilewright.ir.kernel import Builder
from tilewright.ir.values import Value

REFUSED: dict[type[ast.AST], tuple[str, str | None]] = {
    ast.JoinedStr: ("f-strings", 'write tw.print("text {}", value)'),
    ast.Lambda: ("lambda", "write a function decorated with @tw.inline"),
    ast.NamedExpr: ("assignment inside an expression (:=)", "assign on a line of its own"),
    ast.Dict: ("dictionaries", "use a tuple, or a dataclass as argument"),
    ast.Set: ("sets", "use a tuple"),
    ast.DictComp: ("dictionaries", "use a tuple, or a dataclass as argument"),
    ast.SetComp: ("sets", "use a tuple"),
    ast.Await: ("await", None),
    ast.Yield: ("yield", None),
    ast.YieldFrom: ("yield", None),
}


def evaluate(c: Context, node: ast.expr) -> Any:
    """What `node` stands for; errors point at it."""
    with c.at(node):
        return _evaluate(c, node)


def _evaluate(c: Context, node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return _constant(value)
        case ast.Name(id=name):
            return look_up(c, name)
        case ast.Attribute(value=owner, attr=name):
            return attribute(c, evaluate(c, owner), name)
        case ast.Subscript(value=owner, slice=index):
            return subscript(c, evaluate(c, owner), evaluate(c, index))
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(*(None if n is None else evaluate(c, n) for n in (lower, upper, step)))
        case ast.BinOp(left=left, op=op, right=right):
            return binary(c, type(op), evaluate(c, left), evaluate(c, right))
        case ast.UnaryOp(op=op, operand=operand):
            return unary(c, type(op), evaluate(c, operand))
        case ast.BoolOp(op=op, values=values):
            return _bool(c, isinstance(op, ast.And), values)
        case ast.Compare():
            return _compare(c, node)
        case ast.Call():
            return _call(c, node)
        case ast.IfExp():
            return _choose(c, node)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_items(c, items))
        case (
            ast.ListComp(elt=item, generators=parts) | ast.GeneratorExp(elt=item, generators=parts)
        ):
            return _comprehend(c, item, parts)
    what, hint = REFUSED.get(type(node), (type(node).__name__, None))
    raise LanguageError(f"{what}: not in the language of kernels", hint)


def _constant(value: Any) -> Any:
    if isinstance(value, (bytes, complex)):
        raise LanguageError(f"{value!r} is no number of the language")
    return value


def look_up(c: Context, name: str) -> Any:
    """What `name` stands for here."""
    match c.frame.names.get(name):
        case Binding(held=held):
            return held
        case Missing(error=error):
            raise error()
    source = c.frame.source
    if name in source.liveness.local:
        raise unknown(f"{name} is read before it is assigned", name, c.frame.names)
    return find_outside(source, name)


def attribute(c: Context, held: Any, name: str) -> Any:
    """`held.name`."""
    match held:
        case Value():
            return value_attribute(c, held, name)
        case Record(fields=fields):
            if name not in fields:
                raise unknown(f"{held.name} has no field {name}", name, fields)
            return fields[name]
        case Extents() | Method() | tuple() | None:
            raise LanguageError(f"{describe(held)} has no {name}")
    return static_attribute(held, name)


def _items(c: Context, nodes: list[ast.expr]) -> Iterator[Any]:
    for node in nodes:
        if isinstance(node, ast.Starred):
            yield from iterate(c, evaluate(c, node.value))
        else:
            yield evaluate(c, node)


def _bool(c: Context, conjunction: bool, nodes: list[ast.expr]) -> Any:
    """`and`, `or`: left to right; a static that decides ends it, dynamic ones are all evaluated."""
    found: list[Any] = []
    for node in nodes:
        held = evaluate(c, node)
        found.append(held)
        if is_static(held) and static_truth(held) != conjunction and all(map(is_static, found)):
            return held
    return join(c, conjunction, found)


def _compare(c: Context, node: ast.Compare) -> Any:
    left = evaluate(c, node.left)
    found = []
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = evaluate(c, right_node)
        found.append(compare(c, type(op), left, right))
        left = right
    if len(found) == 1:
        return found[0]
    if any(is_tile(f) for f in found):
        raise LanguageError("a chain of comparisons of tiles", "write (a < b) & (b < c)")
    return join(c, True, found)


def _choose(c: Context, node: ast.IfExp) -> Any:
    condition = evaluate(c, node.test)
    if is_static(condition) or isinstance(condition, Extents):
        return evaluate(c, node.body if static_truth(condition) else node.orelse)
    holds = truth(condition)
    with c.into(Builder()) as first:
        yes = evaluate(c, node.body)
    with c.into(Builder()) as second:
        no = evaluate(c, node.orelse)
    scalars = all(is_number(h) or is_scalar(h) for h in (yes, no))
    if scalars and not any(_acts(i) for i in (*first.instructions, *second.instructions)):
        for placed in (*first.instructions, *second.instructions):
            c.builder.append(placed)
        x, y = unify(c, yes, no)
        return c.emit(Select(condition=holds, yes=x, no=y))
    if not all(isinstance(h, Value) or is_number(h) for h in (yes, no)):
        raise TypeMismatch(
            f"a choice at run time between {describe(yes)} and {describe(no)}",
            "both sides are tiles or scalars of one type",
        )
    return _choose_values(c, holds, (first, yes), (second, no))


def _choose_values(
    c: Context, holds: Value, first: tuple[Builder, Any], second: tuple[Builder, Any]
) -> Value:
    yes, no = first[1], second[1]
    if isinstance(yes, Value) and isinstance(no, Value) and yes.type != no.type:
        raise TypeMismatch(
            f"the two sides of a choice differ: {describe(yes)} and {describe(no)}",
            "make them one type, e.g. with .cast or tw.full",
        )
    if is_number(yes) or is_number(no):
        raise TypeMismatch(
            f"the two sides of a choice differ: {describe(yes)} and {describe(no)}",
            "make a tile of the number with tw.full",
        )
    bodies = []
    for builder, held in (first, second):
        with c.into(builder):
            bodies.append(c.close(builder, (held,)))
    return c.emit(If(condition=holds, yes=bodies[0], no=bodies[1]))


def _acts(item: Instruction) -> bool:
    """Whether an instruction does more than compute and read."""
    return bool(item.nested) or any(e.action != "read" for e in item.effects())


def _comprehend(c: Context, item: ast.expr, parts: list[ast.comprehension]) -> tuple[Any, ...]:
    """A comprehension over statics: a tuple."""
    outer = c.frame.names
    c.frame.names = dict(outer)
    try:
        return tuple(_comprehension_items(c, item, parts))
    finally:
        c.frame.names = outer


def _comprehension_items(
    c: Context, item: ast.expr, parts: list[ast.comprehension]
) -> Iterator[Any]:
    if not parts:
        yield evaluate(c, item)
        return
    first, *rest = parts
    for held in iterate(c, evaluate(c, first.iter)):
        bind_target(c, first.target, held)
        conditions = [evaluate(c, test) for test in first.ifs]
        if not all(map(is_static, conditions)):
            raise LanguageError("a condition at run time in a comprehension", "use tw.where")
        if all(conditions):
            yield from _comprehension_items(c, item, rest)


def _call(c: Context, node: ast.Call) -> Any:
    callee = evaluate(c, node.func)
    args = tuple(_items(c, node.args))
    kwargs: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise LanguageError("** in a call", "name each argument")
        kwargs[keyword.arg] = evaluate(c, keyword.value)
    return call(c, callee, args, kwargs)


def evaluate_condition(c: Context, node: ast.expr) -> bool | Value:
    """A condition: True or False where it is static, else a bool scalar."""
    held = evaluate(c, node)
    if is_static(held) or isinstance(held, Extents):
        return static_truth(held)
    with c.at(node):
        return truth(held)
