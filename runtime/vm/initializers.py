"""Initial values of variables: nested braces, constant expressions, addresses of variables."""

from __future__ import annotations

import struct
from typing import Any

from tilewright.runtime.vm.expressions import evaluate, starts_expression
from tilewright.runtime.vm.records import Pointer, Symbol


class Initializer:
    """Reads one initializer; `pointers` are the places that addresses fill at launch."""

    def __init__(self, cursor: Any, unit: int, element: str) -> None:
        self.cursor, self.unit, self.element = cursor, unit, element
        self.data = bytearray()
        self.pointers: list[Pointer] = []

    def read(self, extents: tuple[int, ...]) -> None:
        """A value, or braces around the values of the outermost extent (0: as many as there
        are).
        """
        cursor = self.cursor
        if not cursor.accept("{"):
            self.scalar()
            return
        start = len(self.data)
        while not cursor.accept("}"):
            self.read(extents[1:])
            cursor.accept(",")
        size = self.unit
        for extent in extents:
            size *= extent
        self.data += bytes(max(size - (len(self.data) - start), 0))

    def scalar(self) -> None:
        cursor = self.cursor
        if not starts_expression(cursor):
            self.pointer(self.unit, 0)
            return
        value = evaluate(cursor)
        if cursor.accept("("):  # a byte of an address: `0xff00(name)`
            mask = int(value.value)
            self.pointer(1, (mask & -mask).bit_length() - 1)
            cursor.expect(")")
            return
        self.data += _encode(value.value, self.unit, self.element)

    def pointer(self, size: int, shift: int) -> None:
        cursor = self.cursor
        is_generic = cursor.accept("generic")
        if is_generic:
            cursor.expect("(")
        name, offset = cursor.take().text, 0
        if is_generic:
            cursor.expect(")")
        if cursor.peek() in ("+", "-"):
            offset = int(evaluate(cursor).value)
        self.pointers.append(Pointer(len(self.data), Symbol(name, offset), size, shift))
        self.data += bytes(size)


def _encode(value: int | float, unit: int, element: str) -> bytes:
    """One element of an initializer."""
    if element == "f16" and isinstance(value, float):
        return struct.pack("<e", value)
    if isinstance(value, float) or element in ("f32", "f64"):
        return struct.pack("<d" if unit == 8 else "<f", float(value))
    return (int(value) & ((1 << (8 * unit)) - 1)).to_bytes(unit, "little")
