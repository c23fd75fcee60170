"""Static sequences: taking one apart into items, and names out of one."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from tilewright.frontend.context import Context
from tilewright.frontend.operands import is_scalar
from tilewright.frontend.values import Binding, Extents, describe, is_number
from tilewright.ir.diagnostics import LanguageError, TypeMismatch
from tilewright.ir.values import Value


def iterate(c: Context, held: Any) -> tuple[Any, ...]:
    """The items of a static sequence, or of a tensor's shape."""
    if isinstance(held, Extents):
        return tuple(c.extent(held.tensor, axis) for axis in range(held.rank))
    if isinstance(held, (tuple, str, range, list, enumerate, zip, reversed)):
        return tuple(held)
    hint = "use tw.range for a loop of the kernel" if is_number(held) or is_scalar(held) else None
    raise TypeMismatch(f"{describe(held)} is no sequence that is known while compiling", hint)


def bind_target(c: Context, target: ast.expr, held: Any) -> None:
    """Bind the names of `target` to `held`; tuples come apart."""
    match target:
        case ast.Name(id=name):
            c.frame.names[name] = Binding(held, c.frame.source.locate(target))
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            if isinstance(held, Value):
                raise TypeMismatch(
                    f"{describe(held)} does not come apart into {len(targets)} names"
                )
            items = _gather_rest(targets, iterate(c, held))
            if len(items) != len(targets):
                raise TypeMismatch(f"{len(items)} values for {len(targets)} names")
            for inner, item in zip(targets, items, strict=True):
                bind_target(c, inner, item)
        case ast.Starred(value=inner):
            bind_target(c, inner, held)
        case _:
            raise LanguageError("this cannot be assigned here", "assign to a name")


def _gather_rest(targets: Sequence[ast.expr], items: tuple[Any, ...]) -> tuple[Any, ...]:
    """`items`, those of a starred target as one tuple."""
    at = next((i for i, t in enumerate(targets) if isinstance(t, ast.Starred)), None)
    extra = len(items) - len(targets)
    if at is None or extra < -1:
        return items
    return (*items[:at], items[at : at + extra + 1], *items[at + extra + 1 :])
