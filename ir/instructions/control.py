"""Structured control flow: loops and branches carry values through body arguments and `yield`.

A body ends in a terminator. `yield` gives the next carried values (or a branch's results); `break`
and `continue` leave or restart the nearest loop with the same tuple. There is no phi.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.ir.diagnostics import InterpretError, TypeMismatch
from tilewright.ir.instruction import (
    ANY,
    Body,
    Instruction,
    attribute,
    body,
    instruction,
    operand,
    operands,
)
from tilewright.ir.numeric import Array
from tilewright.ir.values import ScalarType, Type, Value, element_type

if TYPE_CHECKING:
    from tilewright.ir.interpreter import Machine

Run = Generator[str, None, tuple[Any, ...]]


@instruction("yield", phases=ANY, terminates=True)
class Yield(Instruction):
    """Ends a body with these values."""

    values: tuple[Value, ...] = operands()


@instruction("break", phases=ANY, terminates=True)
class Break(Instruction):
    """Leaves the nearest loop; its results are these values."""

    values: tuple[Value, ...] = operands()


@instruction("continue", phases=ANY, terminates=True)
class Continue(Instruction):
    """Starts the next iteration of the nearest loop with these carried values."""

    values: tuple[Value, ...] = operands()


@instruction("condition", phases=ANY, terminates=True)
class Condition(Instruction):
    """Ends the first body of a `while`: go on if `holds`, else leave with the carried values."""

    holds: Value = operand()


@instruction("for", phases=ANY, blocks=True)
class For(Instruction):
    """for index = low; index < high; index += step: (carried) = body(index, carried)

    `stages` is an upper bound for overlapping iterations, `unroll` how many copies of the body one
    iteration holds. `ranges` splits the index space where masks change (`split_loops`).
    """

    low: Value = operand()
    high: Value = operand()
    step: Value = operand()
    init: tuple[Value, ...] = operands()
    body: Body = body()
    stages: int = attribute(default=1)
    exactly: bool = attribute(default=False)
    unroll: int = attribute(default=1)

    def result(self) -> tuple[Type, ...]:
        return tuple(v.type for v in self.init)

    def check(self) -> None:
        kinds = {element_type(v) for v in (self.low, self.high, self.step)}
        if len(kinds) != 1 or self.body.args[0].type != self.low.type:
            raise TypeMismatch("bounds, step and index of a loop have one integer dtype")
        check_carried(self.init, self.body.args[1:])

    def meaning(
        self,
        machine: Machine,
        low: Array,
        high: Array,
        step: Array,
        init: tuple[Any, ...],
        body: Body,
    ) -> Run:
        if int(step) < 1:
            raise InterpretError(f"a loop's step is at least 1, not {int(step)}")
        carried = init
        for index in range(int(low), int(high), int(step)):
            outcome, values = yield from machine.run(body, (np.asarray(index), *carried))
            carried = values
            if outcome is Break:
                break
        return carried


@instruction("while", phases=ANY, blocks=True)
class While(Instruction):
    """while before(carried): carried = after(carried)"""

    init: tuple[Value, ...] = operands()
    before: Body = body()
    after: Body = body()

    def result(self) -> tuple[Type, ...]:
        return tuple(v.type for v in self.init)

    def check(self) -> None:
        check_carried(self.init, self.before.args)
        check_carried(self.init, self.after.args)

    def meaning(self, machine: Machine, init: tuple[Any, ...], before: Body, after: Body) -> Run:
        carried = init
        while True:
            _, (holds,) = yield from machine.run(before, carried)
            if not bool(holds):
                return carried
            outcome, carried = yield from machine.run(after, carried)
            if outcome is Break:
                return carried
            yield machine.turn


@instruction("if", phases=ANY, blocks=True)
class If(Instruction):
    """results = yes() if condition else no(); a branch that breaks or continues gives none."""

    condition: Value = operand()
    yes: Body = body()
    no: Body = body()

    def result(self) -> tuple[Type, ...]:
        for branch in (self.yes, self.no):
            if isinstance(branch.terminator, Yield):
                return tuple(v.type for v in branch.terminator.values)
        return ()

    def check(self) -> None:
        if not isinstance(self.condition.type, ScalarType):
            raise TypeMismatch("only a block-uniform scalar steers `if`", "reduce the tile first")

    def meaning(self, machine: Machine, condition: Array, yes: Body, no: Body) -> Run:
        outcome, values = yield from machine.run(yes if bool(condition) else no, ())
        if outcome is not Yield:
            machine.leave(outcome, values)
        return values


@instruction("for_tiles", phases=ANY, blocks=True)
class ForTiles(Instruction):
    """Runs `body` once for every point of the grid `extents`, in any order and in parallel.

    Each point is one block's work. `order` names how points map to blocks ("row_major",
    "column_major", "grouped" for L2 reuse); `persistent` loops resident blocks over the points.
    """

    extents: tuple[Value, ...] = operands()
    body: Body = body()
    order: str = attribute(default="row_major")
    persistent: bool = attribute(default=False)

    def meaning(self, machine: Machine, extents: tuple[Array, ...], body: Body) -> Run:
        yield from machine.run_grid(body, tuple(int(e) for e in extents))
        return ()


def check_carried(init: tuple[Value, ...], args: tuple[Value, ...]) -> None:
    """Initial and carried values of a loop agree in number and type."""
    if len(init) != len(args):
        raise TypeMismatch(f"{len(init)} initial values for {len(args)} carried ones")
    for first, arg in zip(init, args, strict=True):
        if first.type != arg.type:
            raise TypeMismatch(f"{arg.name or 'a carried value'} changes its type in the loop")
