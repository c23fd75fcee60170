"""Bulk asynchronous copies in flight: those that complete on an mbarrier and those of bulk groups.

A transfer may act anywhere between its issue and what waits for it. `off` and `early` act at issue,
`late` only when a waiter polls (or the kernel ends), `all` at seeded moments in between. Transfers
of one barrier, and of one lane's groups, act in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tilewright.runtime.vm.timeline.operations import Operation

if TYPE_CHECKING:
    from tilewright.runtime.vm.gang import Gang


@dataclass
class Transfer:
    """One copy. `read` takes the source, `write` stores it; both run once, in this order."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    barriers: tuple[tuple[int, int], ...] = ()  # (place, bytes) to complete
    lane: int = -1
    group: int = 0
    time: int = 0
    data: Any = None
    was_read: bool = False
    pc: int = 0
    was_waited: bool = False
    size: int = 0
    operations: tuple[Operation, ...] = ()

    def take(self) -> None:
        """Reads the source, if that has not happened."""
        if not self.was_read:
            self.data, self.was_read = self.read(), True


@dataclass
class Transfers:
    """The bulk transfers of a gang."""

    gang: Gang
    pending: list[Transfer] = field(default_factory=list)
    groups: dict[int, int] = field(default_factory=dict)  # committed groups by lane
    unwaited: list[Transfer] = field(default_factory=list)  # of bulk groups that nobody waited for

    def reset(self) -> None:
        """New blocks."""
        self.pending.clear()
        self.groups.clear()
        self.unwaited.clear()

    def _chance(self, share: float) -> bool:
        mode = self.gang.launch.checks
        if mode in ("off", "early"):
            return True
        return mode == "all" and bool(self.gang.launch.rng.random() < share)

    def issue(self, transfer: Transfer) -> None:
        """A new transfer."""
        if not transfer.barriers:
            transfer.group = self.groups.get(transfer.lane, 0)
            self.unwaited.append(transfer)
        self.pending.append(transfer)
        if self.gang.recorder is not None:
            transfer.operations = self.gang.recorder.issue_bulk(
                transfer.lane, transfer.group, transfer.size, transfer.barriers
            )
        if self._chance(0.3):
            self._finish_like(transfer)

    def _finish_like(self, transfer: Transfer) -> None:
        """Everything ahead of a transfer in its queue, and the transfer itself."""
        for other in list(self.pending):
            same = other.barriers == transfer.barriers and other.lane == transfer.lane
            if other is transfer or same:
                self.finish(other)
            if other is transfer:
                return

    def finish(self, transfer: Transfer) -> None:
        """Moves the data and completes the bytes."""
        self.pending.remove(transfer)
        transfer.take()
        transfer.write(transfer.data)
        recorder = self.gang.recorder
        if recorder is not None:
            for operation in transfer.operations:
                recorder.complete(operation)
        for place, count in transfer.barriers:
            if self.gang.checks is not None:
                self.gang.checks.transfer_done(place, transfer.time)
            self.gang.mbarriers.add_bytes(place, -count)

    def finish_all(self) -> None:
        """Everybody only polls: time passes until all that is in flight has arrived."""
        for transfer in list(self.pending):
            self.finish(transfer)

    def poll(self, place: int) -> None:
        """Somebody waits for a barrier: its transfers may (in `late` mode: must) act now."""
        mode = self.gang.launch.checks
        for transfer in list(self.pending):
            if any(target == place for target, _ in transfer.barriers):
                if mode != "late" and not self._chance(0.6):
                    return
                self.finish(transfer)

    # -- bulk groups -------------------------------------------------------------------------

    def commit(self, lanes: list[int]) -> None:
        """cp.async.bulk.commit_group."""
        for lane in lanes:
            self.groups[lane] = self.groups.get(lane, 0) + 1

    def wait(self, lanes: list[int], allowed: int, *, reads_only: bool) -> None:
        """cp.async.bulk.wait_group{.read}."""
        waiting, recorder = set(lanes), self.gang.recorder
        if recorder is not None:
            recorder.wait_stores(lanes)
        for transfer in list(self.unwaited):
            done = transfer.group < self.groups.get(transfer.lane, 0) - allowed
            if not done or transfer.lane not in waiting:
                continue
            transfer.take()
            if self.gang.checks is not None:
                self.gang.checks.bulk_waited(transfer.lane, transfer.time, reads_only)
            if transfer in self.pending and (not reads_only or self._chance(0.5)):
                self.finish(transfer)
            if recorder is not None and not transfer.was_waited:
                for operation in transfer.operations:
                    recorder.cover(operation)
            transfer.was_waited = True
            if not reads_only:
                self.unwaited.remove(transfer)

    def flush(self) -> None:
        """The kernel ends: whatever is in flight arrives; sources must have been waited for."""
        for transfer in self.unwaited:
            if not transfer.was_waited and self.gang.checks is not None:
                self.gang.checks.left_behind(transfer.pc)
        for transfer in list(self.pending):
            transfer.take()
            transfer.write(transfer.data)
        self.pending.clear()
