"""mbarriers as the interpreter sees them: arrivals, bytes, and the copies that bring them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.ir.diagnostics import InterpretError
from tilewright.ir.token import Token


@dataclass
class BarrierState:
    """Phases of an array of mbarriers, with the copies in flight that will arrive at them.

    A phase completes when `count` arrivals and all expected bytes are there. What is in flight
    lands when somebody waits for the phase, the latest moment that hardware allows.
    """

    size: int
    count: int
    arrived: list[int] = field(init=False)
    missing: list[int] = field(init=False)
    phase: list[int] = field(init=False)
    flying: list[list[tuple[Token, int, int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.arrived = [0] * self.size
        self.missing = [0] * self.size
        self.phase = [0] * self.size
        self.flying = [[] for _ in range(self.size)]

    def attach(self, slot: int, token: Token, *, size: int = 0, arrivals: int = 0) -> None:
        """When `token` lands, `size` bytes and `arrivals` arrivals reach barrier[slot]."""
        self._check_slot(slot)
        self.flying[slot].append((token, size, arrivals))

    def arrive(self, slot: int, count: int, expect: int) -> None:
        """`count` arrivals now; `expect` more bytes belong to the phase."""
        self._check_slot(slot)
        self.arrived[slot] += count
        self.missing[slot] += expect
        self._complete(slot)

    def passed(self, slot: int, parity: int) -> bool:
        """Whether the phase of parity `parity` is over; a waiter lets flying copies land."""
        self._check_slot(slot)
        if self.phase[slot] % 2 == parity:
            landing, self.flying[slot] = self.flying[slot], []
            for token, size, arrivals in landing:
                token.wait()
                self.missing[slot] -= size
                self.arrived[slot] += arrivals
            self._complete(slot)
        return self.phase[slot] % 2 != parity

    def describe(self, slot: int) -> str:
        """What the current phase still wants."""
        return f"{self.arrived[slot]} of {self.count} arrivals, {self.missing[slot]} bytes missing"

    def check_landed(self) -> None:
        """Raise if a copy is in flight: the block may not end before it has landed."""
        for slot, flying in enumerate(self.flying):
            if flying:
                raise InterpretError(f"the block ends, copies to barrier slot {slot} in flight")

    def _complete(self, slot: int) -> None:
        if self.arrived[slot] > self.count:
            raise InterpretError(f"barrier {slot}: more than {self.count} arrivals in one phase")
        if self.arrived[slot] == self.count and self.missing[slot] == 0:
            self.arrived[slot] = 0
            self.phase[slot] += 1

    def _check_slot(self, slot: int) -> None:
        if not 0 <= slot < self.size:
            raise InterpretError(f"barrier slot {slot} of {self.size}")
