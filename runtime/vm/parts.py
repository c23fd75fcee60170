"""Parts of a launch: some of its gangs, run one after another by one process, and what they found.

A part is all that the others need to know: counts, the ledger, printed lines, and the fault that
ended it. Parts are joined in the order of their blocks, so that the report does not depend on how
many there were. `Gangs` runs a part.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.vm.checks.history import Conflict, Side, find_conflicts
from tilewright.runtime.vm.checks.races import Access, Race
from tilewright.runtime.vm.checks.reporter import LIMIT
from tilewright.runtime.vm.checks.traffic import Line
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.gang import Gang
from tilewright.runtime.vm.memory import GLOBAL
from tilewright.runtime.vm.scheduler import Scheduler

if TYPE_CHECKING:
    from tilewright.runtime.vm.checks.ledger import Ledger
    from tilewright.runtime.vm.launch import Launch

Range = tuple[int, int]
"""The first block of a gang, and how many blocks it has."""


@dataclass
class Part:
    """What some gangs left behind."""

    steps: int
    issued: Counter[int]
    ledger: Ledger
    output: list[str]
    fault: Fault | None


class Gangs:
    """Runs gangs of a launch, one after another; gangs of one size share everything bound."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.made: dict[int, Scheduler] = {}

    @property
    def schedulers(self) -> list[Scheduler]:
        """One for each size of gang."""
        return list(self.made.values())

    def run(self, ranges: list[Range]) -> Fault | None:
        """Runs gangs up to the first fault, which comes back."""
        launch = self.launch
        for first, count in ranges:
            if count not in self.made:
                self.made[count] = Scheduler(Gang(launch, count))
            launch.rng = np.random.default_rng((launch.seed, first))
            try:
                with np.errstate(all="ignore"):
                    self.made[count].run(first)
            except Fault as fault:
                return fault
        return None

    def finish(self, fault: Fault | None) -> Part:
        """What these gangs found, to be sent to another process."""
        steps, issued = count_issued(self.schedulers)
        if self.launch.checks != "off":
            for scheduler in self.schedulers:
                scheduler.keep_recording()
        ledger = self.launch.ledger
        ledger.found, ledger.log.pcs, ledger.log.whats = None, [], []
        ledger.traffic.memory.clear()
        ledger.shadows.clear()
        return Part(steps, issued, ledger, self.launch.output, fault)


def split_ranges(launch: Launch, lanes: int) -> list[Range]:
    """The gangs of a launch: as many blocks together as have `lanes` lanes, at least a cluster."""
    blocks = math.prod(launch.grid)
    block_lanes = (math.prod(launch.block) + 31) // 32 * 32
    cluster = math.prod(launch.cluster)
    together = max(lanes // (block_lanes * cluster), 1) * cluster
    return [(first, min(together, blocks - first)) for first in range(0, blocks, together)]


def count_issued(schedulers: list[Scheduler]) -> tuple[int, Counter[int]]:
    """Steps, and how often warps issued each instruction."""
    issued: Counter[int] = Counter()
    for scheduler in schedulers:
        for frame in scheduler.gang.frames.values():
            for run in frame.blocks.values():
                if run.count:
                    issued.update(dict.fromkeys(range(run.start, run.start + run.size), run.count))
    return sum(scheduler.steps for scheduler in schedulers), issued


def join(gangs: Gangs, part: Part, *, is_last: bool) -> None:
    """Adds the ledger and output of a part to the launch's own, which come before it."""
    mine, theirs = gangs.launch.ledger, part.ledger
    gangs.launch.output += part.output
    if mine.history is not None and theirs.history is not None:
        for conflict in find_conflicts(mine.history, theirs.history):
            _add_conflict(mine, gangs.schedulers[0].gang, conflict)
        if not is_last:
            mine.history.append(theirs.history)
    for key, race in theirs.log.races.items():
        _add_race(mine, key, race)
    for place, notice in theirs.notices.items():
        mine.notices.setdefault(place, notice)
    for access, line in theirs.traffic.lines.items():
        _add_line(mine.traffic.lines.setdefault(access, Line(line.space, line.kind)), line)
    mine.traffic.footprint.join(theirs.traffic.footprint)
    mine.join_recordings(theirs)


def _add_line(mine: Line, theirs: Line) -> None:
    for field in fields(Line):
        if field.type in ("int", int):
            total = getattr(mine, field.name) + getattr(theirs, field.name)
            setattr(mine, field.name, total)


def _add_race(ledger: Ledger, key: tuple[int, int, str], race: Race) -> None:
    races = ledger.log.races
    if key not in races and len(races) < LIMIT:
        races[key] = race


def _add_conflict(ledger: Ledger, gang: Gang, conflict: Conflict) -> None:
    first, second = conflict.earlier, conflict.later
    missing = "a release by the first block and an acquire by the second (blocks are not ordered)"
    race = Race(
        "global", conflict.base + conflict.offset + GLOBAL,
        _access(gang, first), _access(gang, second), missing,
    )  # fmt: skip
    _add_race(ledger, (first.pc, second.pc, "w" if conflict.was_write else "r"), race)


def _access(gang: Gang, side: Side) -> Access:
    block = gang.block_index(side.block - gang.first_block)
    return Access(side.what, gang.program.place(side.pc), block, side.warp, side.lane)
