"""`if` decided at run time: both sides are captured, the names they assign become results.

    if n > 0:                       %y: f32 = if %holds {
        y = x * 2.0                   %y.1: f32 = mul %x, %two
    else:                 →           yield [%y.1]
        y = x                       } {
                                      yield [%x]
                                    }

A name that only one side assigns, or that gets two types, is `Missing` afterwards: reading it is
the error, at the place that reads it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tilewright.frontend.context import CarriedLoop, Context
from tilewright.frontend.loops import leave_loop
from tilewright.frontend.merging import CARRIED, Mismatch, become, meet, undecided
from tilewright.frontend.values import (
    Binding,
    Flow,
    Missing,
    Names,
    describe,
    fill,
    leaves,
    same_form,
)
from tilewright.ir.diagnostics import LanguageError, Location, TypeMismatch
from tilewright.ir.instruction import Body
from tilewright.ir.instructions.control import Continue, If
from tilewright.ir.kernel import Builder
from tilewright.ir.values import Value

Execute = Callable[[Context, list[ast.stmt]], Flow]


@dataclass
class _Side:
    builder: Builder
    names: Names
    flow: Flow

    @property
    def is_open(self) -> bool:
        return self.flow is not Flow.LEFT


def run_branch(
    c: Context,
    node: ast.If,
    condition: Value,
    yes: list[ast.stmt],
    no: list[ast.stmt],
    execute: Execute,
) -> Flow:
    """Capture both sides and the `if` that chooses; gives how it ended."""
    before = c.frame.names
    sides = [_capture(c, body, before, execute) for body in (yes, no)]
    c.frame.names = before
    flows = {side.flow for side in sides}
    if Flow.RETURN in flows:
        _return_nothing(sides)
    if flows == {Flow.LEFT}:
        c.emit_all(If(condition=condition, yes=sides[0].builder.body(), no=sides[1].builder.body()))
        return _end_unreachable(c)
    _join(c, node, condition, sides)
    return Flow.RETURN if Flow.RETURN in flows else Flow.NEXT


def _capture(c: Context, body: list[ast.stmt], names: Names, execute: Execute) -> _Side:
    with c.into(Builder()) as builder:
        c.frame.names = dict(names)
        flow = execute(c, body)
        return _Side(builder, c.frame.names, flow)


def _return_nothing(sides: list[_Side]) -> None:
    """A side that reaches the end of a function returns None, if the other one does."""
    found = [side.names.get("return") for side in sides]
    if any(isinstance(f, Binding) and f.held is None for f in found):
        for side in sides:
            side.names.setdefault("return", Binding(None, None))


def _end_unreachable(c: Context) -> Flow:
    """Both sides left the loop: what follows never runs, yet its body needs an end."""
    assert isinstance(c.frame.loop, CarriedLoop)
    leave_loop(c, c.frame.loop, Continue)
    return Flow.LEFT


def _join(c: Context, node: ast.If, condition: Value, sides: list[_Side]) -> None:
    """Add the `if` with a result per leaf that differs, and bind the names after it."""
    open_sides = [side for side in sides if side.is_open]
    live = c.frame.source.liveness.after.get(node, frozenset()) | {"return"}
    columns: list[list[Value]] = [[] for _ in open_sides]
    labels: list[str] = []
    plans: dict[str, tuple[Binding, list[int | None]]] = {}
    for name in _changed(c.frame.names, open_sides):
        if name not in live:
            c.frame.names[name] = Missing(partial(_unused, name, c.frame.source.locate(node)))
            continue
        found = _join_name(c, name, open_sides, columns)
        if isinstance(found, Missing):
            c.frame.names[name] = found
        else:
            plans[name] = found
            labels.extend(name for place in found[1] if place is not None)
    bodies: dict[int, Body] = {}
    for side, values in zip(open_sides, columns, strict=True):
        with c.into(side.builder):
            bodies[id(side)] = c.close(side.builder, tuple(values))
    yes, no = (bodies.get(id(side)) or side.builder.body() for side in sides)
    results = c.emit_all(If(condition=condition, yes=yes, no=no), *labels)
    for name, (binding, places) in plans.items():
        parts = [
            leaf if place is None else results[place]
            for leaf, place in zip(leaves(binding.held), places, strict=True)
        ]
        c.frame.names[name] = Binding(fill(binding.held, parts), binding.location)


def _changed(before: Names, sides: list[_Side]) -> list[str]:
    """Names that some side binds anew, in order of appearance."""
    order = dict.fromkeys(name for side in sides for name in side.names)
    return [n for n in order if any(s.names.get(n) is not before.get(n) for s in sides)]


def _join_name(
    c: Context, name: str, sides: list[_Side], columns: list[list[Value]]
) -> tuple[Binding, list[int | None]] | Missing:
    """Add what `name` yields on each side to `columns`; gives a binding and its leaves' results."""
    bound = [side.names.get(name) for side in sides]
    for found in bound:
        if isinstance(found, Missing):
            return found
    known = [b for b in bound if isinstance(b, Binding)]
    if len(known) < len(bound):
        return Missing(partial(_half, name, known[0].location))
    if not all(same_form(known[0].held, b.held) for b in known):
        return Missing(partial(_torn, name, known))
    rows = [list(leaves(b.held)) for b in known]
    places: list[int | None] = []
    fresh = len(sides) == 1
    for at in range(len(rows[0])):
        items = [row[at] for row in rows]
        first = items[0]
        if fresh:
            kind = first.type if isinstance(first, Value) and _inside(sides[0], first) else None
            if kind is not None and not isinstance(kind, CARRIED):
                return Missing(partial(_half, name, known[0].location))
        else:
            met = meet(items[0], items[1])
            if isinstance(met, Mismatch):
                torn = partial(_torn, name, known)
                return Missing(partial(undecided, name, first) if met.same_type else torn)
            kind = met
        if kind is None:
            places.append(None)
            continue
        places.append(len(columns[0]))
        for side, column, item in zip(sides, columns, items, strict=True):
            with c.into(side.builder):
                column.append(become(c, item, kind))
    return known[0], places


def _inside(side: _Side, value: Value) -> bool:
    return any(value in item.results for item in side.builder.instructions)


def _half(name: str, location: Location | None) -> LanguageError:
    where = "" if location is None else f" (line {location.line})"
    if name == "return":
        return LanguageError("only one branch returns a value", "return one in both")
    return LanguageError(
        f"{name} is assigned in only one branch{where}", f"assign {name} before the if"
    )


def _torn(name: str, known: list[Binding]) -> TypeMismatch:
    parts = [
        f"{describe(b.held)}" + ("" if b.location is None else f" (line {b.location.line})")
        for b in known
    ]
    what = "the result" if name == "return" else name
    return TypeMismatch(
        f"{what} has two types after the if: {' and '.join(parts)}",
        "make both branches give one type, e.g. with .cast or tw.full",
    )


def _unused(name: str, location: Location) -> LanguageError:
    return LanguageError(f"{name} is not known after the if (line {location.line})")
