"""Synchronization: waits on tokens, mbarriers, named barriers, block barriers, proxy fences.

In the interpreter a role is one coroutine, so barriers among its own lanes mean nothing; what
remains is what crosses roles (mbarriers, named barriers) and what completes asynchronous work.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Literal

from tilewright.ir.barriers import BarrierState
from tilewright.ir.diagnostics import ResourceError, ShapeError, TypeMismatch
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
from tilewright.ir.token import Pending, Token
from tilewright.ir.values import (
    BarrierType,
    PendingType,
    TokenType,
    Type,
    Value,
    barrier_type,
    tile_type,
)

if TYPE_CHECKING:
    from tilewright.ir.interpreter import Machine


@instruction("wait", phases=ANY)
class Wait(Instruction):
    """Waits for `tokens`; each pending tile among `pending` becomes a tile (the results).

    `groups` is how many later groups of copies (`commit`) may stay in flight, once counted. With
    `reads_only` it waits until the buffers of `copy.out` may be overwritten, not for its writes.
    """

    tokens: tuple[Value, ...] = operands()
    pending: tuple[Value, ...] = operands()
    groups: int | None = attribute(default=None)
    reads_only: bool = attribute(default=False)

    def result(self) -> tuple[Type, ...]:
        kinds = (v.type for v in self.pending)
        return tuple(k.tile for k in kinds if isinstance(k, PendingType))

    def effects(self) -> tuple[Effect, ...]:
        return tuple(Effect("wait", t) for t in self.tokens)

    def check(self) -> None:
        if not all(isinstance(t.type, TokenType) for t in self.tokens):
            raise TypeMismatch("wait wants tokens in its first list")
        if not all(isinstance(p.type, PendingType) for p in self.pending):
            raise TypeMismatch("wait wants pending tiles in its second list")

    def meaning(self, tokens: tuple[Token, ...], pending: tuple[Pending, ...]) -> tuple[Array, ...]:
        for token in tokens:
            if self.reads_only:
                token.wait_reads()
            else:
                token.wait()
        return tuple(p.read() for p in pending)


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

        def release() -> None:
            for token in tokens:
                token.wait_reads()

        return Token(finish, release)


@instruction("token.done", phases=ANY)
class TokenDone(Instruction):
    """A token that is already complete: the initial value of a loop-carried token."""

    def result(self) -> tuple[Type, ...]:
        return (TokenType(),)

    def meaning(self) -> Token:
        token = Token(lambda: None)
        token.wait()
        return token


@instruction("pend", phases=ANY)
class Pend(Instruction):
    """A tile seen as pending (already complete): the initial value of a carried pending tile."""

    operand: Value = operand()

    def result(self) -> tuple[Type, ...]:
        return (PendingType(tile_type(self.operand)),)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("init", None),)  # a pending tile is linear: two equal ones stay two

    def meaning(self, operand: Array) -> Pending:
        return Pending(operand, TokenDone().meaning())


@instruction("sync", phases=FROM_LAID_OUT)
class Sync(Instruction):
    """A barrier among the lanes of `scope`: "block", "role" or "warp"; orders their accesses."""

    scope: str = attribute(default="block")
    barrier_id: int | None = attribute(default=None)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("arrive", None), Effect("wait", None))

    def meaning(self) -> None:
        """A role is one coroutine: its lanes are always together."""


@instruction("fence", phases=FROM_LAID_OUT)
class Fence(Instruction):
    """Orders earlier generic accesses before later ones of `proxy` ("async", "tensormap")."""

    proxy: str = attribute(default="async")

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("arrive", None),)

    def meaning(self) -> None:
        """The interpreter has one proxy."""


@instruction("barrier", phases=ANY)
class Barrier(Instruction):
    """`size` mbarriers, each of whose phases completes after `count` arrivals."""

    size: int = attribute()
    count: int = attribute()
    offset: int | None = attribute(default=None)

    def result(self) -> tuple[Type, ...]:
        return (BarrierType(self.size, self.count),)

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("init", None),)

    def meaning(self) -> BarrierState:
        return BarrierState(self.size, self.count)


@instruction("barrier.arrive", phases=ANY)
class Arrive(Instruction):
    """`arrivals` arrivals at barrier[slot]; `expect` more bytes complete it (0: none).

    `arrivals` counts all lanes together: 1 is one elected lane, 32 * warps every lane of the role.
    With `after` they happen when that token (of `cp_async` copies) is done, and nobody waits here.
    """

    barrier: Value = operand()
    slot: Value = operand()
    after: Value | None = operand(default=None)
    arrivals: int = attribute(default=1)
    expect: int = attribute(default=0)

    def effects(self) -> tuple[Effect, ...]:
        when: Literal["now", "token"] = "now" if self.after is None else "token"
        return (Effect("arrive", self.barrier, when=when),)

    def check(self) -> None:
        barrier = barrier_type(self.barrier)
        if not 0 < self.arrivals <= barrier.count:
            raise ShapeError(f"{self.arrivals} arrivals at a barrier of {barrier.count}")
        if self.after is not None and self.expect:
            raise TypeMismatch("bytes are expected now, not after a token", "write two arrivals")

    def meaning(self, barrier: BarrierState, slot: Array, after: Token | None) -> None:
        if after is None:
            barrier.arrive(int(slot), self.arrivals, self.expect)
        else:
            barrier.attach(int(slot), after, arrivals=self.arrivals)


@instruction("barrier.wait", phases=ANY, blocks=True)
class BarrierWait(Instruction):
    """Waits until the phase of barrier[slot] with parity `parity` has completed.

    A fresh barrier is in phase 0: waiting for parity 1 passes at once.
    """

    barrier: Value = operand()
    slot: Value = operand()
    parity: Value = operand()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("wait", self.barrier),)

    def check(self) -> None:
        barrier_type(self.barrier)

    def meaning(
        self, machine: Machine, barrier: BarrierState, slot: Array, parity: Array
    ) -> Generator[str, None, None]:
        name = self.barrier.name or "a barrier"
        while not barrier.passed(int(slot), int(parity)):
            state = barrier.describe(int(slot))
            yield f"{name}[{int(slot)}], parity {int(parity)} ({state})"


def check_number(number: int) -> None:
    """The hardware has 16 named barriers; number 0 is the barrier of the whole block."""
    if not 0 < number < 16:
        raise ResourceError(f"named barrier {number}: the numbers are 1 to 15")


@instruction("named.sync", phases=ANY, blocks=True)
class NamedSync(Instruction):
    """Arrives at named barrier `number` with this role's lanes; waits until `warps` warps have."""

    number: int = attribute()
    warps: int = attribute()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("arrive", None), Effect("wait", None))

    def check(self) -> None:
        check_number(self.number)

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

    def check(self) -> None:
        check_number(self.number)

    def meaning(self, machine: Machine) -> Generator[str, None, None]:
        machine.named_arrive(self.number, self.warps)
        yield from ()
