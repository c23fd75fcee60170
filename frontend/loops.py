"""Loops of the kernel: assigned names that are read again become carried values.

    acc = tw.zeros((16,), tw.f32)         %acc.2 = for %low, %n, %step, [%acc] (%k, %acc.1) {
    for k in tw.range(0, n, 16):            …
        acc = acc + tw.load(t, k, 16)  →    yield [%sum]
                                          }

A Python number that a loop carries becomes a scalar. Its type is the one it gets in the loop: the
body is captured again once that is known (`Retype`). Any other change of type is an error.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from typing import Any

from tilewright.frontend.arithmetic import truth
from tilewright.frontend.context import CarriedLoop, Context, Retype
from tilewright.frontend.expressions import evaluate
from tilewright.frontend.liveness import assigned
from tilewright.frontend.merging import Mismatch, become, meet, undecided
from tilewright.frontend.operands import cast, default_dtype, embed, to_index
from tilewright.frontend.values import (
    Binding,
    DynamicRange,
    Flow,
    Missing,
    Names,
    describe,
    fill,
    is_number,
    is_static,
    leaves,
    same_form,
)
from tilewright.ir.diagnostics import LanguageError, Location, TypeMismatch
from tilewright.ir.instructions.check import Check
from tilewright.ir.instructions.control import Break, Condition, Continue, For, While, Yield
from tilewright.ir.instructions.elementwise import Compare
from tilewright.ir.kernel import Builder
from tilewright.ir.types import bool_, f32
from tilewright.ir.values import ScalarType, TileType, Type, Value, element_type

Execute = Callable[[Context, list[ast.stmt]], Flow]
End = type[Yield] | type[Break] | type[Continue]


def run_for(c: Context, node: ast.For, bounds: DynamicRange, execute: Execute) -> Flow:
    """Capture `for index in tw.range(…)`."""
    if not isinstance(node.target, ast.Name):
        raise LanguageError("the index of a tw.range is one name")
    index_name = node.target.id
    with c.at(node.iter):
        low, high, step = _bounds(c, bounds)

    def capture(loop: CarriedLoop) -> tuple[Value, ...]:
        index = Value(low.type, index_name)
        init, args = _arguments(c, loop)
        c.frame.names[index_name] = Binding(index, c.frame.source.locate(node.target))
        with c.into(Builder()) as builder:
            if execute(c, node.body) is not Flow.LEFT:
                leave_loop(c, loop, Yield)
            body = builder.body((index, *args))
        made = For(
            low=low,
            high=high,
            step=step,
            init=init,
            body=body,
            stages=bounds.stages,
            exactly=bounds.exactly,
            unroll=bounds.unroll,
        )
        return c.emit_all(made, *(a.name for a in args))

    return _run(c, node, capture, after=(index_name,))


def _bounds(c: Context, bounds: DynamicRange) -> tuple[Value, Value, Value]:
    """Low, high and step as scalars of one dtype."""
    step = bounds.step
    if is_static(step) and not (type(step) is int and step >= 1):
        raise LanguageError(
            f"the step of a loop is at least 1, not {describe(step)}",
            "count upwards and compute the other index from it",
        )
    made = [
        to_index(c, held, f"the {what} of a loop")
        for held, what in ((bounds.low, "start"), (bounds.high, "end"), (step, "step"))
    ]
    if not is_static(step):
        _check_step(c, made[2])
    widest = max((element_type(v) for v in made), key=lambda dtype: dtype.bits)
    return cast(c, made[0], widest), cast(c, made[1], widest), cast(c, made[2], widest)


def _check_step(c: Context, step: Value) -> None:
    """A step that only the launch knows stops the kernel where the loop would not end."""
    holds = Compare(op="ge", left=step, right=c.const(1, element_type(step)))
    c.emit_all(Check(condition=c.emit(holds), text="the step of a loop is at least 1"))


def run_while(c: Context, node: ast.While, execute: Execute) -> Flow:
    """Capture `while`: one body computes the condition, the other the next carried values."""

    def capture(loop: CarriedLoop) -> tuple[Value, ...]:
        init, before_args = _arguments(c, loop)
        names = c.frame.names
        with c.into(Builder()) as builder:
            held = evaluate(c, node.test)
            with c.at(node.test):
                holds = embed(c, bool(held), bool_) if is_static(held) else truth(held)
            builder.location = c.place
            builder.add(Condition(holds=holds))
            before = builder.body(before_args)
        c.frame.names = names
        _, after_args = _arguments(c, loop)
        with c.into(Builder()) as builder:
            if execute(c, node.body) is not Flow.LEFT:
                leave_loop(c, loop, Yield)
            after = builder.body(after_args)
        return c.emit_all(
            While(init=init, before=before, after=after), *(a.name for a in after_args)
        )

    return _run(c, node, capture, after=())


def _run(
    c: Context,
    node: ast.For | ast.While,
    capture: Callable[[CarriedLoop], tuple[Value, ...]],
    after: tuple[str, ...],
) -> Flow:
    """Capture a loop, again where a carried number gets another type, and bind names after it."""
    before, outer = c.frame.names, c.frame.loop
    loop = _carried(c, node, before)
    c.frame.tail = False
    for _ in range(2 + 2 * len(loop.names)):
        c.frame.names, c.frame.loop = dict(before), loop
        count = len(c.builder.instructions)
        try:
            results = capture(loop)
            break
        except Retype as wanted:
            del c.builder.instructions[count:]
            if wanted.loop is not loop:
                raise
            _retype(c, loop, wanted)
        finally:
            c.frame.names, c.frame.loop = before, outer
    else:
        raise LanguageError("the types that this loop carries do not settle")
    _bind_after(c, node, loop, results, after)
    return Flow.NEXT


def _carried(c: Context, node: ast.For | ast.While, before: Names) -> CarriedLoop:
    """The names that `node` assigns, that are known before it, and that are read again."""
    live = c.frame.source.liveness.head[node]
    stored = assigned(node.body)
    if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
        stored -= {node.target.id}
    bound = {
        name: found
        for name, found in before.items()
        if name in stored and name in live and isinstance(found, Binding)
    }
    init = {name: fill(b.held, [_start(c, h) for h in leaves(b.held)]) for name, b in bound.items()}
    free = {
        (name, leaf)
        for name, b in bound.items()
        for leaf, held in enumerate(leaves(b.held))
        if is_number(held) or (isinstance(held, Value) and held in c.free)
    }
    after = c.frame.source.liveness.after[node]
    return CarriedLoop(tuple(bound), init, {n: b.location for n, b in bound.items()}, free, after)


def _start(c: Context, held: Any) -> Any:
    """What a carried leaf starts as: a number becomes a scalar of its default type."""
    return embed(c, held, default_dtype(held)) if is_number(held) else held


def _arguments(c: Context, loop: CarriedLoop) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Initial values, and fresh body arguments that the names are bound to."""
    init: list[Value] = []
    args: list[Value] = []
    for name in loop.names:
        parts: list[Any] = []
        for leaf, held in enumerate(leaves(loop.init[name])):
            if isinstance(held, Value):
                init.append(held)
                args.append(Value(held.type, name))
                parts.append(args[-1])
                if (name, leaf) in loop.free:
                    c.free[args[-1]] = loop, name, leaf
            else:
                parts.append(held)
        loop.bound[name] = Binding(fill(loop.init[name], parts), loop.locations[name])
    c.frame.names.update(loop.bound)
    return tuple(init), tuple(args)


