"""Assignment: to names, tuples of names, elements of tensors and parts of buffers.

An SSA value takes the name that the user first gave it, so printed IR and generated code read as
the source does.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Sequence
from typing import Any

from tilewright.frontend.arithmetic import binary
from tilewright.frontend.context import Context
from tilewright.frontend.expressions import evaluate, look_up
from tilewright.frontend.indexing import assign_item, subscript
from tilewright.frontend.sequences import bind_target
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.values import Value


def assign(c: Context, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
    """Run `targets = value`, `target: type = value` or `target op= value`."""
    if isinstance(node, ast.AugAssign):
        _augment(c, node)
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if node.value is None:
        raise LanguageError("a declaration without a value", "assign a value")
    held = _evaluate_for(c, targets, node.value)
    for target in targets:
        _bind(c, target, held)


def _evaluate_for(c: Context, targets: Sequence[ast.expr], value: ast.expr) -> Any:
    """What `value` is, named as its one target, or as the parts of one: `x, y = 1, 2`."""
    match targets, value:
        case [ast.Tuple(elts=parts)], ast.Tuple(elts=values) if len(parts) == len(values):
            if not any(isinstance(part, ast.Starred) for part in (*parts, *values)):
                pairs = zip(parts, values, strict=True)
                return tuple(_evaluate_for(c, [part], value) for part, value in pairs)
    c.targets = _names(targets[0])
    before = len(c.builder.instructions)
    held = evaluate(c, value)
    if len(targets) == 1 and isinstance(targets[0], ast.Name):
        return _named(c, held, targets[0].id, before)
    return held


def _names(target: ast.expr) -> tuple[str, ...]:
    if isinstance(target, ast.Name):
        return (target.id,)
    items = target.elts if isinstance(target, (ast.Tuple, ast.List)) else []
    return tuple(item.id if isinstance(item, ast.Name) else "" for item in items)


def _named(c: Context, held: Any, name: str, before: int) -> Any:
    """`held` under the user's name, if the statement just made it: then nothing uses it yet."""
    made = c.builder.instructions
    if not isinstance(held, Value) or len(made) <= before or held not in made[-1].results:
        return held
    if len(made[-1].results) != 1:
        return held
    renamed = Value(held.type, name)
    made[-1] = dataclasses.replace(made[-1], results=(renamed,))
    return renamed


def _bind(c: Context, target: ast.expr, held: Any) -> None:
    match target:
        case ast.Subscript(value=owner, slice=index):
            assign_item(c, evaluate(c, owner), evaluate(c, index), held)
        case ast.Attribute():
            raise LanguageError("an attribute cannot be assigned", "values are immutable")
        case _ if len(_names(target)) == 1 and isinstance(target, ast.Tuple) and held in _grid(c):
            bind_target(c, target.elts[0], held)
        case _:
            with c.at(target):
                bind_target(c, target, held)


def _grid(c: Context) -> tuple[Value, ...]:
    """The index of a one-dimensional grid, which may also be unpacked: `i, = tw.grid(n)`."""
    return c.grid.indices if c.grid is not None and len(c.grid.indices) == 1 else ()


def _augment(c: Context, node: ast.AugAssign) -> None:
    match node.target:
        case ast.Name(id=name):
            before = len(c.builder.instructions)
            with c.at(node.target):
                left = look_up(c, name)
            held = binary(c, type(node.op), left, evaluate(c, node.value))
            _bind(c, node.target, _named(c, held, name, before))
        case ast.Subscript(value=owner, slice=index):
            place, at = evaluate(c, owner), evaluate(c, index)
            held = binary(c, type(node.op), subscript(c, place, at), evaluate(c, node.value))
            assign_item(c, place, at, held)
        case _:
            raise LanguageError("an attribute cannot be assigned", "values are immutable")
