"""The register file of a gang of blocks, and frames: ranges of its lanes that code is bound to.

Every register is one contiguous row over the lanes. A *frame* is a range of whole warps; binding an
instruction to a frame resolves all its operands to slices of rows once, so that executing it is
only NumPy calls. Code is bound per frame on first use: the whole gang's frame serves ordinary
kernels, smaller frames serve warps with roles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.program import width
from tilewright.runtime.vm.records import (
    BITS,
    Immediate,
    Instruction,
    Inverted,
    Operand,
    Pair,
    Register,
    Special,
    Symbol,
    Vector,
)

if TYPE_CHECKING:
    from tilewright.runtime.vm.gang import Gang

STORAGE: dict[int, Any] = {
    1: np.bool_,
    16: np.uint16,
    32: np.uint32,
    64: np.uint64,
    128: np.complex128,
}
DTYPES: dict[str, Any] = {
    "pred": np.bool_,
    "b8": np.uint8, "u8": np.uint8, "s8": np.int8, "e4m3": np.uint8, "e5m2": np.uint8,
    "b16": np.uint16, "u16": np.uint16, "s16": np.int16, "f16": np.float16, "bf16": np.uint16,
    "e4m3x2": np.uint16, "e5m2x2": np.uint16,
    "b32": np.uint32, "u32": np.uint32, "s32": np.int32, "f32": np.float32,
    "f16x2": np.uint32, "bf16x2": np.uint32, "tf32": np.uint32,
    "u16x2": np.uint32, "s16x2": np.uint32,
    "b64": np.uint64, "u64": np.uint64, "s64": np.int64, "f64": np.float64, "f32x2": np.uint64,
    "b128": np.complex128,
}  # fmt: skip
"""NumPy type in which a PTX type is read (bf16 and packed types as bits)."""


class Frame:
    """The lanes `low` up to `high` of a gang, and everything bound to them."""

    def __init__(self, gang: Gang, low: int, high: int) -> None:
        self.gang, self.low, self.high = gang, low, high
        self.n = high - low
        self.warps = self.n // 32
        self.places: Any = slice(low // 32, high // 32)  # of the warps in the gang
        self.blocks: dict[int, Any] = {}  # bound runs of code by program counter
        self.carry: Array = gang.carry[low:high]

    # -- operands ----------------------------------------------------------------------------

    def row(self, register: Register) -> Array:
        """The storage of a register over this frame's lanes."""
        bits, index = self.gang.program.rows[register.name]
        found: Array = self.gang.files[bits][index, self.low : self.high]
        return found

    def read(self, operand: Operand, kind: str) -> Array:
        """An operand as an array over the lanes, of the type `kind`; a register's array is live."""
        if isinstance(operand, Register):
            return view_as(self.row(operand), kind, operand)
        if isinstance(operand, Immediate):
            return self.constant(immediate(operand, kind))
        if isinstance(operand, Special):
            return view_as(self.gang.special(operand.name)[self.low : self.high], kind, operand)
        if isinstance(operand, Symbol):
            rows = self.gang.symbol(operand)
            return view_as(rows[self.low : self.high], kind, operand)
        raise Fault("unsupported", f"operand {operand!r} as {kind}")

    def predicate(self, operand: Operand) -> tuple[Array, bool]:
        """A predicate operand: its row and whether it is inverted."""
        inverted = isinstance(operand, Inverted)
        inner = operand.operand if isinstance(operand, Inverted) else operand
        if isinstance(inner, Immediate):
            return self.constant(np.bool_(inner.value)), inverted
        return self.read(inner, "pred"), inverted

    def constant(self, value: Any) -> Array:
        """A row full of one NumPy scalar."""
        return self.gang.constant(value)[self.low : self.high]

    def scratch(self, dtype: Any, key: int | str = 0) -> Array:
        """A temporary row: valid until the next instruction."""
        return self.gang.scratch(dtype, key)[self.low : self.high]

    def buffer(self, key: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """A temporary of another shape: valid until the next instruction."""
        return self.gang.buffer(key, shape, dtype)

    def destinations(self, ins: Instruction) -> list[Array]:
        """The storage rows that a value instruction writes; `_` gives a temporary."""
        first = ins.operands[0]
        if isinstance(first, Vector):
            items = first.items
        else:
            items = (first.first, first.second) if isinstance(first, Pair) else (first,)
        rows = []
        for index, item in enumerate(items):
            if isinstance(item, Register):
                rows.append(self.row(item))
            else:  # the sink `_`: its width follows from the siblings
                known = next((i for i in items if isinstance(i, Register)), None)
                bits = width(known) if known and not isinstance(first, Pair) else 1 if index else 32
                rows.append(self.scratch(STORAGE[bits], f"sink{index}"))
        if "cc" in ins.mods:
            rows.append(self.carry)
        return rows

    def group(self, items: tuple[Operand, ...]) -> Array | None:
        """The rows of several registers as one 2-D slice, where they stand together."""
        places = [
            self.gang.program.rows[item.name] if isinstance(item, Register) else (0, 0)
            for item in items
        ]
        bits, first = places[0]
        if bits and places == [(bits, first + i) for i in range(len(places))]:
            found: Array = self.gang.files[bits][first : first + len(items), self.low : self.high]
            return found
        return None


def view_as(row: Array, kind: str, operand: Operand) -> Array:
    """A storage row seen as `kind`; of wider registers the low part."""
    dtype = np.dtype(DTYPES[kind])
    if row.dtype == dtype:
        return row
    if row.dtype == np.bool_ or dtype == np.bool_ or row.dtype.itemsize < dtype.itemsize:
        raise Fault("unsupported", f"{operand!r} is read as {kind}")
    ratio = row.dtype.itemsize // dtype.itemsize
    seen = row.view(dtype)
    found: Array = seen[::ratio] if ratio > 1 else seen
    return found


def immediate(operand: Immediate, kind: str) -> Any:
    """A literal as the NumPy scalar of a type."""
    dtype = np.dtype(DTYPES[kind])
    value = operand.value
    with np.errstate(all="ignore"):
        if kind in ("f32", "f64"):
            return dtype.type(value)
        if kind == "f16" and operand.is_float:
            return np.float16(value)
        if kind == "bf16" and operand.is_float:
            return np.uint16(np.float32(value).view(np.uint32) >> np.uint32(16))
        if operand.is_float:
            value = int(
                (np.float64(value) if BITS[kind] == 64 else np.float32(value)).view(
                    f"u{BITS[kind] // 8}"
                )
            )
        if kind == "pred":
            return np.bool_(value)
        raw = (int(value) & ((1 << BITS[kind]) - 1)).to_bytes(BITS[kind] // 8, "little")
        return np.frombuffer(raw, dtype)[0]
