"""Happens-before: what each warp, and where it differs each lane, knows of every agent.

Time is one counter that every checked access of the gang advances. A *clock* is a row of times, one
per column: up to when the accesses of that column's agent are known. The agents are, for each warp,
all of its lanes, their `cp.async` copies, their bulk-group copies (reads and writes) and its wgmma
reads; then one per mbarrier (copies that complete there); then, made when needed, one per single
lane that released something without the rest of its warp.

`known[0, w]` is what all lanes of warp `w` know; `extra[l]` is what lane `l` knows besides, since
it waited or acquired alone. With an async proxy there is a second plane: what the proxy may see
(`known[1, w]`), which travels with the first.

`own[kind, l]` is the time up to which lane `l` has waited for its own asynchronous work, `issued`
when it last issued some: a wait orders the waiting lane only, the next barrier publishes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.runtime.vm.memory import Array

LANES, COPIES, BULK, STORES, MATRIX = range(5)
KINDS = 5
MBARRIERS = 256
WAITED = (COPIES, BULK, STORES)
ORDER, SHOWN = 0, 1  # the planes of a clock


def join(before: Array | None, clock: Array) -> Array:
    """The later of two clocks, column by column; an older clock may have fewer columns."""
    if before is None:
        return clock
    if before.shape[-1] < clock.shape[-1]:
        before, clock = clock, before
    found: Array = before.copy()
    part = found[..., : clock.shape[-1]]
    np.maximum(part, clock, out=part)
    return found


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of a warp at some time: what it knew, and which of its asynchronous work (by kind
    and lane) it had used and waited for.
    """

    warp: int
    time: int
    known: Array
    extra: dict[int, Array]
    waited: Array
    used: Array


