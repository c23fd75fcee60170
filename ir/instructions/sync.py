"""Synchronization: waits on tokens, mbarriers, named barriers, block barriers, proxy fences.

In the interpreter a role is one coroutine, so barriers among its own lanes mean nothing; what
remains is what crosses roles (mbarriers, named barriers) and what completes asynchronous work.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tilewright.ir.diagnostics import InterpretError
from tilewright.ir.instruction import (
    ANY,
    FROM_LAID_OUT,
    Effect,
    Instruction,
    attribute,
    instruction,
    operand,
    operands,
)
from tilewright.ir.numeric import Array
from tilewright.ir.token import Token
from tilewright.ir.values import BarrierType, PendingType, TokenType, Type, Value

if TYPE_CHECKING:
    from tilewright.ir.interpreter import Machine


@instruction("wait", phases=ANY)
class Wait(Instruction):
    """Waits for `tokens`; each pending tile among `pending` becomes a tile (the results).

    `groups` is how many later groups of copies (`commit`) may stay in flight, once counted.
    """

    tokens: tuple[Value, ...] = operands()
    pending: tuple[Value, ...] = operands()
    groups: int | None = attribute(None)

    def result(self) -> tuple[Type, ...]:
        kinds = (v.type for v in self.pending)
        return tuple(k.tile for k in kinds if isinstance(k, PendingType))

    def effects(self) -> tuple[Effect, ...]:
        return tuple(Effect("wait", t) for t in self.tokens)

    def meaning(self, tokens: tuple[Token, ...], pending: tuple[Array, ...]) -> tuple[Array, ...]:
        for token in tokens:
            token.wait()
        return pending


@instruction("commit", phases=ANY)
class Commit(Instruction):
    """One token for all of `tokens`: closes a group of asynchronous copies (empty ones, too)."""

    tokens: tuple[Value, ...] = operands()

    def result(self) -> tuple[Type, ...]:
        return (TokenType(),)

    def meaning(self, tokens: tuple[Token, ...]) -> Token:
        def finish() -> None:
            for token in tokens:
                token.wait()

        return Token(finish)


@instruction("token.done", phases=ANY)
class TokenDone(Instruction):
    """A token that is already complete: the initial value of a loop-carried token."""

    def result(self) -> tuple[Type, ...]:
        return (TokenType(),)

    def meaning(self) -> Token:
        return Token(lambda: None)


@instruction("pend", phases=ANY)
class Pend(Instruction):
    """A tile seen as pending (already complete): the initial value of a carried pending tile."""

    operand: Value = operand()

    def result(self) -> tuple[Type, ...]:
        assert not isinstance(self.operand.type, PendingType)
        return (PendingType(self.operand.type),)  # type: ignore[arg-type]

    def meaning(self, operand: Array) -> Array:
        return operand


@instruction("sync", phases=FROM_LAID_OUT)
class Sync(Instruction):
    """A barrier among the lanes of `scope`: "block", "role" or "warp"; orders their accesses."""

    scope: str = attribute("block")
    barrier_id: int | None = attribute(None)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("arrive", None), Effect("wait", None))

    def meaning(self) -> None:
        """A role is one coroutine: its lanes are always together."""


@instruction("fence", phases=FROM_LAID_OUT)
class Fence(Instruction):
    """Orders earlier generic accesses before later ones of `proxy` ("async", "tensormap")."""

    proxy: str = attribute("async")

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("arrive", None),)

    def meaning(self) -> None:
        """The interpreter has one proxy."""


@dataclass
class BarrierState:
    """Phases of an array of mbarriers; copies attached to a phase finish when it completes."""

    size: int
    count: int
    arrived: list[int] = field(init=False)
    phase: list[int] = field(init=False)
    attached: list[list[Token]] = field(init=False)

    def __post_init__(self) -> None:
        self.arrived = [0] * self.size
        self.phase = [0] * self.size
        self.attached = [[] for _ in range(self.size)]

    def attach(self, slot: int, token: Token) -> None:
        """`token` finishes with the current phase of `slot`."""
        self.attached[slot].append(token)

    def arrive(self, slot: int, count: int) -> None:
        self.arrived[slot] += count
        if self.arrived[slot] > self.count:
            raise InterpretError(f"barrier {slot}: more than {self.count} arrivals in one phase")
        if self.arrived[slot] == self.count:
            for token in self.attached[slot]:
                token.wait()
            self.attached[slot].clear()
            self.arrived[slot] = 0
            self.phase[slot] += 1


@instruction("barrier", phases=ANY)
class Barrier(Instruction):
    """`size` mbarriers, each of whose phases completes after `count` arrivals."""

    size: int = attribute()
    count: int = attribute()
    offset: int | None = attribute(None)

    def result(self) -> tuple[Type, ...]:
        return (BarrierType(self.size, self.count),)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("init", None),)

    def meaning(self) -> BarrierState:
        return BarrierState(self.size, self.count)


@instruction("barrier.arrive", phases=ANY)
class Arrive(Instruction):
    """`arrivals` arrivals at barrier[slot]; `expect` more bytes complete it (0: none)."""

    barrier: Value = operand()
    slot: Value = operand()
    arrivals: int = attribute(1)
    expect: int = attribute(0)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("arrive", self.barrier),)

    def meaning(self, barrier: BarrierState, slot: Array) -> None:
        barrier.arrive(int(slot), self.arrivals)


@instruction("barrier.wait", phases=ANY, blocks=True)
class BarrierWait(Instruction):
    """Waits until the phase of barrier[slot] with parity `parity` has completed."""

    barrier: Value = operand()
    slot: Value = operand()
    parity: Value = operand()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("wait", self.barrier),)

    def meaning(
        self, machine: Machine, barrier: BarrierState, slot: Array, parity: Array
    ) -> Generator[str, None, None]:
        while barrier.phase[int(slot)] % 2 == int(parity):
            yield f"barrier slot {int(slot)}, parity {int(parity)}"


@instruction("named.sync", phases=ANY, blocks=True)
class NamedSync(Instruction):
    """Arrives at named barrier `number` with this role's lanes; waits until `warps` warps have."""

    number: int = attribute()
    warps: int = attribute()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("arrive", None), Effect("wait", None))

    def meaning(self, machine: Machine) -> Generator[str, None, None]:
        generation = machine.named_arrive(self.number, self.warps)
        while machine.named_generation(self.number) == generation:
            yield f"named barrier {self.number}"


@instruction("named.arrive", phases=ANY, blocks=True)
class NamedArrive(Instruction):
    """Arrives at named barrier `number` with this role's lanes and goes on."""

    number: int = attribute()
    warps: int = attribute()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("arrive", None),)

    def meaning(self, machine: Machine) -> Generator[str, None, None]:
        machine.named_arrive(self.number, self.warps)
        yield from ()
