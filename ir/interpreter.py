"""Runs a kernel by the `meaning` of its instructions, on NumPy, up to phase `scheduled`.

This is the definition of the language: every pass and every target is tested against it. Tiles and
scalars are decoded arrays (`ir.numeric`), tensors are `TensorView`s over arrays that are changed in
place. A body that waits (barriers, signals, roles) is a generator that yields why it waits; the
machine runs bodies of one group in turn and calls it a deadlock when none of them moves.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tilewright.ir.diagnostics import InterpretError, TilewrightError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import Break, Condition, Continue, Yield
from tilewright.ir.kernel import Kernel
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import Array, numpy_class
from tilewright.ir.types import DType
from tilewright.ir.values import Value, element_type

Outcome = type[Yield] | type[Break] | type[Continue] | type[Condition]
Steps = Generator[str, None, tuple[Outcome, tuple[Any, ...]]]


LOOP = "loop"
"""Why a `while` gives up its turn: it may be spinning on what another block does."""


class _Leave(Exception):
    """`break` or `continue` on its way to the nearest loop."""

    def __init__(self, outcome: Outcome, values: tuple[Any, ...]) -> None:
        self.outcome, self.values = outcome, values
        super().__init__(outcome.name)


def interpret(kernel: Kernel, args: Sequence[Any]) -> None:
    """Run `kernel` on `args`: `TensorView`s (changed in place) and decoded scalars, in order."""
    machine = Machine()
    values = tuple(a if isinstance(a, TensorView) else np.asarray(a) for a in args)
    if len(values) != len(kernel.params):
        raise InterpretError(f"{kernel.name} takes {len(kernel.params)} arguments, not {len(args)}")
    for reason in machine.run(kernel.body, values):
        if reason != LOOP:
            raise InterpretError(f"deadlock: the kernel waits for {reason}")


def view_codes(codes: Array, dtype: DType) -> TensorView:
    """A view that holds the decoded values of `codes`; read back with `codes_of`."""
    return TensorView(np.ascontiguousarray(dtype.decode(codes)).astype(numpy_class(dtype)), dtype)


def codes_of(view: TensorView) -> Array:
    """The codes of a view's elements."""
    return np.asarray(view.dtype.encode(view.values))


@dataclass
class _Named:
    arrived: int = 0
    generation: int = 0


@dataclass
class Machine:
    """One block's state; `run_grid` gives every grid point a machine of its own."""

    environment: dict[Value, Any] = field(default_factory=dict)
    named: dict[int, _Named] = field(default_factory=dict)
    role_warps: int = 0
    steps: list[int] = field(default_factory=lambda: [0])
    turn: ClassVar[str] = LOOP

    def run(self, body: Body, args: Sequence[Any]) -> Steps:
        """Run `body`; gives how it ended and the values it ended with."""
        self.environment.update(zip(body.args, args, strict=True))
        for item in body.instructions[:-1]:
            try:
                yield from self.step(item)
            except _Leave as leave:
                return leave.outcome, leave.values
        end = body.terminator
        return type(end), tuple(self.environment[v] for v in end.operand_values)  # type: ignore[return-value]

    def step(self, item: Instruction) -> Generator[str, None, None]:
        self.steps[0] += 1
        operands = [self._held(item, spec.name, spec.kind) for spec in _runtime_fields(item)]
        try:
            if item.blocks:
                found = yield from item.meaning(self, *operands)  # type: ignore[attr-defined]
            else:
                found = item.meaning(*operands)  # type: ignore[attr-defined]
        except TilewrightError as error:
            raise error.at(item.location) from None
        if len(item.results) == 1 and not (isinstance(found, tuple) and len(found) == 1):
            found = (found,)
        if item.results:
            self.environment.update(zip(item.results, found, strict=True))

    def _held(self, item: Instruction, name: str, kind: str) -> Any:
        held = getattr(item, name)
        match kind:
            case "operand":
                return None if held is None else self.environment[held]
            case "operands":
                return tuple(self.environment[v] for v in held)
        return held

    def leave(self, outcome: Outcome, values: tuple[Any, ...]) -> None:
        """Carry `break` or `continue` out of a branch to the loop around it."""
        raise _Leave(outcome, values)

    def run_grid(self, body: Body, extents: tuple[int, ...]) -> Generator[str, None, None]:
        """Run `body` for every grid point in a machine of its own; those that wait take turns."""
        points = itertools.product(*(range(e) for e in extents))
        runs = (
            Machine(dict(self.environment), steps=self.steps).run(
                body, tuple(np.asarray(i) for i in point)
            )
            for point in points
        )
        yield from _take_turns(runs, "block", self.steps)

    def run_roles(
        self, members: tuple[Body, ...], names: tuple[str, ...], warps: tuple[int, ...]
    ) -> Generator[str, None, None]:
        """Run all members in turn; they share this block's named barriers."""
        runs = []
        for body, count in zip(members, warps, strict=True):
            machine = Machine(dict(self.environment), self.named, count, self.steps)
            runs.append(machine.run(body, ()))
        yield from _take_turns(iter(runs), f"role among {', '.join(names)}", self.steps)

    def named_generation(self, number: int) -> int:
        return self.named.setdefault(number, _Named()).generation

    def named_arrive(self, number: int, warps: int) -> int:
        """This role's warps arrive; gives the generation before, which ends when `warps` have."""
        state = self.named.setdefault(number, _Named())
        before = state.generation
        state.arrived += self.role_warps
        if state.arrived > warps:
            raise InterpretError(f"named barrier {number}: {state.arrived} warps, want {warps}")
        if state.arrived == warps:
            state.arrived, state.generation = 0, before + 1
        return before


_KINDS = ("operand", "operands", "body", "bodies")


def _runtime_fields(item: Instruction) -> list[Any]:
    return [spec for spec in item.specs if spec.kind in _KINDS]


def _take_turns(runs: Iterator[Steps], what: str, steps: list[int]) -> Generator[str, None, None]:
    """Run generators to their end, in turn; a round without a step gives the turn back, waiting."""
    waiting = [(run, reason) for run in runs if (reason := next(run, None)) is not None]
    while waiting:
        before = steps[0]
        waiting = [(run, reason) for run, _ in waiting if (reason := next(run, None)) is not None]
        if waiting and steps[0] == before:
            reasons = sorted({reason for _, reason in waiting})
            yield "; ".join(f"a {what} waits for {reason}" for reason in reasons)


def scalar_argument(value: Value, number: float) -> Array:
    """A Python number as the decoded argument for the scalar parameter `value`."""
    return np.asarray(number, numpy_class(element_type(value)))