def leave_loop(c: Context, loop: CarriedLoop, end: End) -> None:
    """End the current body with what the loop's names stand for now."""
    values: list[Value] = []
    for name in loop.names:
        unread = end is Break and name not in loop.read_after
        found = loop.bound[name] if unread else c.frame.names[name]
        if isinstance(found, Missing):
            raise found.error()
        values.extend(_next(c, loop, name, found))
    c.emit_all(end(values=tuple(values)))


def _next(c: Context, loop: CarriedLoop, name: str, found: Binding) -> list[Value]:
    """The carried values of one name; a change of type is an error, or wants a new start."""
    start = loop.init[name]
    if not same_form(start, found.held):
        raise _changes(loop, name, found)
    values: list[Value] = []
    for leaf, (first, last) in enumerate(zip(leaves(start), leaves(found.held), strict=True)):
        if not isinstance(first, Value):
            if first is not last and not (is_static(last) and first == last):
                raise _changes(loop, name, found)
            continue
        met = _meet_next(first, last, (name, leaf) in loop.free)
        if isinstance(met, Mismatch):
            raise undecided(name, first) if met.same_type else _changes(loop, name, found)
        if met != first.type and isinstance(met, (ScalarType, TileType)):
            raise Retype(loop, name, leaf, met)
        values.append(become(c, last, first.type))
    return values


def _meet_next(first: Value, last: Any, free: bool) -> Type | Mismatch:
    """The type of a leaf at the start and end of an iteration; a free number takes its end's."""
    met = meet(first, last)
    if met is None:
        return first.type
    if not (isinstance(met, Mismatch) and free):
        return met
    if is_number(last):
        return ScalarType(f32)  # an integer that becomes a float
    match first.type, getattr(last, "type", None):
        case ScalarType(dtype=old), ScalarType(dtype=new) if not (old.is_float and new.is_integer):
            return ScalarType(new)
    return met


def _retype(c: Context, loop: CarriedLoop, wanted: Retype) -> None:
    """Start a leaf of `wanted.name` as the type that the loop gives it."""
    parts = list(leaves(loop.init[wanted.name]))
    held = parts[wanted.leaf]
    if held in c.free:
        raise Retype(*c.free[held], wanted.kind)
    number = c.number_of(held)
    parts[wanted.leaf] = become(c, held if number is None else number, wanted.kind)
    loop.init[wanted.name] = fill(loop.init[wanted.name], parts)
    loop.free.discard((wanted.name, wanted.leaf))


def _changes(loop: CarriedLoop, name: str, found: Binding) -> TypeMismatch:
    def where(location: Location | None) -> str:
        return "" if location is None else f" (line {location.line})"

    return TypeMismatch(
        f"{name} changes its type in the loop: it is {describe(loop.init[name])} before"
        f"{where(loop.locations[name])} and {describe(found.held)} after{where(found.location)}",
        f"give {name} one type, e.g. by tw.zeros before the loop or .cast inside it",
    )


def _bind_after(
    c: Context,
    node: ast.For | ast.While,
    loop: CarriedLoop,
    results: tuple[Value, ...],
    after: tuple[str, ...],
) -> None:
    """After the loop: carried names are its results; what only the loop assigns is missing."""
    rest = iter(results)
    for name in loop.names:
        parts = [next(rest) if isinstance(h, Value) else h for h in leaves(loop.init[name])]
        found = fill(loop.init[name], parts)
        c.frame.names[name] = Binding(found, loop.locations[name])
    line = node.lineno
    for name in (assigned(node.body) | frozenset(after)) - set(loop.names):
        c.frame.names[name] = Missing(partial(_only_inside, name, line))


def _only_inside(name: str, line: int) -> LanguageError:
    return LanguageError(
        f"{name} is assigned only inside the loop of line {line}, which may not run",
        f"assign {name} before the loop",
    )
