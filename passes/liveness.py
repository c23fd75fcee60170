"""From where to where, in program order, each buffer and barrier is in use.

Instructions are numbered outer before inner; a value's span starts at its definition and ends at
the last use of it, of its aliases (slots, parts, transposes), or of a token of a copy that touches
it. A use inside of a loop that does not contain the definition lasts until the loop ends, and all
roles run at once, so a use inside of one lasts from their start to their end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import For, While
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import BarrierType, BufferType, TokenType, Value


@dataclass(frozen=True)
class Span:
    """Positions first to last, both in use."""

    first: int
    last: int

    def meets(self, other: Span) -> bool:
        """Whether both are in use at some position."""
        return self.first <= other.last and other.first <= self.last


@dataclass
class _Walk:
    position: int = 0
    holds: dict[Value, frozenset[Value]] = field(default_factory=dict)
    first: dict[Value, int] = field(default_factory=dict)
    last: dict[Value, int] = field(default_factory=dict)
    loops: list[tuple[int, list[Value]]] = field(default_factory=list)

    def of(self, value: Value) -> frozenset[Value]:
        """The allocations that `value` is, is part of, or stands for the completion of."""
        return self.holds.get(value, frozenset())

    def use(self, value: Value) -> None:
        for root in self.of(value):
            self.last[root] = self.position
            for start, lasting in self.loops:
                if self.first[root] < start:
                    lasting.append(root)

    def define(self, item: Instruction) -> None:
        """Results stand for what the operands stand for, if they are memory or tokens at all."""
        held = frozenset(root for v in item.operand_values for root in self.of(v))
        for value in item.results:
            if isinstance(value.type, (BufferType, BarrierType)) and not item.operand_values:
                self.holds[value] = frozenset((value,))
                self.first[value] = self.last[value] = self.position
            elif isinstance(value.type, (BufferType, BarrierType, TokenType)):
                self.holds[value] = held

    def body(self, body: Body) -> None:
        for item in body.instructions:
            self.position += 1
            for value in item.operand_values:
                self.use(value)
            self.define(item)
            if item.nested:
                self.nested(item)

    def nested(self, item: Instruction) -> None:
        start = self.position
        repeats = isinstance(item, (For, While, Roles))
        if isinstance(item, (For, While)):
            self.carry(item)
        if repeats:
            self.loops.append((start, []))
        for inner in item.nested:
            self.body(inner)
        self.position += 1
        if isinstance(item, (For, While)):
            self.carry_on(item, start)
        if repeats:
            for root in self.loops.pop()[1]:
                self.last[root] = self.position
        if isinstance(item, Roles):
            for root, first in self.first.items():
                if first > start:
                    self.first[root], self.last[root] = start, self.position

    def carry(self, item: For | While) -> None:
        """Carried tokens stand for what they stand for at first; `carry_on` adds the rest."""
        for body in item.nested:
            args = body.args[1:] if isinstance(item, For) else body.args
            for arg, first in zip(args, item.init, strict=True):
                if isinstance(arg.type, TokenType):
                    self.holds[arg] = self.of(first)
        for result, first in zip(item.results, item.init, strict=True):
            if isinstance(result.type, TokenType):
                self.holds[result] = self.of(first)

    def carry_on(self, item: For | While, start: int) -> None:
        """Buffers whose tokens go into the next iteration are in use during the whole loop."""
        body = item.nested[-1]
        for value, result in zip(body.terminator.operand_values, item.results, strict=True):
            if not isinstance(result.type, TokenType):
                continue
            self.holds[result] = self.of(result) | self.of(value)
            for root in self.of(value):
                self.first[root] = min(self.first[root], start)
                self.last[root] = max(self.last[root], self.position)


def find_spans(kernel: Kernel) -> dict[Value, Span]:
    """The span of every buffer and barrier of `kernel`, by its defining value."""
    walk = _Walk()
    walk.body(kernel.body)
    return {value: Span(first, walk.last[value]) for value, first in walk.first.items()}
