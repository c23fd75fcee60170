"""`with tw.role(...)`: blocks that follow each other become one `roles` instruction.

Inside a role, tiles and tokens from outside are not visible (they live in the registers of other
warps), and what a role assigns is not visible after it: roles meet in shared buffers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial

from tilewright.frontend.context import Context
from tilewright.frontend.expressions import evaluate
from tilewright.frontend.liveness import assigned
from tilewright.frontend.values import Binding, Flow, Missing, Names, RoleHead, leaves
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instruction import Body
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.kernel import Builder
from tilewright.ir.values import PendingType, TileType, TokenType, Value

Execute = Callable[[Context, list[ast.stmt]], Flow]


def run_roles(c: Context, group: list[ast.With], execute: Execute) -> None:
    """Capture consecutive `with` blocks as parallel roles."""
    heads = [_head(c, node) for node in group]
    names = [head.name for head in heads]
    if len(set(names)) != len(names):
        raise LanguageError(f"two roles of one name: {', '.join(names)}", "name each role once")
    before, loop = c.frame.names, c.frame.loop
    members = []
    for node, head in zip(group, heads, strict=True):
        c.frame.names = {name: _seen(name, found, head.name) for name, found in before.items()}
        c.frame.loop, c.frame.tail = None, False
        with c.at(node):
            members.append(_body(c, node, execute))
    c.frame.names, c.frame.loop = before, loop
    _forget(before, group)
    warps, registers = tuple(h.warps for h in heads), tuple(h.registers for h in heads)
    made = Roles(names=tuple(names), warps=warps, registers=registers, members=tuple(members))
    c.emit_all(made)


def _head(c: Context, node: ast.With) -> RoleHead:
    with c.at(node):
        item = node.items[0]
        held = evaluate(c, item.context_expr) if len(node.items) == 1 else None
        if not isinstance(held, RoleHead) or item.optional_vars is not None:
            raise LanguageError(
                "with: only `with tw.role(...):` is in the language of kernels",
                'write with tw.role("load", warps=4):',
            ).at(c.place)
        return held


def _body(c: Context, node: ast.With, execute: Execute) -> Body:
    with c.into(Builder()) as builder:
        execute(c, node.body)
        return c.close(builder)


def _seen(name: str, found: Binding | Missing, role: str) -> Binding | Missing:
    """What a role sees of an outer name."""
    if isinstance(found, Missing):
        return found
    hidden = (TileType, TokenType, PendingType)
    if any(isinstance(v, Value) and isinstance(v.type, hidden) for v in leaves(found.held)):
        return Missing(partial(_crossing, name, role))
    return found


def _crossing(name: str, role: str) -> LanguageError:
    return LanguageError(
        f"{name} is a tile of other warps: role {role} cannot see it",
        "pass it through a shared buffer: buffer.store(x) outside, buffer.load() inside",
    )


def _forget(names: Names, group: list[ast.With]) -> None:
    for name in frozenset().union(*(assigned(node.body) for node in group)):
        names[name] = Missing(partial(_only_role, name))


def _only_role(name: str) -> LanguageError:
    return LanguageError(
        f"{name} is assigned inside a role and not visible after it",
        "pass it through a shared buffer",
    )
