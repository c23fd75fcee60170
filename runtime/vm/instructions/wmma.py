"""wmma.load, wmma.mma and wmma.store: the matrix instructions behind CUDA C++'s `mma.h`.

The manual leaves open which lane holds which element of a fragment; programs may only rely on
equal fragments being laid out alike. Here register r of lane l holds, in the order of memory, the
elements of place 32·r + l; where a fragment has more room than elements (f16) they repeat.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.addresses import bind_parts, space_name
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions.mma import (
    ACCUMULATORS,
    ELEMENT_BITS,
    Form,
    bind_accumulator,
    bind_reader,
    bind_result,
    items_of,
    multiply_add,
    rounding_of,
)
from tilewright.runtime.vm.instructions.warp import bind_members
from tilewright.runtime.vm.memory import UNITS, Array
from tilewright.runtime.vm.records import Address, Instruction, Operand

Places = tuple[Array, Array]
_LAYOUTS = ("row", "col")


def shape_of(ins: Instruction) -> tuple[int, int, int]:
    """Rows, columns and depth, from a modifier such as `m16n16k16`."""
    shape = next(m for m in ins.mods if m[0] == "m" and "n" in m and "k" in m)
    m, rest = shape[1:].split("n")
    n, k = rest.split("k")
    return int(m), int(n), int(k)


def types_of(ins: Instruction) -> list[str]:
    """The element types that an instruction names."""
    return [mod for mod in ins.mods if mod in ELEMENT_BITS or mod in ACCUMULATORS]


def form_of(ins: Instruction) -> Form:
    """Shape and types of a `wmma.mma`: with two types only, A and B are f16."""
    m, n, k = shape_of(ins)
    types = types_of(ins)
    d, a, b, c = (types[0], "f16", "f16", types[1]) if len(types) == 2 else types
    operation = next((mod for mod in ins.mods if mod in ("xor", "and")), "")
    saturates, mode = "satfinite" in ins.mods, rounding_of(ins)
    return Form(m, n, k, d, a, b, c, saturates, operation, mode=mode)


def _per_register(kind: str, *, accumulates: bool) -> int:
    if accumulates:
        return ACCUMULATORS[kind][1]
    return max(32 // ELEMENT_BITS[kind], 1)


def fragment_places(extents: tuple[int, int], layout: str, registers: int, per: int) -> Places:
    """Rows and columns, arrays (32 lanes, elements per lane), of a matrix with these extents."""
    rows, columns = extents
    register, within = np.divmod(np.arange(registers * per)[None, :], per)
    place = ((register * 32 + np.arange(32)[:, None]) * per + within) % (rows * columns)
    if layout == "row":
        return place // columns, place % columns
    return place % rows, place // rows


def _extents(role: str, shape: tuple[int, int, int]) -> tuple[int, int]:
    m, n, k = shape
    return {"a": (m, k), "b": (k, n)}.get(role, (m, n))


# -- memory --------------------------------------------------------------------------------------


class _Transfer:
    """What load and store share: the registers, and where their elements stand in memory.

    Of each access of a lane (lanes × accesses): `starts`, the byte within its line, and `lines`,
    the number of its line times the bits of an element.
    """

    def __init__(self, ins: Instruction, frame: Frame, address: Operand, data: Operand) -> None:
        assert isinstance(address, Address)
        self.frame = frame
        self.role = ins.mods[1]
        layout = next(m for m in ins.mods if m in _LAYOUTS)
        kind, shape = types_of(ins)[-1], shape_of(ins)
        self.items = items_of(data)
        accumulates = self.role in ("c", "d")
        per = _per_register(kind, accumulates=accumulates)
        bits = ACCUMULATORS[kind][0] // per if accumulates else ELEMENT_BITS[kind]
        extents = _extents(self.role, shape)
        order = "row" if accumulates else layout
        places = fragment_places(extents, order, len(self.items), per)
        slow, fast = places if layout == "row" else places[::-1]
        step = 1 if order != layout else per  # elements of one access
        self.size = step * bits // 8
        self.word = per * bits // 8
        self.starts = fast[:, ::step] * bits // 8
        self.lines = slow[:, ::step] * bits
        self.stride = self._bind_stride(ins, extents[1] if layout == "row" else extents[0])
        self.parts = bind_parts(frame, address, space_name(ins))
        self.members = bind_members(ins, frame, None)
        checks = frame.gang.checks
        verb = "write" if self.role == "d" else "read"
        self.check = checks.bind_access(ins, frame, verb, self.size) if checks is not None else None

    def _bind_stride(self, ins: Instruction, default: int) -> Array:
        if len(ins.operands) > 2:
            return self.frame.read(ins.operands[2], "u32")
        return self.frame.constant(np.uint32(default))

    def rows(self) -> list[Array]:
        """The registers, as rows of accesses: (accesses of a lane, lanes)."""
        unit = UNITS[self.size]
        files = [self.frame.read(item, f"b{8 * max(self.word, 4)}") for item in self.items]
        per = self.word // self.size
        return [row.view(unit)[part::per] for row in files for part in range(per)]

    def accesses(self, mask: Array | None) -> Any:
        """For each access of a lane: the view of memory, its unit indices, and the mask."""
        self.members(mask)
        warps = self.frame.warps
        stride = self.stride.astype(np.int64)
        for part in self.parts(mask):
            view = part.memory.views[self.size]
            for access in range(self.starts.shape[1]):
                start = np.tile(self.starts[:, access], warps)
                line = np.tile(self.lines[:, access], warps) * stride // 8
                offsets = part.offsets + start + line
                if self.check is not None:
                    self.check(part.space, offsets, part.mask)
                yield access, view, offsets // self.size, part.mask


def _load(ins: Instruction, frame: Frame) -> Any:
    transfer = _Transfer(ins, frame, ins.operands[1], ins.operands[0])
    rows = transfer.rows()

    def step(mask: Array | None) -> None:
        for access, view, units, lanes in transfer.accesses(mask):
            if lanes is None:
                np.copyto(rows[access], view[units])
            else:
                rows[access][lanes] = view[units[lanes]]

    return step


def _store(ins: Instruction, frame: Frame) -> Any:
    transfer = _Transfer(ins, frame, ins.operands[0], ins.operands[1])
    rows = transfer.rows()

    def step(mask: Array | None) -> None:
        for access, view, units, lanes in transfer.accesses(mask):
            chosen: Any = slice(None) if lanes is None else lanes
            view[units[chosen]] = rows[access][chosen]

    return step


# -- products ------------------------------------------------------------------------------------


def _multiply(ins: Instruction, frame: Frame) -> Any:
    form = form_of(ins)
    layouts = [mod for mod in ins.mods if mod in _LAYOUTS]
    d, a, b, c = (items_of(operand) for operand in ins.operands[:4])

    def read(items: tuple[Operand, ...], kind: str, extents: tuple[int, int], layout: str) -> Any:
        per = _per_register(kind, accumulates=False)
        places = fragment_places(extents, layout, len(items), per)
        return bind_reader(frame, items, places, extents, kind)

    def places(items: tuple[Operand, ...], kind: str) -> Places:
        per = _per_register(kind, accumulates=True)
        return fragment_places((form.m, form.n), "row", len(items), per)

    read_a = read(a, form.a, (form.m, form.k), layouts[0])
    read_b = read(b, form.b, (form.k, form.n), layouts[1])
    read_c = bind_accumulator(frame, c, places(c, form.c), (form.m, form.n), form.c)
    write = bind_result(frame, d, places(d, form.d), (form.m, form.n), form.d)
    members = bind_members(ins, frame, None)

    def step(mask: Array | None) -> None:
        members(mask)
        warps = None if mask is None else np.flatnonzero(mask.reshape(-1, 32)[:, 0])
        write(multiply_add(form, read_a(), read_b(), read_c()), warps)

    return step


def _bind(ins: Instruction, frame: Frame) -> Any:
    binder = {"load": _load, "store": _store, "mma": _multiply}.get(ins.mods[0])
    if binder is None:
        raise Fault("unsupported", f"instruction {ins.name}")
    return binder(ins, frame)


EFFECTS = {"wmma": _bind}
