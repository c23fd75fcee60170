"""Warp shuffles that bring each lane its registers: few steps, each with tables over the lanes.

In one step every lane sends one register and takes the one that its source lane sends. Two
schedules exist for any demand, and the cheaper one wins: *by register* gives all lanes the same
target register at once (good where many lanes want one value), *by distance* pairs lane l with the
lane l xor d, up to an order of the bits of lanes (good for transposes between lanes and registers:
every lane sends to exactly one other).
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np

from tilewright.ir.layout.places import Ints


class Shuffle(NamedTuple):
    """One step: lane l stores at `receive[l]` what `source_lane[l]` sends, its `send[…]`.

    `receive` is -1 where a lane takes nothing. A step in which every lane is its own source is a
    move between registers and needs no shuffle instruction (`is_local`).
    """

    source_lane: tuple[int, ...]
    send: tuple[int, ...]
    receive: tuple[int, ...]

    @property
    def is_local(self) -> bool:
        """Whether no lane needs another."""
        pairs = zip(self.source_lane, self.receive, strict=True)
        return all(source == lane for lane, (source, r) in enumerate(pairs) if r >= 0)


def plan_shuffles(origin: Ints, lanes: int) -> list[Shuffle]:
    """Steps for `origin[lane, register] = (source lane, source register)`, -1 for no demand."""
    count = max(lanes, len(origin))
    lane, register = np.nonzero(origin[..., 0] >= 0)
    source, sent = origin[lane, register].T
    moves = np.stack([lane, register, source, sent])
    distance = _find_distances(lane, source, count)
    by_distance = _rank_within(distance, lane, register)
    by_register = _rank_within(register, source, sent)
    schedules = [
        _make_steps(moves, np.stack([register, by_register]), count),
        _make_steps(moves, np.stack([distance, by_distance]), count),
    ]
    return min(schedules, key=lambda steps: sum(map(shuffle_cost, steps)))


SHUFFLE_COST = 4
"""A shuffle, or a wavefront of shared memory, in selects: an SM starts one per clock, or four."""


def shuffle_cost(step: Shuffle) -> int:
    """The cost of one step: the shuffle, and selects where lanes use different registers."""
    taken = [(s, r) for s, r in zip(step.source_lane, step.receive, strict=True) if r >= 0]
    sent = {step.send[source] for source, _ in taken}
    received = {register for _, register in taken}
    partial = len(taken) < len(step.receive)
    move = 0 if step.is_local else SHUFFLE_COST
    return move + len(sent) - 1 + len(received) - 1 + partial


def _find_distances(lane: Ints, source: Ints, lanes: int) -> Ints:
    """For each move the class of its step: `lane ^ permuted(source)`, in which no lane sends twice.

    Of all orders of the lane's bits, the first in which classes need the fewest steps. An
    accumulator that becomes an 8-bit operand, say, needs the two bits of a quad's lanes swapped.
    """
    best: tuple[int, Ints] | None = None
    least = int(np.bincount(lane).max(initial=0))
    bits = (lanes - 1).bit_length()
    for order in permutations(range(bits)):
        moved = sum((source >> bit & 1) << place for place, bit in enumerate(order))
        distance = np.asarray(lane ^ moved)
        steps = np.bincount(distance << bits | lane, minlength=1 << 2 * bits)
        count = int(steps.reshape(-1, 1 << bits).max(axis=1).sum())
        if best is None or count < best[0]:
            best = (count, distance)
        if best[0] == least:
            break
    return best[1] if best is not None else lane


def _rank_within(group: Ints, owner: Ints, key: Ints) -> Ints:
    """For each entry, how many smaller keys its owner has in the group: which step takes it.

    Equal keys share a step, so a value that several lanes want is sent once.
    """
    rows, back = np.unique(np.stack([group, owner, key]), axis=1, return_inverse=True)
    fresh = np.ones(rows.shape[1], dtype=bool)
    fresh[1:] = (rows[:2, 1:] != rows[:2, :-1]).any(axis=0)
    starts = np.flatnonzero(fresh)
    ranks = np.arange(rows.shape[1]) - starts[np.cumsum(fresh) - 1]
    result: Ints = ranks[back.reshape(-1)]
    return result


def _make_steps(moves: Ints, step: Ints, lanes: int) -> list[Shuffle]:
    """The tables of all steps; `step` has two rows that name the step of each move."""
    names, index = np.unique(step, axis=1, return_inverse=True)
    index = index.reshape(-1)
    lane, register, source, sent = moves
    shape = (names.shape[1], lanes)
    sources = np.tile(np.arange(lanes), (shape[0], 1))
    receive = np.full(shape, -1)
    # Lanes that send nothing do as one that does, so that tables stay uniform where they can.
    send = np.zeros(shape, dtype=np.int64)
    send[index] = sent[:, None]
    send[index, source] = sent
    sources[index, lane] = source
    receive[index, lane] = register
    rows = zip(sources.tolist(), send.tolist(), receive.tolist(), strict=True)
    return [Shuffle(tuple(a), tuple(b), tuple(c)) for a, b, c in rows]
