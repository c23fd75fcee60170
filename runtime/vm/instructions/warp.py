"""Warp-collective instructions: shfl, vote, match, redux, activemask, elect, bar.warp.sync.

A member mask that names lanes which have not arrived makes the warp wait (`Wait`): the scheduler
parks the lanes that are here until the others come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.garbage import SHUFFLES
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Immediate, Instruction, Operand, Pair, Register
from tilewright.runtime.vm.waiting import Wait

_BITS = (np.uint32(1) << np.arange(32, dtype=np.uint32)).astype(np.uint32)
FULL = np.uint32(0xFFFFFFFF)


def ballot(flags: Array) -> Array:
    """One word per warp with a bit per true lane."""
    packed: Array = (
        np.packbits(flags.reshape(-1, 32), axis=1, bitorder="little").view(np.uint32).ravel()
    )
    return packed


def bind_members(
    ins: Instruction, frame: Frame, operand: Operand | None
) -> Callable[[Array | None], Array | None]:
    """Checks the member mask; returns the active lanes (None: all of the frame).

    Without an operand (`.aligned` instructions) every live lane of the warp must be here.
    """
    gang = frame.gang
    everybody = operand is None or (
        isinstance(operand, Immediate) and int(operand.value) & 0xFFFFFFFF == 0xFFFFFFFF
    )
    row = None if operand is None or everybody else frame.read(operand, "u32")
    lanes = slice(frame.low, frame.high)
    lane_bit = _BITS[np.arange(frame.n) % 32]

    def members(mask: Array | None) -> Array | None:
        if row is not None:
            _check_members(ins, frame, row, lane_bit, mask)
        if mask is None:
            return None
        active = ballot(mask)
        alive = ballot(gang.alive[lanes])
        needed = np.repeat(alive, 32) if row is None else row & np.repeat(alive, 32)
        missing = mask & (needed & ~np.repeat(active, 32) != 0)
        if missing.any():
            raise Wait(mask & ~missing)
        return mask

    return members


def _check_members(
    ins: Instruction, frame: Frame, row: Array, lane_bit: Array, mask: Array | None
) -> None:
    """Each lane is in its own mask, and lanes that name each other give the same mask."""
    here: Array = np.ones(frame.n, np.bool_) if mask is None else mask
    alien = here & (row & lane_bit == 0)
    if alien.any():
        message = f"lanes execute {ins.name}, but their member mask does not name them"
        raise frame.gang.fault("divergence", message, ins, frame, alien)
    rows = np.where(here, row, 0).reshape(-1, 32)
    if ((rows == rows.max(axis=1, keepdims=True)) | ~here.reshape(-1, 32)).all():
        return
    named = rows[:, :, None] >> np.arange(32, dtype=np.uint32) & 1 != 0
    other = (rows[:, :, None] != rows[:, None, :]) & here.reshape(-1, 1, 32)
    split = (named & other).any(axis=2).ravel()
    if split.any():
        message = f"lanes of one {ins.name} name each other in different member masks"
        raise frame.gang.fault("divergence", message, ins, frame, split)


def _shuffle(ins: Instruction, frame: Frame) -> Any:
    """shfl.sync.{up,down,bfly,idx}.b32 d|p, a, b, c, mask."""
    target = ins.operands[0]
    first = target.first if isinstance(target, Pair) else target
    assert isinstance(first, Register)
    result = frame.row(first)
    valid = frame.read(target.second, "pred") if isinstance(target, Pair) and isinstance(
        target.second, Register) else None  # fmt: skip
    a, b, c = (
        frame.read(ins.operands[1], "b32"),
        frame.read(ins.operands[2], "u32"),
        frame.read(ins.operands[3], "u32"),
    )
    members = bind_members(ins, frame, ins.operands[4] if len(ins.operands) > 4 else None)
    find_strangers = _bind_strangers(ins, frame)
    mode = next(m for m in ins.mods if m in ("up", "down", "bfly", "idx"))
    lane = (np.arange(frame.n) % 32).astype(np.int64)
    start = np.arange(frame.n) - lane
    fixed = all(isinstance(o, Immediate) for o in ins.operands[2:4])
    memory: list[tuple[Array, Array]] = []
    garbage = np.uint32(0x01010101 * frame.gang.launch.garbage)

    def source() -> tuple[Array, Array]:
        if fixed and memory:
            return memory[0]
        found = shuffle_source(mode, lane, b.astype(np.int64) & 31, c.astype(np.int64))
        memory[:] = [found]
        return found

    def step(mask: Array | None) -> None:
        active = members(mask)
        lanes, inside = source()
        value = a[start + lanes]
        if find_strangers is not None:
            strangers = find_strangers(active, start + lanes)
            if strangers is not None:
                value[strangers] = garbage
        if active is None:
            np.copyto(result, value)
        else:
            np.copyto(result, value, where=active)
        if valid is not None:
            np.copyto(valid, inside, where=True if active is None else active)

    return step


def _bind_strangers(
    ins: Instruction, frame: Frame
) -> Callable[[Array | None, Array], Array | None] | None:
    """Finds lanes that read of a lane which takes no part: what they get is anything."""
    gang = frame.gang
    if gang.checks is None:
        return None
    ledger, program, pc = gang.launch.ledger, gang.program, gang.program.pc_of(ins)
    row = frame.read(ins.operands[4], "u32") if len(ins.operands) > 4 else frame.constant(FULL)
    is_full = bool((row == FULL).all()) and isinstance(ins.operands[-1], Immediate)

    def find(active: Array | None, sources: Array) -> Array | None:
        if active is None and is_full:
            return None
        strange: Array = (row >> (sources & 31).astype(np.uint32) & 1) == 0
        if active is not None:
            strange = (strange | ~active[sources]) & active
        if not strange.any():
            return None
        ledger.notice("uninitialised", SHUFFLES, program, pc)
        return strange

    return find


def shuffle_source(mode: str, lane: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """The source lane and the predicate, as the PTX manual's pseudo code gives them."""
    clamp, segment = c & 31, c >> 8 & 31
    low_limit = lane & segment
    limit = low_limit | (clamp & ~segment)
    if mode == "up":
        place = lane - b
        inside = place >= limit
    elif mode == "down":
        place = lane + b
        inside = place <= limit
    elif mode == "bfly":
        place = lane ^ b
        inside = place <= limit
    else:
        place = low_limit | (b & ~segment)
        inside = place <= limit
    return np.where(inside, place, lane), inside


