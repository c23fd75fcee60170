"""Runs a kernel by the `meaning` of its instructions, on NumPy, up to phase `scheduled`.

This is the definition of the language: every pass and every target is tested against it. Tiles and
scalars are decoded arrays (`ir.numeric`), tensors are `TensorView`s over arrays that are changed in
place. A body that waits (barriers, signals, roles) is a generator that yields why it waits; the
machine runs bodies of one group in turn and calls it a deadlock when none of them moves.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tilewright.ir.barriers import BarrierState
from tilewright.ir.diagnostics import InterpretError, TilewrightError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import Break, Condition, Continue, Yield
from tilewright.ir.kernel import Kernel
from tilewright.ir.memory import BufferView, TensorView
from tilewright.ir.numeric import Array, numpy_class
from tilewright.ir.types import DType
from tilewright.ir.values import Value

Outcome = type[Yield] | type[Break] | type[Continue] | type[Condition]
Steps = Generator[str, None, tuple[Outcome, tuple[Any, ...]]]


LOOP = "loop"
"""Why a `while` gives up its turn: it may be spinning on what another block does."""


class _Leave(Exception):
    """`break` or `continue` on its way to the nearest loop."""

    def __init__(self, outcome: Outcome, values: tuple[Any, ...]) -> None:
        self.outcome, self.values = outcome, values
        super().__init__(outcome.name)


def interpret(
    kernel: Kernel, args: Sequence[Any], *, seed: int | None = None, limit: int | None = None
) -> None:
    """Run `kernel` on `args`: `TensorView`s (changed in place) and decoded scalars, in order.

    `seed` draws which roles and blocks run ahead of others (without one they take turns in order).
    More than `limit` instructions are an error: a kernel under test may loop for ever.
    """
    rng = None if seed is None else random.Random(seed)
    machine = Machine(clock=Clock(rng, limit))
    values = tuple(a if isinstance(a, TensorView) else np.asarray(a) for a in args)
    if len(values) != len(kernel.params):
        raise InterpretError(f"{kernel.name} takes {len(kernel.params)} arguments, not {len(args)}")
    for reason in machine.run_block(kernel.body, values):
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
class Clock:
    """What all machines of one run share: counted steps, and who may run ahead."""

    rng: random.Random | None = None
    limit: int | None = None
    steps: int = 0

    def tick(self) -> None:
        self.steps += 1
        if self.limit is not None and self.steps > self.limit:
            raise InterpretError(f"the kernel runs more than {self.limit} instructions")

    def choose(self, count: int) -> list[int]:
        """Which of `count` runs get the next turn, in which order."""
        if self.rng is None:
            return list(range(count))
        return self.rng.sample(range(count), self.rng.randint(1, count))


@dataclass
class Machine:
    """One block's state; `run_grid` gives every grid point a machine of its own."""

    environment: dict[Value, Any] = field(default_factory=dict)
    named: dict[int, _Named] = field(default_factory=dict)
    role_warps: int = 0
    clock: Clock = field(default_factory=Clock)
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
        self.clock.tick()
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
            Machine(dict(self.environment), clock=self.clock).run_block(
                body, tuple(np.asarray(i) for i in point)
            )
            for point in points
        )
        yield from _take_turns(runs, "block", self.clock)

    def run_block(self, body: Body, point: tuple[Any, ...]) -> Steps:
        """Run one block to its end, at which nothing may still be in flight."""
        ended = yield from self.run(body, point)
        for held in self.environment.values():
            if isinstance(held, BarrierState):
                held.check_landed()
        for value, held in self.environment.items():
            if isinstance(held, BufferView):
                held.state.end(value.name)
        return ended

    def run_roles(
        self, members: tuple[Body, ...], names: tuple[str, ...], warps: tuple[int, ...]
    ) -> Generator[str, None, None]:
        """Run all members in turn; they share this block's named barriers."""
        machines = [
            Machine(dict(self.environment), self.named, count, self.clock) for count in warps
        ]
        runs = [machine.run(b, ()) for machine, b in zip(machines, members, strict=True)]
        if self.clock.rng is not None:
            self.clock.rng.shuffle(runs)
        yield from _take_turns(iter(runs), f"role among {', '.join(names)}", self.clock)
        for machine in machines:
            self.environment |= machine.environment

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


def _take_turns(runs: Iterator[Steps], what: str, clock: Clock) -> Generator[str, None, None]:
    """Run generators to their end, in turn.

    A round of all without a step gives the turn back, waiting; one in which somebody loops shares
    it.
    """
    waiting = [(run, reason) for run in runs if (reason := next(run, None)) is not None]
    everybody = False
    while waiting:
        before = clock.steps
        turns = range(len(waiting)) if everybody else clock.choose(len(waiting))
        found = {i: next(waiting[i][0], None) for i in turns}
        moved = clock.steps != before or None in found.values()
        reasons = [found.get(i, reason) for i, (_, reason) in enumerate(waiting)]
        waiting = [
            (run, reason)
            for (run, _), reason in zip(waiting, reasons, strict=True)
            if reason is not None
        ]
        if LOOP in found.values():
            yield LOOP
        elif waiting and not moved and len(found) == len(waiting):
            stuck = sorted({reason for _, reason in waiting})
            yield "; ".join(f"a {what} waits for {reason}" for reason in stuck)
        everybody = not moved
