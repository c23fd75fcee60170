"""What all gangs of a launch write to, and what its report is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.history import History
from tilewright.runtime.vm.checks.races import Notice
from tilewright.runtime.vm.checks.registers import Suspects, find_suspects
from tilewright.runtime.vm.checks.reporter import Log
from tilewright.runtime.vm.checks.shadow import Region
from tilewright.runtime.vm.checks.traffic import Traffic
from tilewright.runtime.vm.memory import GLOBAL, Array
from tilewright.runtime.vm.program import Program
from tilewright.runtime.vm.timeline.counting import WaitCounts
from tilewright.runtime.vm.timeline.recorder import MOST_RUNS, Recorder
from tilewright.runtime.vm.timeline.recording import Recording, keep


class Ledger:
    """The log of accesses, the counters, the shadows of global memory, races and notices."""

    def __init__(self) -> None:
        self.log = Log()
        self.traffic = Traffic()
        self.next_agent = 1
        self.released: dict[tuple[str, int], int] = {}  # the last release at a place, by time
        self.earlier: dict[tuple[str, int], int] = {}  # the same for gangs that have ended
        self.shadows: dict[int, Region] = {}
        self.found: Suspects | None = None
        self.history: History | None = None  # kept where other processes run other blocks
        self.notices: dict[tuple[str, int], Notice] = {}
        self.recordings: list[Recording] = []
        self.recorded = 0  # runs of code in them
        self.waits = WaitCounts()

    def suspects(self, program: Program) -> Suspects:
        """The registers of the launch's program that need watching."""
        if self.found is None:
            self.found = find_suspects(program)
        return self.found

    def regions(self, gang: Any, offsets: Array, size: int) -> list[tuple[Region, Array | None]]:
        """The shadow regions of global offsets (nearly always one)."""
        arena = gang.launch.arena
        low, high = int(np.minimum.reduce(offsets)), int(np.maximum.reduce(offsets))
        found = arena.holds(low, high + size)
        if found is not None:
            return [(self._region(found.address - GLOBAL, found.name, found.size), None)]
        index = np.searchsorted(np.array(arena.starts), offsets, side="right") - 1
        result: list[tuple[Region, Array | None]] = []
        for number in np.unique(index):
            allocation = arena.allocations[int(number)]
            region = self._region(allocation.address - GLOBAL, allocation.name, allocation.size)
            result.append((region, index == number))
        return result

    def _region(self, base: int, name: str, size: int) -> Region:
        region = self.shadows.get(base)
        if region is None:
            region = self.shadows[base] = Region(name, base, size, 0)
        return region

    def keep(self, recorder: Recorder) -> None:
        """Counts what a gang's recorder saw, and keeps it for the timeline while there is room."""
        recording = keep(recorder)
        self.waits.add(recording)
        self.recorded += len(recording.sizes)
        if self.recorded <= MOST_RUNS or not self.recordings:
            self.recordings.append(recording)
        recorder.start()

    def join_recordings(self, later: Ledger) -> None:
        """Adds what the gangs of another process waited for and recorded."""
        for key, tally in later.waits.tallies.items():
            self.waits.merge(key, tally)
        for recording in later.recordings:
            self.recorded += len(recording.sizes)
            if self.recorded <= MOST_RUNS or not self.recordings:
                self.recordings.append(recording)

    def notice(self, kind: str, message: str, program: Any, pc: int) -> None:
        """A warning, once per instruction."""
        if (kind, pc) not in self.notices:
            self.notices[kind, pc] = Notice(kind, message, program.place(pc))
