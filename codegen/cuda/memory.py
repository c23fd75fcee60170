"""Loads and stores of tiles in global memory, 1 to 16 bytes per access."""

from __future__ import annotations

from tilewright.codegen.cuda.elements import code_type, read_code, stored_type, write_code
from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.places import is_representative
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.codegen.cuda.region import Access, Region, emit_access
from tilewright.ir.diagnostics import ShapeError
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.types import DType
from tilewright.ir.values import element_type, tile_type

add_snippets(r"""
//@ tw_store_part
// The first `count` elements of `size` bytes, fewer than BYTES: by halves, moving the rest down.
template <int BYTES>
__device__ __forceinline__ void tw_store_part(
    void *memory, const void *registers, long long count, int size) {
    unsigned long long low = 0, high = 0;
    memcpy(&low, registers, BYTES < 8 ? BYTES : 8);
    if (BYTES == 16) memcpy(&high, (const char *)registers + 8, 8);
    const int bytes = (int)count * size;
    char *to = (char *)memory;
    if (BYTES > 8 && (bytes & 8)) { *(unsigned long long *)to = low; low = high; to += 8; }
    if (size <= 4 && (bytes & 4)) { *(unsigned *)to = (unsigned)low; low >>= 32; to += 4; }
    if (size <= 2 && (bytes & 2)) {
        *(unsigned short *)to = (unsigned short)low;
        low >>= 16;
        to += 2;
    }
    if (size <= 1 && (bytes & 1)) *(unsigned char *)to = (unsigned char)low;
}
""")


@emits(Load)
def emit_load(item: Load, e: Emitter) -> None:
    e.comment(item)
    result = item.results[0]
    bounds = item.bounds or (True,) * len(item.offsets)
    region = Region(item.tensor, item.offsets, tile_type(result), bounds, item.vector)
    fill = e.literal(element_type(result), 0) if item.other is None else e.name(item.other)
    name = e.fresh(result.name or "v")
    e.alias(result, name)
    kind = stored_type(element_type(result))
    e.line(f"{'__align__(16) ' if item.vector > 1 else ''}{kind} {name}[{e.registers(result)}];")
    load = _load_bits if element_type(result).bits < 8 else _load_bytes
    with e.loop(e.registers(result), step=item.vector) as r:
        load(e, region, emit_access(e, region, r), name, r, fill)
    if load is _load_bytes and region.row_end_inside:
        _load_row_ends(e, region, name)


def _load_bytes(e: Emitter, region: Region, access: Access, name: str, r: str, fill: str) -> None:
    vector = region.vector
    if vector == 1:
        value = f"*({access.pointer()})" if "+" in access.pointer() else f"*{access.pointer()}"
        if access.first:
            value = f"{access.first} ? {value} : {fill}"
        e.line(f"{name}[{r}] = {value};")
        return
    function = "tw_load_constant" if access.names.constant else "tw_load"
    wide = e.call(f"{function}<{vector * access.bits // 8}>", f"&{name}[{r}]", access.pointer())
    if not access.all:
        e.line(f"{wide};")
        return
    with e.loop(vector, index="at") as i:
        e.line(f"{name}[{_plus(r, i)}] = {fill};")
    e.line(f"if ({access.all}) {wide};")


def _load_row_ends(e: Emitter, region: Region, name: str) -> None:
    """Vectors that the end of a row cuts, after all others: those are in flight together."""
    with e.loop(e.registers_of(region.kind), step=region.vector) as r:
        access = emit_access(e, region, r)
        with (
            e.block(f"if ({access.first} && !({access.last}))"),
            e.loop(region.vector, index="at") as i,
        ):
            inside = _element_inside(access, i)
            e.line(f"if ({inside}) {name}[{_plus(r, i)}] = ({access.pointer()})[{i}];")


def _element_inside(access: Access, i: str) -> str:
    """The condition for element `i` of a vector whose end is outside of the view."""
    kind = "unsigned" if access.index == "int" else "unsigned long long"
    last = f"({kind})({access.along} + {i}) < ({kind}){access.extent}"
    return f"{access.outer} && {last}" if access.outer else last


def _plus(register: str, i: str) -> str:
    return i if register == "0" else f"{register} + {i}"