class Clocks:
    """The knowledge of a gang."""

    def __init__(self, blocks: int, warps: int, *, proxies: bool = False) -> None:
        self.blocks, self.per_block = blocks, warps
        self.warps = blocks * warps
        self.agents = KINDS * self.warps + MBARRIERS
        self.past = self.agents  # the column of all earlier gangs
        self.nobody = self.agents + 1  # a column that is always 0
        self.proxies = proxies
        self.known: Array = np.zeros((1 + proxies, self.warps, self.agents + 2), np.int64)
        self.columns: Array = np.full((KINDS, self.warps * 32), self.nobody)
        self.singles = 0
        self.extra: dict[int, Array] = {}
        self.own: Array = np.zeros((KINDS, self.warps * 32), np.int64)
        self.issued: Array = np.zeros_like(self.own)
        self.floors: Array = np.zeros(blocks, np.int64)
        self.floor = 0
        self.time = 1

    def start(self) -> None:
        """A new gang: nobody knows anybody's accesses so far."""
        self.known[:] = 0
        self.own[:] = 0
        self.issued[:] = 0
        self.floors[:] = 0
        self.floor = 0
        self.extra.clear()
        self.columns[:] = self.nobody
        self.singles = 0

    # -- columns -----------------------------------------------------------------------------

    def agent(self, kind: int, warp: int) -> int:
        """The number of a warp's agent."""
        return kind * self.warps + warp

    def mbarrier_agent(self, slot: int) -> int:
        """The agent of the copies that complete on an mbarrier (slots beyond the last share
        one).
        """
        return KINDS * self.warps + min(slot, MBARRIERS - 1)

    def column(self, kind: int, lane: int) -> int:
        """The column of one lane's accesses, made where there is none."""
        found = int(self.columns[kind, lane])
        if found == self.nobody:
            found = self.nobody + 1 + self.singles
            self.singles += 1
            self.columns[kind, lane] = found
            missing = found + 1 - self.known.shape[2]
            if missing > 0:
                more = np.zeros((*self.known.shape[:2], max(missing, 32)), np.int64)
                self.known = np.concatenate([self.known, more], axis=2)
        return found

    # -- what somebody knows -----------------------------------------------------------------

    def knows(
        self, warps: Array, lanes: Array, agents: Array, owners: Array, times: Array,
        plane: int = ORDER,
    ) -> Array:  # fmt: skip
        """Whether lanes know accesses: `agents` made them, there the lane `owners` (32: any) of the
        warp, up to `times`.
        """
        rows = self.known[plane]
        result: Array = times <= rows[warps, agents]
        if not (self.singles or self.extra) or result.all():
            return result
        kinds, makers = np.divmod(agents, self.warps)
        single = (kinds < KINDS) & (owners < 32)
        places = self.columns[np.minimum(kinds, KINDS - 1), makers * 32 + np.minimum(owners, 31)]
        columns = np.where(single, places, self.nobody)
        result |= times <= rows[warps, columns]
        if self.extra:
            self._ask_lanes(result, warps * 32 + lanes, (agents, columns, times), plane)
        return result

    def _ask_lanes(
        self, result: Array, lanes: Array, at: tuple[Array, Array, Array], plane: int
    ) -> None:
        """Adds what single lanes know besides their warps."""
        agents, columns, times = at
        for index in np.flatnonzero(~result).tolist():
            clock = self.extra.get(int(lanes[index]))
            if clock is not None:
                row = clock[plane]
                column = int(columns[index])
                known = int(row[agents[index]])
                if column < len(row):
                    known = max(known, int(row[column]))
                result[index] = times[index] <= known

    def knows_readers(
        self, warps: Array, lanes: Array, at: tuple[int, Array], masks: Array, times: Array
    ) -> Array:
        """Whether lanes know the reads of all lanes in `masks` of the warps of `at` (kind,
        warps).
        """
        kind, makers = at
        agents = kind * self.warps + makers
        result = self.knows(warps, lanes, agents, np.full_like(warps, 32), times)
        if result.all():
            return result
        bad = np.flatnonzero(~result)
        bits = np.arange(32)
        each = [np.repeat(x[bad], 32) for x in (warps, lanes, agents, times)]
        owners = np.tile(bits, len(bad))
        one_by_one = self.knows(each[0], each[1], each[2], owners, each[3]).reshape(-1, 32)
        mine = (makers[bad] == warps[bad])[:, None] & (bits == lanes[bad][:, None])
        if kind != LANES:
            waited = times[bad] <= self.own[kind, warps[bad] * 32 + lanes[bad]]
            mine &= waited[:, None]
        outside = masks[bad][:, None] >> bits & 1 == 0
        result[bad] = (one_by_one | mine | outside).all(axis=1)
        return result

    # -- joining -----------------------------------------------------------------------------

    def snapshot(self, warps: Array) -> Array:
        """What whole warps would pass on now, together: their lanes' accesses and finished work."""
        finished = self._publish_finished(warps)
        rows = self.known[:, warps]
        every = np.arange(len(warps))
        rows[ORDER, every, warps] = self.time
        for kind, times in finished:
            columns = kind * self.warps + warps
            rows[ORDER, every, columns] = np.maximum(rows[ORDER, every, columns], times[warps])
        found: Array = rows.max(axis=1)
        if self.extra:
            chosen = set(warps.tolist())
            for lane, clock in self.extra.items():
                if lane // 32 in chosen:
                    found = join(found, clock)
        return found

    def moment(self, warp: int) -> Moment:
        """What the lanes of a warp know and have done by now, to be passed on later."""
        lanes = slice(warp * 32, warp * 32 + 32)
        extra = {k: v for k, v in self.extra.items() if k // 32 == warp}
        waited = np.where(self.issued[:, lanes] > self.own[:, lanes], self.own[:, lanes], self.time)
        used = self.issued[:, lanes] > 0
        return Moment(warp, self.time, self.known[:, warp].copy(), extra, waited, used)

    def pass_on(self, at: Moment, lanes: list[int] | None) -> Array:
        """What lanes (0 to 31; None: all) of a warp pass on together, as of a moment."""
        clock = at.known.copy()
        places: list[tuple[int, int]] = []  # column, time
        if lanes is None:
            places = [(at.warp, at.time)]
            times = at.waited.min(axis=1).tolist()
            places += [(self.agent(kind, at.warp), times[kind]) for kind in WAITED]
        else:
            first = at.warp * 32
            places = [(self.column(LANES, first + lane), at.time) for lane in lanes]
            for kind in WAITED:
                for lane in lanes:
                    if at.used[kind, lane]:
                        column = self.column(kind, first + lane)
                        places.append((column, int(at.waited[kind, lane])))
        width = max(column for column, _ in places) + 1
        if width > clock.shape[1]:
            clock = join(np.zeros((len(clock), width), np.int64), clock)
        for column, time in places:
            clock[ORDER, column] = max(clock[ORDER, column], time)
        for lane, more in at.extra.items():
            if lanes is None or lane % 32 in lanes:
                clock = join(clock, more)
        return clock

    def _publish_finished(self, warps: Array) -> list[tuple[int, Array]]:
        """By kind, up to when each warp's asynchronous work is waited for by all lanes that issued
        it; what some lanes have waited for beyond that, the warps know by lane.
        """
        found = []
        for kind in WAITED:
            issued = self.issued[kind].reshape(-1, 32)
            if not issued.any():
                continue
            own = self.own[kind].reshape(-1, 32)
            times = np.where(issued > own, own, self.time)
            low = times.min(axis=1)
            ahead = (issued > 0) & (times > low[:, None])
            if ahead.any():
                for warp in warps[ahead[warps].any(axis=1)].tolist():
                    for lane in np.flatnonzero(ahead[warp]).tolist():
                        column = self.column(kind, warp * 32 + lane)
                        self.known[ORDER, warp, column] = times[warp, lane]
            found.append((kind, low))
        return found

    def learn(self, warps: Array, clock: Array) -> None:
        """All lanes of the warps know what the clock tells."""
        part = self.known[:, warps, : clock.shape[-1]]
        self.known[:, warps, : clock.shape[-1]] = np.maximum(part, clock[:, None])

    def learn_lane(self, lane: int, clock: Array) -> None:
        """One lane knows what the clock tells."""
        self.extra[lane] = join(self.extra.get(lane), clock)

    def meet(self, warps: Array) -> None:
        """All lanes of each warp learn from each other."""
        for warp in warps.tolist():
            alone = np.array([warp])
            self.learn(alone, self.snapshot(alone))
        self.forget_lanes(warps)

    def meet_lanes(self, warp: int, lanes: list[int]) -> None:
        """Some lanes (0 to 31) of a warp learn from each other."""
        clock = self.pass_on(self.moment(warp), lanes)
        for lane in lanes:
            self.learn_lane(warp * 32 + lane, clock)

    def forget_lanes(self, warps: Array) -> None:
        """What single lanes knew besides is now known to their whole warps."""
        if self.extra:
            chosen = set(warps.tolist())
            self.extra = {k: v for k, v in self.extra.items() if k // 32 not in chosen}

    def barrier(self, arriving: Array, waiting: Array, before: Array | None = None) -> None:
        """All warps in `waiting` learn what the warps in `arriving` know, and the clock `before` of
        those that arrived earlier.
        """
        clock = self.snapshot(arriving) if len(arriving) else before
        assert clock is not None
        self.learn(waiting, join(before, clock))
        self.forget_lanes(waiting)
        self.time += 1
        if before is None:
            self._raise_floor(arriving, waiting)

    def barrier_everywhere(self) -> None:
        """Every block's warps meet at their block's barrier."""
        everybody = np.arange(self.warps)
        finished = self._publish_finished(everybody)
        rows = self.known[ORDER]
        rows[everybody, everybody] = self.time
        for kind, times in finished:
            columns = kind * self.warps + everybody
            rows[everybody, columns] = np.maximum(rows[everybody, columns], times)
        for lane, clock in self.extra.items():
            self.learn(np.array([lane // 32]), clock)
        self.extra.clear()
        cube = self.known.reshape(len(self.known), self.blocks, self.per_block, -1)
        cube[:] = cube.max(axis=2)[:, :, None]
        self.floors[:] = self.time
        self.floor = self.time
        self.time += 1

    def _raise_floor(self, arriving: Array, waiting: Array) -> None:
        """Where a whole block met, everything before is ordered for all of it (except work in
        flight).
        """
        blocks = waiting // self.per_block
        if (
            len(waiting) == self.per_block
            and np.array_equal(arriving, waiting)
            and (blocks == blocks[0]).all()
        ):
            self.floors[arriving[0] // self.per_block] = self.time - 1
            self.floor = int(self.floors.min())

    def show(self, warp: int, lanes: list[int] | None) -> None:
        """fence.proxy.async: what the lanes know becomes visible to the async proxy."""
        clock = self.pass_on(self.moment(warp), lanes)
        if self.proxies:
            clock[SHOWN] = np.maximum(clock[SHOWN], clock[ORDER])
            clock[ORDER] = 0
            if lanes is None:
                self.learn(np.array([warp]), clock)
            else:
                for lane in lanes:
                    self.learn_lane(warp * 32 + lane, clock)
        self.time += 1

    def issue(self, kind: int, lanes: Array) -> None:
        """Lanes issue asynchronous work now; who had none in flight has finished all before."""
        own, issued = self.own[kind, lanes], self.issued[kind, lanes]
        self.own[kind, lanes] = np.where(issued <= own, self.time - 1, own)
        self.issued[kind, lanes] = self.time

    def wait(self, kind: int, lanes: Array, times: Array | int) -> None:
        """Lanes waited for their own asynchronous work up to the given times."""
        self.own[kind, lanes] = np.maximum(self.own[kind, lanes], times)
