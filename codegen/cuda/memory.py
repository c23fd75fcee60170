"""Loads and stores of tiles in global memory, 1 to 16 bytes per access."""

from __future__ import annotations

from tilewright.codegen.cuda.elements import code_type, read_code, stored_type, write_code
from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.places import is_representative
from tilewright.codegen.cuda.region import Access, Region, emit_access
from tilewright.ir.diagnostics import ShapeError
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.types import DType
from tilewright.ir.values import element_type, tensor_type, tile_type


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
    e.line(f"{_aligned(item.vector, kind)}{kind} {name}[{e.registers(result)}];")
    with e.loop(e.registers(result), step=item.vector) as r:
        access = emit_access(e, region, r)
        if element_type(result).bits < 8:
            _load_bits(e, region, access, name, r, fill)
        else:
            _load_bytes(e, region, access, name, r, fill)


def _aligned(vector: int, kind: str) -> str:
    del kind
    return "__align__(16) " if vector > 1 else ""


def _load_bytes(
    e: Emitter, region: Region, access: Access, name: str, r: str, fill: str
) -> None:
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
    with e.block(f"if ({access.all})"):
        e.line(f"{wide};")
    with e.block("else"), e.loop(vector, index="at") as i:
        value = fill
        if region.row_end_inside:
            inside = _element_inside(access, i)
            value = f"{inside} ? ({access.pointer()})[{i}] : {fill}"
        e.line(f"{name}[{_plus(r, i)}] = {value};")


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
    """Bytes per access of a group of `size` bytes that is aligned to the power of two in its size."""
    return min(16, size & -size)


@emits(Store)
def emit_store(item: Store, e: Emitter) -> None:
    e.comment(item)
    bounds = item.bounds or (True,) * len(item.offsets)
    region = Region(item.tensor, item.offsets, tile_type(item.value), bounds, item.vector)
    name = e.name(item.value)
    dtype = element_type(item.value)
    once = is_representative(e, layout_of(item.value))
    with e.block(f"if ({once})" if once else ""):
        with e.loop(e.registers(item.value), step=item.vector) as r:
            access = emit_access(e, region, r)
            if dtype.bits < 8:
                _store_bits(e, region, access, name, r)
            else:
                _store_bytes(e, region, access, name, r)


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
        with e.block("else"), e.loop(vector, index="at") as i:
            e.line(
                f"if ({_element_inside(access, i)}) "
                f"({access.pointer()})[{i}] = {name}[{_plus(r, i)}];"
            )


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
    name = region.tensor.name or "a tensor"
    del region
    return ShapeError(
        f"this store into {name} splits a byte: elements have {dtype.bits} bits",
        "store tiles whose last extent and offset are multiples of whole bytes",
    )


def is_sub_byte(item: Load | Store) -> bool:
    """Whether the tensor packs several elements into a byte."""
    return tensor_type(item.tensor).dtype.bits < 8
