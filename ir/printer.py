"""Kernels as text. The printer knows field kinds, not instructions; `ir.parser` is its inverse.

    layout #0 = ...
    kernel @scale(%x: tensor<f32, strides=[1], extents=[any]>, %n: i32), phase=tile {
      %s: f32 = const value=2.0, dtype=f32
      for_tiles [%n] (%i: i32) {
        %v: tile<128xf32> = load %x, [%i], shape=[128]
        ...
      }
    }

Operands stand in field order, a tuple of them in brackets; optional operands and attributes are
written `name=value` and left out at their default. Values carry the user's names, made unique.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, assert_never

from tilewright.ir.instruction import Body, FieldSpec, Instruction
from tilewright.ir.kernel import Kernel
from tilewright.ir.layout import Layout
from tilewright.ir.types import DType
from tilewright.ir.values import (
    BarrierType,
    BufferType,
    PendingType,
    ScalarType,
    TensorType,
    TileType,
    TokenType,
    Type,
    Value,
)


def print_kernel(kernel: Kernel, *, names: bool = True, places: bool = False) -> str:
    """The text of `kernel`; `names=False` numbers all values, `places` adds source lines."""
    state = _Printer(keep_names=names, places=places)
    params = ", ".join(state.define(p) for p in kernel.params)
    head = f"kernel @{kernel.name}({params}), phase={kernel.phase}"
    for name in ("target", "warps", "shared_bytes"):
        if getattr(kernel, name) is not None:
            head += f", {name}={getattr(kernel, name)}"
    lines = [head + " {", *state.body(kernel.body, "  "), "}"]
    layouts = [f"layout #{i} = {layout}" for layout, i in state.layouts.items()]
    return "\n".join((*layouts, *lines)) + "\n"


def same_kernel(left: Kernel, right: Kernel) -> bool:
    """Equality up to the names of values and source places."""
    return print_kernel(left, names=False) == print_kernel(right, names=False)


def print_type(kind: Type) -> str:
    """The text of a type outside of a kernel; a layout is written in place."""
    return _Printer(inline_layouts=True).type(kind)


class InstructionPrinter:
    """Prints instructions one by one, without bodies; names and layouts keep their numbers."""

    def __init__(self) -> None:
        self._state = _Printer()

    def head(self, item: Instruction) -> str:
        """The line of `item`."""
        return self._state.head(item)

    def layouts(self) -> list[str]:
        """One line for every layout that the printed instructions name."""
        return [f"layout #{i} = {layout}" for layout, i in self._state.layouts.items()]


@dataclass
class _Printer:
    keep_names: bool = True
    places: bool = False
    inline_layouts: bool = False
    names: dict[Value, str] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    layouts: dict[Layout, int] = field(default_factory=dict)

    def name(self, value: Value) -> str:
        if value not in self.names:
            self.names[value] = self._fresh(value.name if self.keep_names else "")
        return "%" + self.names[value]

    def _fresh(self, hint: str) -> str:
        if not hint:
            self.taken[""] = self.taken.get("", -1) + 1
            return str(self.taken[""])
        count = self.taken.get(hint, 0)
        self.taken[hint] = count + 1
        return hint if count == 0 else f"{hint}.{count}"

    def define(self, value: Value) -> str:
        return f"{self.name(value)}: {self.type(value.type)}"

    def body(self, body: Body, indent: str) -> list[str]:
        return [line for item in body.instructions for line in self.instruction(item, indent)]

    def instruction(self, item: Instruction, indent: str) -> list[str]:
        text = self.head(item)
        nested = item.nested
        if not nested:
            place = f"  // {item.location}" if self.places and item.location else ""
            return [indent + text + place]
        lines = []
        for i, body in enumerate(nested):
            args = f" ({', '.join(self.define(a) for a in body.args)})" if body.args else ""
            opening = text if i == 0 else "}"
            lines.append(f"{indent}{opening}{args} {{")
            lines.extend(self.body(body, indent + "  "))
        return [*lines, indent + "}"]

    def head(self, item: Instruction) -> str:
        parts = [part for spec in item.specs if (part := self.field(item, spec))]
        text = item.mnemonic + (" " if parts else "") + ", ".join(parts)
        if item.results:
            text = ", ".join(self.define(r) for r in item.results) + " = " + text
        return text

    def field(self, item: Instruction, spec: FieldSpec) -> str | None:
        held = getattr(item, spec.name)
        match spec.kind:
            case "operand" if spec.default is dataclasses.MISSING:
                return self.name(held)
            case "operand":
                return None if held is None else f"{spec.name}={self.name(held)}"
            case "operands":
                return "[" + ", ".join(self.name(v) for v in held) + "]"
            case "attribute":
                return None if held == spec.default else f"{spec.name}={self.constant(held)}"
            case "body" | "bodies":
                return None
        assert_never(spec.kind)

    def constant(self, held: Any) -> str:
        match held:
            case None:
                return "none"
            case bool():
                return "true" if held else "false"
            case str():
                return json.dumps(held)
            case tuple():
                return "[" + ", ".join(self.constant(h) for h in held) + "]"
            case Layout():
                return self.layout(held)
            case DType():
                return held.name
            case int() | float():
                return repr(held)
            case _:
                raise TypeError(f"attribute {held!r} has no text form")

    def layout(self, layout: Layout) -> str:
        if self.inline_layouts:
            return str(layout)
        return f"#{self.layouts.setdefault(layout, len(self.layouts))}"

    def type(self, kind: Type) -> str:
        match kind:
            case ScalarType(dtype):
                return dtype.name
            case TileType(shape, dtype, layout):
                return f"tile<{self._shaped(shape, dtype, layout)}>"
            case BufferType(shape, dtype, layout):
                return f"buffer<{self._shaped(shape, dtype, layout)}>"
            case TensorType(dtype, strides, extents, aligned, packing):
                facts = f"strides=[{', '.join(strides)}], extents=[{', '.join(extents)}]"
                facts += ", aligned" if aligned else ""
                facts += f", packing={packing}" if packing else ""
                return f"tensor<{dtype.name}, {facts}>"
            case BarrierType(size, count):
                return f"barrier<{size}, {count}>"
            case TokenType():
                return "token"
            case PendingType(tile):
                return f"pending<{self._shaped(tile.shape, tile.dtype, tile.layout)}>"
        assert_never(kind)

    def _shaped(self, shape: tuple[int, ...], dtype: DType, layout: Layout | None) -> str:
        text = f"[{', '.join(map(str, shape))}], {dtype.name}"
        return text if layout is None else f"{text}, {self.layout(layout)}"
