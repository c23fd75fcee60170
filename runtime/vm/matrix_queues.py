"""wgmma work in flight: per warpgroup, in order, done between its issue and the wait that covers
its group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.vm.timeline.recorder import Recorder

if TYPE_CHECKING:
    from tilewright.runtime.vm.checks.products import Held
    from tilewright.runtime.vm.frame import Frame
    from tilewright.runtime.vm.gang import Gang
    from tilewright.runtime.vm.memory import Array


@dataclass
class Queue:
    """One warpgroup's work in flight: (group, action, time of issue, registers)."""

    pending: list[tuple[int, Callable[[], None], int, Held]] = field(default_factory=list)
    group: int = 0


class MatrixQueues:
    """The warpgroups of a gang."""

    def __init__(self, gang: Gang) -> None:
        self.gang = gang
        self.queues: dict[int, Queue] = {}
        self.in_flight = False  # whether anything may be
        self.fenced: set[int] = set()  # warpgroups that changed no operand since their wgmma.fence

    def reset(self) -> None:
        """New blocks."""
        self.queues.clear()
        self.in_flight = False
        self.fenced.clear()

    def fence(self, leader: int) -> None:
        """wgmma.fence."""
        self.fenced.add(leader)

    def change(self, frame: Frame, mask: Array | None) -> None:
        """Lanes write registers of products."""
        warps = np.arange(frame.warps) if mask is None else np.unique(np.flatnonzero(mask) // 32)
        warps = warps + frame.low // 32
        within = warps % (self.gang.block_lanes // 32)
        self.fenced.difference_update((warps - within % 4).tolist())

    def issue(self, leader: int, action: Callable[[], None], time: int, held: Held) -> None:
        """Work of the warpgroup whose first warp is `leader`."""
        queue = self.queues.setdefault(leader, Queue())
        if self.gang.recorder is not None:
            action = _recorded(self.gang.recorder, leader, queue.group, action)
        queue.pending.append((queue.group, action, time, held))
        self.in_flight = True
        mode, rng = self.gang.launch.checks, self.gang.launch.rng
        if mode in ("off", "early") or (mode == "all" and rng.random() < 0.3):
            self._run(queue, queue.group + 1)

    def _run(self, queue: Queue, limit: int) -> int:
        """Does the work of all groups below `limit`; the time of the last."""
        time = 0
        for index, (group, action, issued, held) in enumerate(queue.pending):
            if group < limit:
                action()
                queue.pending[index] = (group, _nothing, issued, held)
                time = issued
        return time

    def commit(self, leader: int) -> None:
        """wgmma.commit_group."""
        self.queues.setdefault(leader, Queue()).group += 1

    def finish_users(self, uses: Held, frame: Frame, mask: Array | None) -> set[str]:
        """Does the work in flight of some lanes whose registers are about to be used; which."""
        early: set[str] = set()
        for leader, queue in self.queues.items():
            low = leader * 32 - frame.low
            if not 0 <= low < frame.n or (mask is not None and not mask[low : low + 128].any()):
                continue
            for group, _, _, held in queue.pending:
                found = (uses.results & held.results) | (uses.sources & held.sources)
                if found:
                    early |= found
                    self._run(queue, group + 1)
        return early

    def wait(self, leader: int, allowed: int) -> None:
        """wgmma.wait_group."""
        queue = self.queues.setdefault(leader, Queue())
        limit = queue.group - allowed
        if self.gang.recorder is not None:
            self.gang.recorder.wait_products(leader, limit)
        time = self._run(queue, limit)
        queue.pending = [entry for entry in queue.pending if entry[0] >= limit]
        self.in_flight = any(other.pending for other in self.queues.values())
        if time and self.gang.checks is not None:
            self.gang.checks.matrix_waited(np.arange(leader, leader + 4), leader, time)


def _recorded(
    recorder: Recorder, leader: int, group: int, action: Callable[[], None]
) -> Callable[[], None]:
    """The work, telling the timeline when it is done."""
    operation = recorder.issue_product(leader, group)

    def act() -> None:
        action()
        recorder.complete(operation)

    return act


def _nothing() -> None:
    """Work that is done already."""
