"""ld and st in every space and width."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.addresses import (
    bind_locator,
    bind_parts,
    memory_of,
    resolve_space,
    space_name,
)
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import DTYPES, Frame
from tilewright.runtime.vm.memory import GLOBAL, UNITS, Array
from tilewright.runtime.vm.records import (
    BITS,
    Address,
    Instruction,
    Operand,
    Register,
    Symbol,
    Vector,
)

_COUNTS = {"v2": 2, "v4": 4, "v8": 8}


def access_kind(ins: Instruction) -> str:
    """The element type of a load or store: its last type modifier."""
    return next(m for m in reversed(ins.mods) if m in BITS)


def _items(operand: Operand) -> tuple[Operand, ...]:
    return operand.items if isinstance(operand, Vector) else (operand,)


def _load(ins: Instruction, frame: Frame) -> Any:
    target, address = ins.operands[0], ins.operands[1]
    assert isinstance(address, Address)
    items = _items(target)
    kind = access_kind(ins)
    constant = _entry_parameter(frame, address, space_name(ins))
    if constant is not None:
        return _load_constant(frame, items, kind, constant)
    size = BITS[kind] // 8 * len(items)
    put = bind_put(frame, items, kind)
    step = _gather(ins, frame, address, size, put)
    return (
        _polling(frame, step)
        if {"volatile", "relaxed", "acquire", "mmio"} & set(ins.mods)
        else step
    )


def _polling(frame: Frame, step: Any) -> Any:
    """A load that a lane may spin on: the scheduler wants to know that it ran."""
    gang = frame.gang

    def polling(mask: Array | None) -> None:
        gang.polled = True
        step(mask)

    return polling


def _entry_parameter(frame: Frame, address: Address, space: str) -> int | None:
    """The arena offset of a by-name parameter of the entry: a constant of the launch."""
    base = address.base
    if (
        space == "param"
        and isinstance(base, Symbol)
        and base.name in frame.gang.launch.entry_params
    ):
        return frame.gang.launch.entry_params[base.name] - GLOBAL + address.offset
    return None


def _load_constant(frame: Frame, items: tuple[Operand, ...], kind: str, start: int) -> Any:
    size = BITS[kind] // 8
    data = frame.gang.launch.arena.space.data
    runs = []
    for index, item in enumerate(items):
        raw = data[start + index * size : start + (index + 1) * size].tobytes()
        value = frame.constant(np.frombuffer(raw, DTYPES[kind])[0])
        runs.append((_register_row(frame, item, kind), value))

    def step(mask: Array | None) -> None:
        for row, value in runs:
            np.copyto(row, value, casting="unsafe", where=True if mask is None else mask)

    return step


def _register_row(frame: Frame, item: Operand, kind: str) -> Array:
    """A destination register seen so that narrower loads extend by their own signedness."""
    if not isinstance(item, Register):
        return frame.scratch(DTYPES[kind], "sink")
    row = frame.row(item)
    dtype = np.dtype(DTYPES[kind])
    if row.dtype.itemsize == dtype.itemsize:
        return row.view(dtype)
    return row.view(f"{'i' if dtype.kind == 'i' else 'u'}{row.dtype.itemsize}")


def bind_put(frame: Frame, items: tuple[Operand, ...], kind: str) -> Any:
    """`put(data, mask)`: loaded units (one per active lane) into the destination registers."""
    dtype = DTYPES[kind]
    count = len(items)
    if count == 1:
        row = _register_row(frame, items[0], kind)

        def put_one(data: Array, mask: Array | None) -> None:
            if mask is None:
                np.copyto(row, data.view(dtype), casting="unsafe")
            else:
                row[mask] = data.view(dtype)

        return put_one
    group = frame.group(items)
    if group is not None and group.dtype.itemsize == np.dtype(dtype).itemsize:
        together = group.view(dtype)

        def put_group(data: Array, mask: Array | None) -> None:
            if mask is None:
                np.copyto(together, data.view(dtype).reshape(-1, count).T)
            else:
                together[:, mask] = data.view(dtype).reshape(-1, count).T

        return put_group
    rows = [_register_row(frame, item, kind) for item in items]

    def put_rows(data: Array, mask: Array | None) -> None:
        columns = data.view(dtype).reshape(-1, count)
        for index, row in enumerate(rows):
            if mask is None:
                np.copyto(row, columns[:, index], casting="unsafe")
            else:
                row[mask] = columns[:, index]

    return put_rows


def _shift(size: int) -> Any:
    return np.int64(size.bit_length() - 1)


def _gather(ins: Instruction, frame: Frame, address: Address, size: int, put: Any) -> Any:
    space = resolve_space(frame, address, space_name(ins))
    checks = frame.gang.checks
    check = checks.bind_access(ins, frame, "read", size) if checks is not None else None
    if size > 16:
        return _gather_wide(ins, frame, address, size, put)
    shift = frame.constant(_shift(size))
    if space == "generic":
        return _gather_generic(frame, bind_parts(frame, address, space), size, put, check)
    locate = bind_locator(frame, address, space)
    view = memory_of(frame, space).views[size]
    units = frame.scratch(np.int64, "units")

    def step(mask: Array | None) -> None:
        offsets = locate()
        if check is not None:
            check(space, offsets, mask)
        np.right_shift(offsets, shift, units)
        put(view[units if mask is None else units[mask]], mask)

    return _with_bounds(ins, frame, step)


def _with_bounds(ins: Instruction, frame: Frame, step: Any) -> Any:
    """Even without checks an access outside of the space is a fault, not a crash."""
    gang = frame.gang

    def bounded(mask: Array | None) -> None:
        try:
            step(mask)
        except IndexError:
            raise gang.fault(
                "out of bounds", "an access far outside of its space", ins, frame, mask
            ) from None

    return bounded


def _gather_generic(frame: Frame, parts: Any, size: int, put: Any, check: Any) -> Any:
    shift = _shift(size)

    def step(mask: Array | None) -> None:
        for part in parts(mask):
            if check is not None:
                check(part.space, part.offsets, part.mask)
            units = part.offsets >> shift
            view = part.memory.views[size]
            put(view[units if part.mask is None else units[part.mask]], part.mask)

    return step


def _gather_wide(ins: Instruction, frame: Frame, address: Address, size: int, put: Any) -> Any:
    """32-byte loads (`v8.b32`, `v4.b64`): two units of 16 bytes per lane."""
    parts = bind_parts(frame, address, space_name(ins))
    checks = frame.gang.checks
    check = checks.bind_access(ins, frame, "read", size) if checks is not None else None

    def step(mask: Array | None) -> None:
        for part in parts(mask):
            if check is not None:
                check(part.space, part.offsets, part.mask)
            units = (part.offsets if part.mask is None else part.offsets[part.mask]) >> 4
            view = part.memory.views[16]
            put(view[units[:, None] + np.arange(size // 16)].reshape(-1), part.mask)

    return step


# -- stores ------------------------------------------------------------------------------------


def bind_take(frame: Frame, items: tuple[Operand, ...], kind: str) -> Any:
    """`take(mask)`: the source registers of the active lanes as units of the whole access."""
    count = len(items)
    size = BITS[kind] // 8
    unit = UNITS[min(size * count, 16)]
    if count == 1:
        row = frame.read(items[0], kind).view(UNITS[size])
        return lambda mask: row if mask is None else row[mask]
    packed = np.empty((frame.n, count), UNITS[size])
    group = frame.group(items)
    if group is not None and group.dtype.itemsize == size:
        columns = group.view(UNITS[size]).T

        def take_group(mask: Array | None) -> Array:
            np.copyto(packed, columns)
            units = packed.view(unit)
            units = units.reshape(-1) if size * count <= 16 else units
            found: Array = units if mask is None else units[mask]
            return found

        return take_group
    rows = [frame.read(item, kind).view(UNITS[size]) for item in items]

    def take_rows(mask: Array | None) -> Array:
        for index, row in enumerate(rows):
            packed[:, index] = row
        units = packed.view(unit)
        units = units.reshape(-1) if size * count <= 16 else units
        found: Array = units if mask is None else units[mask]
        return found

    return take_rows


def _store(ins: Instruction, frame: Frame) -> Any:
    if "async" in ins.mods:
        raise Fault("unsupported", f"instruction {ins.name}")
    address, source = ins.operands[0], ins.operands[1]
    assert isinstance(address, Address)
    items, kind = _items(source), access_kind(ins)
    size = BITS[kind] // 8 * len(items)
    take = bind_take(frame, items, kind)
    space = resolve_space(frame, address, space_name(ins))
    checks = frame.gang.checks
    check = checks.bind_access(ins, frame, "write", size) if checks is not None else None
    if space == "generic" or size > 16:
        return _scatter_generic(frame, bind_parts(frame, address, space), size, take, check)
    locate = bind_locator(frame, address, space)
    view = memory_of(frame, space).views[size]
    shift, units = frame.constant(_shift(size)), frame.scratch(np.int64, "units")

    def step(mask: Array | None) -> None:
        offsets = locate()
        twice = check(space, offsets, mask) if check is not None else None
        np.right_shift(offsets, shift, units)
        places = units if mask is None else units[mask]
        view[places] = take(mask)
        if twice is not None:
            _compare(ins, frame, (view, places, take(mask)), twice, space, mask)

    return _with_bounds(ins, frame, step)


def _compare(
    ins: Instruction, frame: Frame, stored: Any, twice: Array, space: str, mask: Array | None
) -> None:
    """Lanes that wrote to one place in one step must have written one value."""
    view, places, values = stored
    lost = twice & (view[places] != values)
    if lost.any():
        loser = int(np.flatnonzero(lost)[0])
        winner = int(np.flatnonzero(places == places[loser])[-1])
        lanes = (
            np.arange(frame.low, frame.high) if mask is None else np.flatnonzero(mask) + frame.low
        )
        offset = int(places[loser]) * view.dtype.itemsize
        assert frame.gang.checks is not None
        frame.gang.checks.conflict(ins, (int(lanes[loser]), int(lanes[winner])), offset, space)


def _scatter_generic(frame: Frame, parts: Any, size: int, take: Any, check: Any) -> Any:
    unit = min(size, 16)
    shift = _shift(unit)

    def step(mask: Array | None) -> None:
        for part in parts(mask):
            if check is not None:
                check(part.space, part.offsets, part.mask)
            units = (part.offsets if part.mask is None else part.offsets[part.mask]) >> shift
            view = part.memory.views[unit]
            if size > 16:
                view[units[:, None] + np.arange(size // 16)] = take(part.mask)
            else:
                view[units] = take(part.mask)

    return step


EFFECTS = {"ld": _load, "ldu": _load, "st": _store}
