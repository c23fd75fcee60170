"""Explicit buffers are local arrays; copies happen where they are issued, so waits do nothing."""

from __future__ import annotations

from dataclasses import replace

from tilewright.codegen.cpu.atomic import update_text
from tilewright.codegen.cpu.dtypes import array_type
from tilewright.codegen.cpu.emitter import Emitter, statement
from tilewright.codegen.cpu.loops import walk_elements
from tilewright.codegen.cpu.memory import inside_tests, put_text
from tilewright.codegen.cpu.nest import Nest
from tilewright.codegen.cpu.places import Array
from tilewright.codegen.cpu.rows import fill_rows, settle
from tilewright.codegen.cpu.tensors import offset_text
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import (
    Alloc,
    At,
    Block,
    BufferLoad,
    BufferStore,
    BufferTranspose,
    Copy,
    CopyOut,
    Part,
)
from tilewright.ir.instructions.memory import Load
from tilewright.ir.instructions.sync import (
    Arrive,
    Barrier,
    BarrierWait,
    Commit,
    NamedArrive,
    NamedSync,
    Pend,
    TokenDone,
    Wait,
)
from tilewright.ir.values import TileType, Value, buffer_type


@statement(Alloc)
def emit_buffer(emitter: Emitter, item: Alloc) -> None:
    """A local array."""
    (result,) = item.results
    half = item.dtype.name in ("f16", "bf16")
    kind = TileType(item.shape, item.dtype)
    ctype = array_type(item.dtype, half=half)
    emitter.buffers[result] = emitter.local(result.name or "buffer", ctype, kind)


@statement(At)
def emit_at(emitter: Emitter, item: At) -> None:
    """A pointer into the array."""
    source, name = emitter.buffers[item.buffer], emitter.names.of(item.results[0])
    taken = len(item.index)
    terms = [
        f"{offset_text(emitter, i)} * {s}" for i, s in zip(item.index, source.strides, strict=False)
    ]
    emitter.out.line(f"{source.ctype}* const {name} = {' + '.join((source.name, *terms))};")
    emitter.buffers[item.results[0]] = replace(
        source, name=name, shape=source.shape[taken:], strides=source.strides[taken:]
    )


@statement(Part)
def emit_part(emitter: Emitter, item: Part) -> None:
    """A pointer into the array."""
    source, name = emitter.buffers[item.buffer], emitter.names.of(item.results[0])
    offset = sum(i * s for i, s in zip(item.start, source.strides, strict=True))
    emitter.out.line(f"{source.ctype}* const {name} = {source.name} + {offset};")
    emitter.buffers[item.results[0]] = replace(source, name=name, shape=item.shape)


@statement(Block)
def emit_block(emitter: Emitter, item: Block) -> None:
    """A pointer into the array."""
    source, name = emitter.buffers[item.buffer], emitter.names.of(item.results[0])
    step, axis = item.size * source.strides[item.axis], item.axis
    pointer = f"{source.name} + {offset_text(emitter, item.index)} * {step}"
    emitter.out.line(f"{source.ctype}* const {name} = {pointer};")
    shape = (*source.shape[:axis], item.size, *source.shape[axis + 1 :])
    emitter.buffers[item.results[0]] = replace(source, name=name, shape=shape)


@statement(BufferTranspose)
def emit_transpose(emitter: Emitter, item: BufferTranspose) -> None:
    """The same array with its strides permuted."""
    source = emitter.buffers[item.buffer]
    emitter.buffers[item.results[0]] = replace(
        source,
        shape=tuple(source.shape[a] for a in item.axes),
        strides=tuple(source.strides[a] for a in item.axes),
    )


@statement(BufferLoad)
def emit_buffer_load(emitter: Emitter, item: BufferLoad) -> None:
    """A copy: the buffer may change while the tile does not."""
    _copy_array(emitter, emitter.buffers[item.buffer], emitter.array(item.results[0]))


def _copy_array(emitter: Emitter, source: Array, target: Array) -> None:
    nest = emitter.nest(target.shape, lambda nest, value, index: index[0])
    nest.add(emitter.put(target, nest.index, emitter.array_element(source, nest.index).text))
    nest.write()


@statement(BufferStore)
def emit_buffer_store(emitter: Emitter, item: BufferStore) -> None:
    """The tile's elements into the array."""
    target = emitter.buffers[item.buffer]

    def build(nest: Nest) -> None:
        held = nest.value(item.value, nest.index).text
        nest.add(emitter.put(target, nest.index, held))

    walk_elements(emitter, target.shape, build)


@statement(Copy)
def emit_copy(emitter: Emitter, item: Copy) -> None:
    """A load into the array, at once."""
    kind = buffer_type(item.buffer)
    load = Load(tensor=item.tensor, offsets=item.offsets, shape=kind.shape, bounds=item.bounds)
    with emitter.out.block(_condition(emitter, item.when)):
        fill_rows(emitter, load, emitter.buffers[item.buffer])


def _condition(emitter: Emitter, when: Value | None) -> str:
    return "" if when is None else f"if ({emitter.scalar(when)})"


@statement(CopyOut)
def emit_copy_out(emitter: Emitter, item: CopyOut) -> None:
    """Elements of the array to memory, those inside the view; or atomic additions of them."""
    source, tensor = emitter.buffers[item.buffer], emitter.tensors[item.tensor]
    with emitter.out.block(""):
        rows = {
            axis: settle(emitter, offset)
            for axis, offset in enumerate(item.offsets)
            if isinstance(offset.type, TileType)
        }
        nest = emitter.nest(source.shape, lambda nest, value, index: index[0], vector=False)
        at = []
        for axis, index in enumerate(nest.index):
            if axis in rows:
                at.append(emitter.array_element(rows[axis], (index,)).text)
            else:
                at.append(f"({offset_text(emitter, item.offsets[axis])} + {index.text})")
        held = emitter.array_element(source, nest.index).text
        test = " && ".join(inside_tests(tensor, at)) or "true"
        if item.reduce is None:
            nest.add(f"if ({test}) {put_text(emitter, tensor, at, held)}")
        else:
            update = update_text(emitter, tensor, f"atomic.{item.reduce}", at, held)
            nest.add(f"if ({test}) (void){update};")
        nest.write()


@statement(
    *(Wait, TokenDone, Pend, Commit, Barrier, Arrive, BarrierWait, NamedSync, NamedArrive),
)
def emit_nothing(emitter: Emitter, item: Instruction) -> None:
    """Everything has completed already, and without roles nobody else is waited for."""
