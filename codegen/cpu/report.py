"""Kernel-side print and check.

A failed check stores its text where the entry finds it and ends the block; the entry returns the
text of the first failure, and blocks that have not started are skipped.
"""

from __future__ import annotations

import json
import re

from tilewright.codegen.cpu.emitter import Emitter, statement, tile_of
from tilewright.codegen.cpu.loops import walk_elements
from tilewright.codegen.cpu.nest import Nest
from tilewright.codegen.cpu.plan import is_tile
from tilewright.codegen.cpu.rows import settle
from tilewright.ir.instructions.check import Check, Print
from tilewright.ir.values import Value, scalar_type


@statement(Check)
def emit_check(emitter: Emitter, item: Check) -> None:
    """End the block unless the condition holds (everywhere, for a tile)."""
    fail = f"{{ launch.fail({json.dumps('check failed: ' + item.text)}); return; }}"
    if not is_tile(item.condition):
        emitter.out.line(f"if (!{emitter.scalar(item.condition)}) {fail}")
        return
    with emitter.out.block(""):
        emitter.out.line("int holds = 1;")

        def build(nest: Nest) -> None:
            nest.add(f"holds &= (int){nest.value(item.condition, nest.index).text};")

        walk_elements(
            emitter,
            tile_of(item.condition).shape,
            build,
            reorder=False,
            clauses=" reduction(&:holds)",
        )
        emitter.out.line(f"if (!holds) {fail}")


@statement(Print)
def emit_print(emitter: Emitter, item: Print) -> None:
    """One line, written at once; floats as Python writes them, tiles as nested lists."""
    emitter.headers.add("print.h")
    with emitter.out.block(""):
        values = iter(item.values)
        emitter.out.line("tw::Line line;")
        for piece in re.split(r"(\{\{|\}\}|\{[^{}]*\})", item.text):
            if piece in ("{{", "}}"):
                emitter.out.line(f"line.text({json.dumps(piece[0])});")
            elif piece.startswith("{"):
                _print_value(emitter, next(values))
            elif piece:
                emitter.out.line(f"line.text({json.dumps(piece)});")
        emitter.out.line("line.end();")


def _print_value(emitter: Emitter, value: Value) -> None:
    if not is_tile(value):
        assert scalar_type(value)
        emitter.out.line(f"line.value({emitter.scalar(value)});")
        return
    array = settle(emitter, value)
    _print_axis(emitter, value, 0, [])
    assert array


def _print_axis(emitter: Emitter, value: Value, axis: int, index: list[str]) -> None:
    array, out = settle(emitter, value), emitter.out
    if axis == len(array.shape):
        place = " + ".join(f"{i} * {s}" for i, s in zip(index, array.strides, strict=True)) or "0"
        element = f"{array.name}[{place}]"
        held = emitter.tables.from_array(array.dtype, array.ctype, element)
        out.line(f"line.value({held});")
        return
    name = f"i{axis}"
    out.line('line.text("[");')
    with out.block(f"for (int {name} = 0; {name} < {array.shape[axis]}; ++{name})"):
        out.line(f'if ({name}) line.text(", ");')
        _print_axis(emitter, value, axis + 1, [*index, name])
    out.line('line.text("]");')
