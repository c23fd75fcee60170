"""`view`: the bits that each lane would hold, read as elements of another type and layout.

There are no lanes here, but which bits become which element is still what the two layouts say. That
is a table, computed when the kernel is compiled: element r of the result is joined from parts of
gcd(bits) bits, each found in one element of the operand at one shift.
"""

from __future__ import annotations

from math import gcd, prod

import numpy as np

from tilewright.codegen.cpu.dtypes import held_type, is_coded, stored_type
from tilewright.codegen.cpu.emitter import Emitter, statement, tile_of
from tilewright.codegen.cpu.matmul import pack_operands
from tilewright.codegen.cpu.rows import settle
from tilewright.ir.instructions.shape import View
from tilewright.ir.layout import Layout
from tilewright.ir.numeric import Array
from tilewright.ir.types import DType


@statement(View)
def emit_view(emitter: Emitter, item: View) -> None:
    """Codes of the operand, joined by the table, as values of the result."""
    source, result = tile_of(item.operand), item.results[0]
    assert source.layout is not None
    part = gcd(source.dtype.bits, item.dtype.bits)
    places = find_parts(source.layout, source.dtype.bits, item.layout, item.dtype.bits)
    target, out, count = emitter.array(result), emitter.out, places.shape[1]
    with out.block(""):
        array = settle(emitter, item.operand)
        size, taken = prod(source.shape), prod(item.layout.shape)
        listed = ", ".join(str(int(p)) for p in places.reshape(-1))
        out.line(f"static const uint32_t places[{taken * count}] = {{{listed}}};")
        out.line(f"uint64_t codes[{size}];")
        at = _at(array.shape, array.strides)
        held = emitter.tables.from_array(array.dtype, array.ctype, f"{array.name}[{at}]")
        code = _bits_of(emitter, source.dtype, held)
        out.line(f"for (int i = 0; i < {size}; ++i) codes[i] = {code};")
        with out.block(f"for (int i = 0; i < {taken}; ++i)"):
            out.line("uint64_t code = 0;")
            with out.block(f"for (int p = 0; p < {count}; ++p)"):
                out.line(f"const uint32_t place = places[i * {count} + p];")
                mask = f"0x{(1 << part) - 1:x}u"
                moved = f"(codes[place >> 6] >> (place & 63) & {mask})"
                out.line(f"code |= {moved} << (p * {part});")
            element = emitter.tables.from_memory(item.dtype, _element(item.dtype))
            to = _at(target.shape, target.strides)
            put = emitter.tables.to_array(target.dtype, target.ctype, element)
            out.line(f"{target.name}[{to}] = {put};")
    pack_operands(emitter, result)


def find_parts(source: Layout, have: int, result: Layout, want: int) -> Array:
    """places[element of the result][part] = 64 · element of the operand + shift."""
    part = gcd(have, want)
    ranks = np.ravel_multi_index(tuple(np.moveaxis(source.table(), -1, 0)), source.shape)
    table = result.table()
    places = np.zeros((prod(result.shape), want // part), np.int64)
    targets = np.ravel_multi_index(tuple(np.moveaxis(table, -1, 0)), result.shape)
    bits = np.arange(table.shape[-2])[:, None] * want + np.arange(want // part) * part
    found = ranks[..., bits // have] * 64 + bits % have
    places[targets.reshape(-1)] = found.reshape(-1, want // part)
    return places


def _at(shape: tuple[int, ...], strides: tuple[int, ...]) -> str:
    """The offset of the element with row-major rank `i`."""
    terms = []
    for axis, stride in enumerate(strides):
        below = prod(shape[axis + 1 :])
        terms.append(f"i / {below} % {shape[axis]} * {stride}")
    return " + ".join(terms) or "0"


def _bits_of(emitter: Emitter, dtype: DType, held: str) -> str:
    """The code of a held value, in 64 bits."""
    if is_coded(dtype) or dtype.kind == "bool":
        return emitter.tables.to_memory(dtype, held)
    if dtype.name in ("f16", "bf16"):
        return f"tw::narrow_{dtype.name}({held}).bits"
    if not dtype.is_integer:
        return f"tw::bits_of({held})"
    mask = "" if dtype.bits == 64 else f" & 0x{(1 << dtype.bits) - 1:x}u"
    return f"((uint64_t){held}{mask})"


def _element(dtype: DType) -> str:
    """`code` as an element in memory."""
    if dtype.name in ("f16", "bf16"):
        return f"tw::{dtype.name}{{(uint16_t)code}}"
    if held_type(dtype) in ("float", "double") and not is_coded(dtype):
        return "tw::double_of(code)" if dtype.bits == 64 else "tw::float_of((uint32_t)code)"
    return f"({stored_type(dtype)})code"
