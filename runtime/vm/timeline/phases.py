"""When the phases of mbarriers complete, in virtual steps."""

from __future__ import annotations


class Phases:
    """The mbarriers of a gang, by place. Phases are numbered over the whole run."""

    def __init__(self) -> None:
        self.arrived: dict[int, int] = {}  # the last arrival
        self.numbers: dict[int, int] = {}  # the current phase
        self.completed: dict[int, tuple[int, int]] = {}  # the step and number of the last one
        self.seen: dict[int, int] = {}  # the first step at which a wait saw a phase complete
        self.count = 0

    def current(self, place: int) -> int:
        """The number of the current phase."""
        found = self.numbers.get(place)
        if found is None:
            found = self.numbers[place] = self.count
            self.count += 1
        return found

    def arrive(self, place: int, moment: int) -> None:
        """Something arrives, or completes its bytes."""
        if moment > self.arrived.get(place, 0):
            self.arrived[place] = moment

    def flip(self, place: int) -> None:
        """The phase is complete: it waited for its last arrival."""
        self.completed[place] = self.arrived.get(place, 0), self.current(place)
        del self.numbers[place]

    def last(self, place: int) -> tuple[int, int]:
        """When the last phase completed, and its number."""
        return self.completed.get(place, (0, -1))

    def see(self, phase: int, moment: int) -> None:
        """A wait goes on because a phase (-1: the one before the first) is complete."""
        if phase >= 0 and moment < self.seen.get(phase, moment + 1):
            self.seen[phase] = moment
