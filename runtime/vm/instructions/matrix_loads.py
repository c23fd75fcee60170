"""ldmatrix and stmatrix: 8×8 matrices of 16-bit elements between shared memory and registers.

Lane 8·j + r of a warp gives the address of row r of matrix j; lane l receives, of matrix j, the two
elements in row l / 4 at columns 2·(l mod 4) and the next (with `.trans`: of the transposed matrix).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.addresses import Part, bind_parts, memory_of, space_name
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions.warp import bind_members
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Address, Instruction, Vector


def _count(ins: Instruction) -> int:
    if "m8n8" not in ins.mods or ins.mods[-1] != "b16":
        raise Fault("unsupported", f"instruction {ins.name}")
    return int(next(m for m in ins.mods if m in ("x1", "x2", "x4"))[1:])


def _one_part(parts: list[Part]) -> Part:
    if len(parts) != 1 or parts[0].space != "shared":
        raise Fault("address", "a matrix row that is not in shared memory")
    return parts[0]


def _warps(mask: Array | None) -> Any:
    """The warps of a mask of whole warps, as an index."""
    return slice(None) if mask is None else np.flatnonzero(mask.reshape(-1, 32)[:, 0])


def _bind_rows(ins: Instruction, frame: Frame, address: Address, kind: str) -> Any:
    """`rows(mask)`: 16-byte units of the rows, (warps, 8 · matrices)."""
    count = _count(ins)
    parts = bind_parts(frame, address, space_name(ins))
    members = bind_members(ins, frame, None)
    used = np.arange(frame.n) % 32 < 8 * count
    checks = frame.gang.checks
    check = checks.bind_access(ins, frame, kind, 16) if checks is not None else None

    def rows(mask: Array | None) -> Array:
        members(mask)
        part = _one_part(parts(mask))
        if check is not None:
            check("shared", part.offsets, _active(used, mask, count))
        chosen: Array = part.offsets.reshape(-1, 32)[_warps(mask), : 8 * count] >> 4
        return chosen

    return rows


def _active(used: Array, mask: Array | None, count: int) -> Array | None:
    if count == 4:
        return mask
    return used if mask is None else used & mask


def _load(ins: Instruction, frame: Frame) -> Any:
    target, address = ins.operands
    assert isinstance(address, Address)
    items = target.items if isinstance(target, Vector) else (target,)
    count, transposed = _count(ins), "trans" in ins.mods
    rows = _bind_rows(ins, frame, address, "read")
    view = memory_of(frame, "shared").views[16]
    group = frame.group(items)
    together = None if group is None else group.reshape(count, -1, 32)
    registers = [frame.read(item, "b32").reshape(-1, 32) for item in items]

    def step(mask: Array | None) -> None:
        data = view[rows(mask)]
        if transposed:
            elements = data.view(np.uint16).reshape(-1, count, 8, 8)
            words = (
                np.ascontiguousarray(elements.swapaxes(2, 3)).view(np.uint32).reshape(-1, count, 32)
            )
        else:
            words = data.view(np.uint32).reshape(-1, count, 32)
        if mask is None and together is not None:
            np.copyto(together, words.transpose(1, 0, 2))
            return
        for index, row in enumerate(registers):
            row[_warps(mask)] = words[:, index]

    return step


def _store(ins: Instruction, frame: Frame) -> Any:
    address, source = ins.operands
    assert isinstance(address, Address)
    items = source.items if isinstance(source, Vector) else (source,)
    count, transposed = _count(ins), "trans" in ins.mods
    rows = _bind_rows(ins, frame, address, "write")
    view = memory_of(frame, "shared").views[16]
    registers = [frame.read(item, "b32").reshape(-1, 32) for item in items]

    def step(mask: Array | None) -> None:
        places = rows(mask)
        words = np.stack([row[_warps(mask)] for row in registers], axis=1)
        if transposed:
            elements = words.view(np.uint16).reshape(-1, count, 8, 8)
            words = np.ascontiguousarray(elements.swapaxes(2, 3)).view(np.uint32)
        view[places.ravel()] = np.ascontiguousarray(words).view(np.complex128).ravel()

    return step


def _movmatrix(ins: Instruction, frame: Frame) -> Any:
    """movmatrix.sync.aligned.m8n8.trans.b16: an 8×8 matrix transposed across the warp."""
    target, source = (frame.read(o, "b32") for o in ins.operands)
    members = bind_members(ins, frame, None)

    def step(mask: Array | None) -> None:
        members(mask)
        elements = source.copy().view(np.uint16).reshape(-1, 8, 8).swapaxes(1, 2)
        words = np.ascontiguousarray(elements).view(np.uint32).ravel()
        np.copyto(target, words, where=True if mask is None else mask)

    return step


EFFECTS = {"ldmatrix": _load, "stmatrix": _store, "movmatrix": _movmatrix}