def _load_bits(e: Emitter, region: Region, access: Access, name: str, r: str, fill: str) -> None:
    """Sub-byte elements: whole bytes at once where a vector is, else one code at a time."""
    dtype, vector, column = access.kind.dtype, region.vector, access.along

    def one(index: str) -> str:
        return write_code(e, dtype, e.call(f"tw_get_bits<{dtype.bits}>", access.row(), index))

    if vector == 1:
        value = one(column)
        e.line(f"{name}[{r}] = {f'{access.first} ? {value} : {fill}' if access.first else value};")
        return
    with e.block(f"if ({access.all})" if access.all else ""):
        size = vector * dtype.bits // 8
        e.line(f"__align__(16) unsigned char bytes[{size}], codes[{vector}];")
        start = f"{access.row()} + {_byte_of(column, dtype.bits)}"
        width = _widest(size)
        function = "tw_load_constant" if access.names.constant else "tw_load"
        for byte in range(0, size, width):
            e.line(e.call(f"{function}<{width}>", f"bytes + {byte}", f"{start} + {byte}") + ";")
        e.line(e.call(f"tw_unpack<{dtype.bits}, {vector}>", "bytes", "codes") + ";")
        with e.loop(vector, index="at") as i:
            e.line(f"{name}[{_plus(r, i)}] = {write_code(e, dtype, f'codes[{i}]')};")
    if access.all:
        with e.block("else"), e.loop(vector, index="at") as i:
            value = fill
            if region.row_end_inside:
                value = f"{_element_inside(access, i)} ? {one(f'{column} + {i}')} : {fill}"
            e.line(f"{name}[{_plus(r, i)}] = {value};")


def _byte_of(column: str, bits: int) -> str:
    return f"(long long){column} * {bits} / 8"


def _widest(size: int) -> int:
    """Bytes per access of a group of `size` bytes, aligned to the power of two in its size."""
    return min(16, size & -size)


@emits(Store)
def emit_store(item: Store, e: Emitter) -> None:
    e.comment(item)
    bounds = item.bounds or (True,) * len(item.offsets)
    region = Region(item.tensor, item.offsets, tile_type(item.value), bounds, item.vector)
    name = e.name(item.value)
    dtype = element_type(item.value)
    once = is_representative(e, layout_of(item.value))
    store = _store_bits if dtype.bits < 8 else _store_bytes
    condition = f"if ({once})" if once else ""
    with e.block(condition), e.loop(e.registers(item.value), step=item.vector) as r:
        store(e, region, emit_access(e, region, r), name, r)


def _store_bytes(e: Emitter, region: Region, access: Access, name: str, r: str) -> None:
    vector = region.vector
    if vector == 1:
        store = f"({access.pointer()})[0] = {name}[{r}];"
        e.line(f"if ({access.first}) {store}" if access.first else store)
        return
    width = vector * access.bits // 8
    source = f"&{name}[{r}]"
    wide = e.call(f"tw_store<{width}>", access.pointer(), source) + ";"
    if not access.all:
        e.line(wide)
        return
    with e.block(f"if ({access.all})"):
        e.line(wide)
    if region.row_end_inside:
        # The offset is a multiple of the vector, so only the end of a row cuts one.
        size = access.bits // 8
        left = f"({access.index}){access.extent} - {access.along}"
        part = e.call(f"tw_store_part<{width}>", access.pointer(), source, f"{left}", str(size))
        with e.block(f"else if ({access.first})"):
            e.line(f"{part};")


def _store_bits(e: Emitter, region: Region, access: Access, name: str, r: str) -> None:
    """Whole bytes; the bits behind the end of a row are zero."""
    dtype, vector, column = access.kind.dtype, region.vector, access.along
    size = vector * dtype.bits // 8
    if vector * dtype.bits % 8:
        raise split_byte_error(dtype, region)
    with e.block(f"if ({access.first})" if access.first else ""):
        e.line(f"__align__(16) unsigned char bytes[{size}], codes[{vector}];")
        with e.loop(vector, index="at") as i:
            code = read_code(e, dtype, f"{name}[{_plus(r, i)}]")
            if region.row_end_inside:
                code = f"{_element_inside(access, i)} ? {code} : ({code_type(dtype)})0"
            e.line(f"codes[{i}] = {code};")
        e.line(e.call(f"tw_pack<{dtype.bits}, {vector}>", "codes", "bytes") + ";")
        e.line(f"unsigned char *const start = {access.row()} + {_byte_of(column, dtype.bits)};")
        if not region.row_end_inside:
            width = _widest(size)
            for byte in range(0, size, width):
                e.line(e.call(f"tw_store<{width}>", f"start + {byte}", f"bytes + {byte}") + ";")
            return
        with e.loop(size, index="at") as i:
            first = f"{i} * 8 / {dtype.bits}"
            e.line(f"if ({_element_inside(access, first)}) start[{i}] = bytes[{i}];")


def split_byte_error(dtype: DType, region: Region) -> ShapeError:
    """A lane would have to write part of a byte."""
    return ShapeError(
        f"this store into {region.tensor.name or 'a tensor'} splits a byte: elements have "
        f"{dtype.bits} bits",
        "store tiles whose last extent and offset are multiples of whole bytes",
    )
