"""mbarrier objects: 8 bytes of real shared memory each, and who is ordered behind whom through
them.

The 64 bits are ours: phase (bit 63), transaction bytes (bits 40 to 62, biased), pending and
expected arrivals (20 bits each). A phase completes when nothing is pending and all announced bytes
have arrived; then the phase flips and the pending count starts anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.vm.checks.clocks import join
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.memory import Array

if TYPE_CHECKING:
    from tilewright.runtime.vm.gang import Gang

_COUNT = (1 << 20) - 1
_BIAS = 1 << 22
IDLE_POLLS = (
    20_000  # failed polls without any event in between: nobody is left to complete the phase
)


@dataclass
class Order:
    """What a barrier's arrivals of the current phase know, and what its completed phases passed
    on.
    """

    arriving: Array | None = None
    completed: Array | None = None
    slot: int = 0
    initial: tuple[int, int, int] = (0, 0, 0)  # lane, time and program counter of the init


@dataclass
class Mbarriers:
    """All mbarriers of a gang, by physical shared offset."""

    gang: Gang
    orders: dict[int, Order] = field(default_factory=dict)
    valid: set[int] = field(default_factory=set)
    idle: int = 0
    asked: dict[int, int] = field(default_factory=dict)  # parities that polls failed on
    failed: bool = False  # a poll failed since the scheduler last looked

    def reset(self) -> None:
        """New blocks: no barrier exists."""
        self.orders.clear()
        self.valid.clear()
        self.asked.clear()
        self.idle = 0

    def order(self, place: int) -> Order:
        """The clocks of a barrier; each has an agent of its own for the copies that complete
        there.
        """
        found = self.orders.get(place)
        if found is None:
            found = self.orders[place] = Order(slot=len(self.orders))
        return found

    # -- state -------------------------------------------------------------------------------

    def read(self, place: int) -> tuple[int, int, int, int]:
        """Phase, transaction bytes, pending and expected arrivals."""
        if place not in self.valid:
            raise Fault("mbarrier", "the mbarrier is not initialised")
        word = int(self.gang.shared.views[8][place >> 3])
        return (
            word >> 63,
            (word >> 40 & ((1 << 23) - 1)) - _BIAS,
            word >> 20 & _COUNT,
            word & _COUNT,
        )

    def write(self, place: int, phase: int, tx: int, pending: int, expected: int) -> None:
        """Stores the state."""
        word = phase << 63 | (tx + _BIAS) << 40 | pending << 20 | expected
        self.gang.shared.views[8][place >> 3] = np.uint64(word)

    def init(self, place: int, count: int) -> None:
        """mbarrier.init."""
        if not 1 <= count <= _COUNT:
            raise Fault("mbarrier", f"an mbarrier for {count} arrivals")
        if place in self.valid:
            _, tx, pending, expected = self.read(place)
            if tx or pending != expected:
                raise Fault("mbarrier", "the mbarrier is initialised again while in use")
        self.valid.add(place)
        self.write(place, 0, 0, count, count)
        self.event()

    def invalidate(self, place: int) -> None:
        """mbarrier.inval."""
        self.read(place)
        self.valid.discard(place)

    def event(self) -> None:
        """Something happened that may release a poller."""
        self.idle = 0
        self.gang.events += 1

    def arrive(self, place: int, count: int, *, tx: int = 0, drop: bool = False) -> int:
        """Announces `tx` bytes, then arrives `count` times; returns the phase that the arrival
        belongs to.
        """
        phase, bytes_, pending, expected = self.read(place)
        if count > pending:
            raise Fault(
                "mbarrier",
                f"{count} {'arrival' if count == 1 else 'arrivals'}, but the phase expects only "
                f"{pending} more of {expected}",
            )
        self._settle(place, phase, bytes_ + tx, pending - count, expected - (count if drop else 0))
        return phase

    def split_arrivals(self, lanes: list[int], places: Array) -> list[list[int]]:
        """Lanes that arrive together: all of them, or where that ends a phase too early for some,
        one by one.
        """
        counts = Counter(int(places[lane]) for lane in lanes)
        together = all(
            place in self.valid and self.read(place)[2] >= count for place, count in counts.items()
        )
        return [lanes] if together else [[lane] for lane in lanes]

    def add_pending(self, place: int, count: int) -> None:
        """cp.async.mbarrier.arrive without .noinc: the arrival is one more than initialised."""
        phase, tx, pending, expected = self.read(place)
        self.write(place, phase, tx, pending + count, expected)

    def add_bytes(self, place: int, tx: int) -> None:
        """expect_tx (positive) and complete_tx (negative)."""
        phase, bytes_, pending, expected = self.read(place)
        self._settle(place, phase, bytes_ + tx, pending, expected)

    def _settle(self, place: int, phase: int, tx: int, pending: int, expected: int) -> None:
        self.event()
        if not -_BIAS < tx < _BIAS:
            raise Fault("mbarrier", f"a transaction count of {tx} bytes")
        if pending == 0 and tx == 0:
            self.write(place, phase ^ 1, 0, expected, expected)
            self._pass_on(place)
        else:
            self.write(place, phase, tx, pending, expected)

    def _pass_on(self, place: int) -> None:
        if self.gang.recorder is not None:
            self.gang.recorder.phases.flip(place)
        order = self.order(place)
        if order.arriving is not None:
            order.completed, order.arriving = join(order.completed, order.arriving), None

    def passed(self, place: int, parity: int) -> bool:
        """Whether the phase of a parity has completed."""
        phase, _, _, _ = self.read(place)
        return phase != parity

    def describe_waits(self) -> list[str]:
        """The phases that pollers still wait for."""
        open_ = [(p, q) for p, q in self.asked.items() if p in self.valid and not self.passed(p, q)]
        texts = Counter(
            f"parity {parity} is awaited of the {self.describe(place)}" for place, parity in open_
        )
        return [text + (f" (in {n} blocks)" if n > 1 else "") for text, n in texts.items()]

    def describe(self, place: int) -> str:
        """The state in words."""
        phase, tx, pending, expected = self.read(place)
        segment = self.gang.segment
        missing = f"{pending} of {expected} arrivals"
        if tx < 0:
            state = f"{missing} are outstanding; {-tx} bytes more than it was told to expect came"
        else:
            state = f"{missing} and {tx} bytes are outstanding"
        return f"mbarrier at shared {place % segment:#x} in phase {phase}: {state}"
