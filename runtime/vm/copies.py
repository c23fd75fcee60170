"""Asynchronous copies into shared memory (`cp.async`): issued, grouped by lane, completed at a
seeded moment.

A copy may complete anywhere between its issue and the wait that covers it. `off` and `early`
complete at issue, `late` at the wait, `all` tosses a coin at issue and another at every commit, so
that a missing wait shows as stale data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.timeline.operations import Operation

if TYPE_CHECKING:
    from tilewright.runtime.vm.gang import Gang


@dataclass
class Copy:
    """One issued instruction: lanes of the gang, offsets, bytes to read (`valid`, the rest is
    zero), its group.
    """

    lanes: Array
    target: Array
    source: Array
    size: int
    valid: Array | None
    group: Any
    agent: Any = None
    done: bool = False
    serial: int = 0
    operation: Operation | None = None


class Copies:
    """The copies of a gang in flight. Group counts are one number while all lanes commit together,
    else per lane.
    """

    def __init__(self, gang: Gang) -> None:
        self.gang = gang
        self.pending: list[Copy] = []
        self.arrivals: list[tuple[int, int, int, int]] = []  # lane, mbarrier, copies, time
        self.issued = 0
        self.committed: Any = 0
        mode = gang.launch.checks
        self.at_issue = {"off": 1.0, "early": 1.0, "late": 0.0, "all": 0.4}[mode]
        self.at_commit = 0.3 if mode == "all" else 0.0

    def reset(self) -> None:
        """Forgets everything (a new block)."""
        self.pending.clear()
        self.arrivals.clear()
        self.committed = 0

    def issue(self, copy: Copy) -> None:
        """A new copy; its group is the one that its lanes commit next."""
        copy.group = (
            self.committed if isinstance(self.committed, int) else self.committed[copy.lanes]
        )
        if self.gang.recorder is not None:
            copy.operation = self.gang.recorder.issue_copy(copy.lanes, copy.size)
        if self.at_issue == 1.0 or (
            self.at_issue and self.gang.launch.rng.random() < self.at_issue
        ):
            self.finish(copy)
        if self.gang.checks is not None or not copy.done:
            self.pending.append(copy)

    def finish(self, copy: Copy) -> None:
        """Moves the bytes."""
        if copy.done:
            return
        copy.done = True
        if self.gang.recorder is not None and copy.operation is not None:
            self.gang.recorder.complete(copy.operation, copy.lanes)
        source = self.gang.launch.arena.space
        move(source, self.gang.shared, copy)

    def commit(self, lanes: Array | None) -> None:
        """The lanes close their current group (None: all of the gang)."""
        if self.gang.recorder is not None:
            self.gang.recorder.commit(lanes)
        if lanes is not None and isinstance(self.committed, int):
            self.committed = np.full(self.gang.n, self.committed)
            for copy in self.pending:
                copy.group = np.full(len(copy.lanes), copy.group)
        if isinstance(self.committed, int) or lanes is None:
            self.committed += 1
        else:
            self.committed[lanes] += 1
        if self.at_commit:
            for copy in self.pending:
                if not copy.done and self.gang.launch.rng.random() < self.at_commit:
                    self.finish(copy)

    def wait(self, lanes: Array | None, allowed: int | None) -> None:
        """Completes what the lanes wait for: all but the last `allowed` groups (None:
        everything).
        """
        kept, recorder = [], self.gang.recorder
        if recorder is not None:
            recorder.wait_copies(lanes)
        for copy in self.pending:
            chosen = self._covered(copy, lanes, allowed)
            if chosen is None:
                kept.append(copy)
                continue
            if chosen is not True and not chosen.all():
                kept.append(self._part(copy, ~chosen))
                copy = self._part(copy, chosen)
            self.finish(copy)
            if recorder is not None and copy.operation is not None:
                recorder.cover(copy.operation, copy.lanes)
            if self.gang.checks is not None:
                self.gang.checks.copy_waited(copy)
        self.pending = kept
        if kept and self.gang.checks is not None:
            self.gang.checks.copies_kept(lanes, kept)

    def arrive_later(self, lane: int, place: int) -> None:
        """An arrival on an mbarrier once the lane's copies so far are complete."""
        checks = self.gang.checks
        time = checks.clocks.time if checks is not None else 0
        self.arrivals.append((lane, place, self.issued, time))
        mode = self.gang.launch.checks
        if self.at_issue == 1.0 or (mode == "all" and self.gang.launch.rng.random() < 0.2):
            self.poll(place)

    def poll(self, place: int) -> None:
        """Somebody waits for an mbarrier: the copies that arrive there complete."""
        due = [arrival for arrival in self.arrivals if arrival[1] == place]
        if not due:
            return
        self.arrivals = [arrival for arrival in self.arrivals if arrival[1] != place]
        lanes, limit = {lane for lane, *_ in due}, max(serial for _, _, serial, _ in due)
        for copy in self.pending:
            if not copy.done and copy.serial <= limit and not lanes.isdisjoint(copy.lanes.tolist()):
                self.finish(copy)
        every = np.full(self.gang.n, place)
        for part in self.gang.mbarriers.split_arrivals([lane for lane, *_ in due], every):
            if self.gang.checks is not None:
                times = [(lane, time) for lane, _, _, time in due if lane in part]
                self.gang.checks.copies_arrive(times, place)
            for _ in part:
                self.gang.mbarriers.arrive(place, 1)

    def _covered(self, copy: Copy, lanes: Array | None, allowed: int | None) -> Any:
        """Which lanes of a copy the wait covers: True (all), a mask, or None (none)."""
        if isinstance(self.committed, int) and lanes is None:
            return True if allowed is None or copy.group < self.committed - allowed else None
        committed = (
            self.committed if isinstance(self.committed, int) else self.committed[copy.lanes]
        )
        inside = np.ones(len(copy.lanes), np.bool_) if lanes is None else np.isin(copy.lanes, lanes)
        if allowed is not None:
            inside = inside & (copy.group < committed - allowed)
        return inside if inside.any() else None

    def _part(self, copy: Copy, chosen: Array) -> Copy:
        group = copy.group if isinstance(copy.group, int) else copy.group[chosen]
        valid = None if copy.valid is None else copy.valid[chosen]
        part = Copy(
            copy.lanes[chosen], copy.target[chosen], copy.source[chosen], copy.size, valid, group
        )
        part.agent, part.done, part.serial = copy.agent, copy.done, copy.serial
        part.operation = copy.operation
        return part


def move(source: Any, target: Any, copy: Copy) -> None:
    """The bytes of a copy, zero-filled beyond `valid`."""
    shift = copy.size.bit_length() - 1
    if copy.valid is None:
        target.views[copy.size][copy.target >> shift] = source.views[copy.size][
            copy.source >> shift
        ]
        return
    inside = np.arange(copy.size) < copy.valid[:, None]
    places = copy.source[:, None] + np.where(inside, np.arange(copy.size), 0)
    data = np.where(inside, source.data[np.where(inside, places, 0)], 0)
    target.data[copy.target[:, None] + np.arange(copy.size)] = data