def _vote(ins: Instruction, frame: Frame) -> Any:
    mode = next(m for m in ins.mods if m in ("all", "any", "uni", "ballot"))
    predicate, inverted = frame.predicate(ins.operands[1])
    member_row = (
        frame.read(ins.operands[2], "u32") if len(ins.operands) > 2 else frame.constant(FULL)
    )
    members = bind_members(ins, frame, ins.operands[2] if len(ins.operands) > 2 else None)
    target = ins.operands[0]
    assert isinstance(target, Register)
    result = frame.row(target)

    def step(mask: Array | None) -> None:
        active = members(mask)
        here = np.full(frame.warps, FULL) if active is None else ballot(active)
        truth = ~predicate if inverted else predicate
        yes = np.repeat(ballot(truth if active is None else truth & active), 32) & member_row
        voters = np.repeat(here, 32) & member_row
        if mode == "ballot":
            value = yes
        elif mode == "any":
            value = yes != 0
        elif mode == "all":
            value = yes == voters
        else:
            value = (yes == voters) | (yes == 0)
        np.copyto(result, value, where=True if active is None else active)

    return step


def _match(ins: Instruction, frame: Frame) -> Any:
    """match.{any,all}.sync: which lanes hold an equal value."""
    target = ins.operands[0]
    first = target.first if isinstance(target, Pair) else target
    assert isinstance(first, Register)
    result = frame.row(first)
    valid = frame.read(target.second, "pred") if isinstance(target, Pair) and isinstance(
        target.second, Register) else None  # fmt: skip
    a = frame.read(ins.operands[1], ins.mods[-1])
    member_row = frame.read(ins.operands[2], "u32")
    members = bind_members(ins, frame, ins.operands[2])
    is_all = "all" in ins.mods

    def step(mask: Array | None) -> None:
        active = members(mask)
        here = np.ones(frame.n, np.bool_) if active is None else active
        rows = a.reshape(-1, 32)
        member = (
            member_row.reshape(-1, 32)[:, :, None] >> np.arange(32, dtype=np.uint32) & 1
        ).astype(bool)
        equal = (rows[:, :, None] == rows[:, None, :]) & here.reshape(-1, 1, 32) & member
        words = (equal * _BITS).sum(axis=2, dtype=np.uint32).ravel()
        if is_all:
            agree = words == (member & here.reshape(-1, 1, 32)).dot(_BITS.astype(np.int64)).ravel()
            words = np.where(agree, words, np.uint32(0))
            if valid is not None:
                np.copyto(valid, agree, where=here)
        np.copyto(result, words, where=here)

    return step


