"""mma.sp: products with a structured sparse A: half of each row is stored, and metadata says which.

A row is cut into chunks of four *units* (an element; a pair of 4-bit elements; half a tf32), of
which two are stored; four bits of metadata per chunk hold their two indices, the first in the low
bits. The stored half of A has the fragment layout of a dense product of half the depth. The
selector names the lanes of each group of four that hold the metadata:

- 16-bit elements and tf32: rows g and g + 8 in the halves of one word; lane `selector`, or at
  the larger depth a pair of lanes, one for each half of the columns.
- 8 and 4 bits: one row per word; a pair of lanes, one for each row, or at the larger depth all
  four, the upper two for the upper half of the columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions.fragments import a_places, b_places, c_places
from tilewright.runtime.vm.instructions.mma import (
    ELEMENT_BITS,
    Form,
    accumulate,
    bind_accumulator,
    bind_reader,
    bind_result,
    form_of,
    items_of,
    multiply,
)
from tilewright.runtime.vm.instructions.warp import bind_members
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Immediate, Instruction

_BY_ROW = ("f16", "bf16", "tf32")
"""Element types whose metadata words hold two rows."""


def is_sparse(ins: Instruction) -> bool:
    """Whether an `mma` has metadata."""
    return ins.mods[0].startswith("sp")


def metadata_lanes(form: Form, selector: int) -> tuple[Array, Array]:
    """Of each row and word of its metadata: the lane that holds it, and the shift in its register.

    Words have 16 bits where a register holds two rows, else 32; arrays are 16 × words.
    """
    row = np.arange(16)[:, None]
    group, upper = row % 8, row // 8
    paired = form.a in _BY_ROW
    word_bits = 16 if paired else 32
    bits = form.k * 4 // (4 if ELEMENT_BITS[form.a] in (8, 16) else 8 if form.a != "tf32" else 2)
    words = np.arange(bits // word_bits)[None, :]
    count = (1 if paired else 2) * words.size  # lanes of a group that hold metadata
    if selector * count >= 4:
        raise Fault("unsupported", f"sparsity selector {selector} of {form.a} with k = {form.k}")
    within = words if paired else upper + 2 * words
    lane = 4 * group + selector * count + within
    shift = 16 * upper + 0 * words if paired else 0 * lane
    return lane, shift


def stored_columns(form: Form, metadata: Array) -> Array | None:
    """The columns that the stored elements have, (warps, 16, k / 2); None where metadata is
    invalid.

    `metadata`: the four bits of each chunk, (warps, 16, chunks).
    """
    first, second = metadata & 3, metadata >> 2
    chunk = np.arange(metadata.shape[2])[None, None, :]
    if form.a == "tf32":
        if not ((metadata == 0b0100) | (metadata == 0b1110)).all():
            return None
        columns: Array = 2 * chunk + (first >> 1)
        return columns
    if (first >= second).any():
        return None
    units = np.stack([4 * chunk + first, 4 * chunk + second], axis=3)
    units = units.reshape(*metadata.shape[:2], -1)
    if ELEMENT_BITS[form.a] != 4:
        return units
    pairs = np.stack([2 * units, 2 * units + 1], axis=3)
    return pairs.reshape(*metadata.shape[:2], -1)


def bind_sparse(ins: Instruction, frame: Frame) -> Any:
    """The step of an `mma.sp`: d, a, b, c, metadata, selector."""
    form = form_of(ins)
    d, a, b, c = (items_of(operand) for operand in ins.operands[:4])
    bits, half, shape = ELEMENT_BITS[form.a], form.k // 2, (form.m, form.n)
    read_a = bind_reader(frame, a, a_places(form.m, half, bits), (form.m, half), form.a)
    read_b = bind_reader(frame, b, b_places(form.k, form.n, bits), (form.k, form.n), form.b)
    read_c = bind_accumulator(frame, c, c_places(*shape), shape, form.c)
    write = bind_result(frame, d, c_places(*shape), shape, form.d)
    members = bind_members(ins, frame, None)
    words = frame.read(ins.operands[4], "b32")
    selector = ins.operands[5]
    assert isinstance(selector, Immediate)
    lane, shift = metadata_lanes(form, int(selector.value))
    nibbles = 4 * np.arange(4 if form.a in _BY_ROW else 8)
    gang = frame.gang

    def step(mask: Array | None) -> None:
        members(mask)
        held = words.reshape(-1, 32)[:, lane].astype(np.int64) >> shift
        codes = (held[..., None] >> nibbles & 15).reshape(frame.warps, 16, -1)
        warps = None if mask is None else np.flatnonzero(mask.reshape(-1, 32)[:, 0])
        chosen = codes if warps is None else codes[warps]
        columns = stored_columns(form, chosen)
        if columns is None:
            raise gang.fault("metadata", "indices that no chunk can have", ins, frame, mask)
        stored = read_a() if warps is None else read_a()[warps]
        dense = np.zeros((*stored.shape[:2], form.k), stored.dtype)
        np.put_along_axis(dense, columns, stored, axis=2)
        right, addend = read_b(), read_c()
        if warps is None:
            write(accumulate(form, multiply(form, dense, right), addend), None)
            return
        total = np.zeros_like(addend)
        total[warps] = accumulate(form, multiply(form, dense, right[warps]), addend[warps])
        write(total, warps)

    return step