def _redux(ins: Instruction, frame: Frame) -> Any:
    """redux.sync: the reduction of 32-bit values over the member lanes."""
    name = next(m for m in ins.mods if m in ("add", "min", "max", "and", "or", "xor"))
    kind = ins.mods[-1]
    ufunc: Any = {
        "add": np.add, "min": np.minimum, "max": np.maximum,
        "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    }[name]  # fmt: skip
    if kind == "f32" and name in ("min", "max") and "NaN" not in ins.mods:
        ufunc = np.fmin if name == "min" else np.fmax
    a = frame.read(ins.operands[1], kind)
    member_row = frame.read(ins.operands[2], "u32")
    members = bind_members(ins, frame, ins.operands[2])
    target = ins.operands[0]
    assert isinstance(target, Register)
    result = frame.row(target).view(DTYPES[kind])
    lane_bit = _BITS[np.arange(frame.n) % 32]

    def step(mask: Array | None) -> None:
        active = members(mask)
        value = a.copy()
        for word in np.unique(member_row if active is None else member_row[active]):
            mine = member_row == word if active is None else (member_row == word) & active
            counted = (lane_bit & word != 0) & (True if active is None else active)
            for warp in np.unique(np.flatnonzero(mine) // 32):
                lanes = slice(32 * warp, 32 * warp + 32)
                value[lanes][mine[lanes]] = ufunc.reduce(a[lanes][counted[lanes]], dtype=a.dtype)
        np.copyto(result, value, where=True if active is None else active)

    return step


def _activemask(ins: Instruction, frame: Frame) -> Any:
    target = ins.operands[0]
    assert isinstance(target, Register)
    result = frame.row(target)

    def step(mask: Array | None) -> None:
        if mask is None:
            result[:] = FULL
        else:
            np.copyto(result, np.repeat(ballot(mask), 32), where=mask)

    return step


def _elect(ins: Instruction, frame: Frame) -> Any:
    """elect.sync d|p, mask: the lowest member lane is the leader."""
    target = ins.operands[0]
    assert isinstance(target, Pair)
    result = (
        frame.row(target.first)
        if isinstance(target.first, Register)
        else frame.scratch(np.uint32, "sink")
    )
    leader = frame.read(target.second, "pred")
    member_row = frame.read(ins.operands[1], "u32")
    members = bind_members(ins, frame, ins.operands[1])
    lane = (np.arange(frame.n) % 32).astype(np.uint32)

    def step(mask: Array | None) -> None:
        active = members(mask)
        voters = member_row if active is None else member_row & np.repeat(ballot(active), 32)
        lowest = np.bitwise_count(
            (voters & -voters.astype(np.int64)).astype(np.uint32) - np.uint32(1)
        ).astype(np.uint32)
        where: Any = True if active is None else active
        np.copyto(result, lowest, where=where)
        np.copyto(leader, lane == lowest, where=where)

    return step


def _warp_barrier(ins: Instruction, frame: Frame) -> Any:
    """bar.warp.sync mask."""
    if ins.mods[:2] != ("warp", "sync"):
        raise Fault("unsupported", f"instruction {ins.name}")
    members = bind_members(ins, frame, ins.operands[0])
    member_row = frame.read(ins.operands[0], "u32")
    checks = frame.gang.checks

    def step(mask: Array | None) -> None:
        active = members(mask)
        if checks is not None:
            checks.warp_barrier(frame, active, member_row)

    return step


EFFECTS = {
    "shfl": _shuffle,
    "vote": _vote,
    "match": _match,
    "redux": _redux,
    "activemask": _activemask,
    "elect": _elect,
    "bar": _warp_barrier,
    "barrier": _warp_barrier,
}
