"""Cut products into steps of k, each of which reads its part of the staged operands.

A whole operand of a large tile does not fit in registers beside the accumulator; one step of it
(16 columns for 16-bit types) does, and the reads of the next step run under the products of this
one. An operand is cut where it is a buffer seen through transposes and elementwise instructions of
one operand, and where nothing writes that buffer between the read and the product; other products
stay whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import Block, BufferLoad, Part
from tilewright.ir.instructions.control import For, Yield
from tilewright.ir.instructions.elementwise import Cast, Unary
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.shape import Transpose
from tilewright.ir.kernel import Builder, Kernel, definitions, rebuild, use_counts
from tilewright.ir.layout import Layout
from tilewright.ir.targets.fragments import fragment_layouts, product_layouts
from tilewright.ir.targets.record import Target
from tilewright.ir.types import i32
from tilewright.ir.values import BufferType, TileType, Value, buffer_type, element_type, shape_of
from tilewright.passes.steady_buffers import find_steady_buffers
from tilewright.passes.typed import place
from tilewright.passes.warp_grid import block_step, operand_step


@dataclass(frozen=True)
class _Chain:
    """An operand: the load of its buffer, what is done to it in order, and its axis k."""

    load: BufferLoad
    steps: tuple[Transpose | Cast | Unary, ...]
    axis: int


def slice_products(kernel: Kernel, target: Target) -> Kernel:
    """`kernel` with products cut where both operands are buffers."""
    defined, counts = definitions(kernel), use_counts(kernel)
    steady = find_steady_buffers(kernel)
    plans: dict[Value, tuple[_Chain, _Chain]] = {}
    dropped: set[Value] = set()
    for item in kernel.walk():
        if isinstance(item, Mma) and item.atom is not None and _is_long(item, target):
            x, y = _find_chain(item.x, 1, defined), _find_chain(item.y, 0, defined)
            movable = [c is not None and steady.may_move(c.load, item) for c in (x, y)]
            if x is not None and y is not None and all(movable):
                plans[item.results[0]] = (x, y)
                dropped |= _only_here(item, (x, y), counts)

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if item.results and item.results[0] in dropped:
            return item.results
        if isinstance(item, Mma) and item.results[0] in plans:
            return (_cut(item, plans[item.results[0]], target, builder),)
        return None

    return rebuild(kernel, visit)


def _is_long(item: Mma, target: Target) -> bool:
    assert item.atom is not None
    return shape_of(item.x)[1] > operand_step(target.find_atom(item.atom))


def _find_chain(value: Value, axis: int, defined: dict[Value, Instruction]) -> _Chain | None:
    steps: list[Transpose | Cast | Unary] = []
    while True:
        step = defined.get(value)
        if isinstance(step, BufferLoad):
            return _Chain(step, tuple(reversed(steps)), axis)
        if not isinstance(step, (Transpose, Cast, Unary)):
            return None
        if isinstance(step, Transpose):
            axis = step.axes[axis]
        steps.append(step)
        value = step.operand


def _only_here(item: Mma, chains: Sequence[_Chain], counts: dict[Value, int]) -> set[Value]:
    """Values that nothing reads once `item` reads parts instead."""
    found: set[Value] = set()
    for chain, end in zip(chains, (item.x, item.y), strict=True):
        for value in (end, *(s.operand for s in reversed(chain.steps))):
            if counts[value] > 1:
                break
            found.add(value)
    return found


def _cut(item: Mma, chains: tuple[_Chain, _Chain], target: Target, builder: Builder) -> Value:
    """[step] all steps in a row; or, in a loop over blocks, those of one block."""
    assert item.atom is not None
    atom = target.find_atom(item.atom)
    extent = shape_of(item.x)[1]
    buffers = (chains[0].load.buffer, chains[1].load.buffer)
    size = block_step(atom, extent)
    if size is None or not all(
        _has_blocks(buffer, chain.axis, size) for buffer, chain in zip(buffers, chains, strict=True)
    ):
        return _cut_steps(item, chains, target, buffers, item.acc, extent, builder)
    low, high, step = (builder.value(Const(value=n, dtype=i32)) for n in (0, extent // size, 1))
    index = Value(low.type, "block")
    acc = Value(item.acc.type, item.acc.name)
    inner = Builder(location=builder.location)
    blocks = [
        inner.value(Block(buffer=buffer, index=index, axis=chain.axis, size=size))
        for buffer, chain in zip(buffers, chains, strict=True)
    ]
    sums = _cut_steps(item, chains, target, (blocks[0], blocks[1]), acc, size, inner)
    inner.add(Yield(values=(sums,)))
    loop = For(low=low, high=high, step=step, init=(item.acc,), body=inner.body((index, acc)))
    return builder.value(loop, item.results[0].name)


def _has_blocks(buffer: Value, axis: int, size: int) -> bool:
    """Whether blocks of `size` along `axis` are equal but for a whole period of the swizzle."""
    layout = buffer_type(buffer).layout
    assert layout is not None
    if layout.shape[axis] != shape_of(buffer)[axis]:
        return False
    first = layout.dims[axis][0]
    blocks = layout.shape[axis] // size
    apart = first.stride * (first.extent // blocks) * layout.bits // 8
    period = 1 if layout.swizzle is None else layout.swizzle.period
    return first.extent % blocks == 0 and apart % period == 0


def _cut_steps(
    item: Mma,
    chains: tuple[_Chain, _Chain],
    target: Target,
    buffers: tuple[Value, Value],
    acc: Value,
    extent: int,
    builder: Builder,
) -> Value:
    """One product per step of [0, extent) along k of `buffers`."""
    assert item.atom is not None and item.warp_grid is not None
    atom = target.find_atom(item.atom)
    step = -(-operand_step(atom) // atom.shape[2]) * atom.shape[2]
    m, n = product_layouts(item, target).acc.shape
    for start in range(0, extent, step):
        size = min(step, extent - start)
        padded = -(-size // atom.shape[2]) * atom.shape[2]
        parts = fragment_layouts(atom, (m, n, padded), item.warp_grid)
        x = _read(chains[0], buffers[0], start, size, parts.x, builder)
        y = _read(chains[1], buffers[1], start, size, parts.y, builder)
        made = dataclasses.replace(item, x=x, y=y, acc=acc)
        acc = place(builder, made, item.results[0].type, item.results[0].name)
    return acc


def _read(
    chain: _Chain, source: Value, start: int, size: int, layout: Layout, builder: Builder
) -> Value:
    """The part [start, start + size) along k, laid out as `layout` at the end of the chain."""
    layouts = [layout]
    for done in reversed(chain.steps):
        before = layouts[0]
        if isinstance(done, Transpose):
            layouts.insert(0, before.permute(*(done.axes.index(d) for d in range(before.rank))))
        else:
            layouts.insert(0, before.with_bits(max(8, element_type(done.operand).bits)))
    buffer = buffer_type(source)
    assert buffer.layout is not None
    corner = tuple(start if d == chain.axis else 0 for d in range(len(buffer.shape)))
    shape = tuple(size if d == chain.axis else n for d, n in enumerate(buffer.shape))
    ends = zip(layouts[0].shape, corner, buffer.layout.shape, strict=True)
    memory = buffer.layout.slice(corner, tuple(min(n, end - at) for n, at, end in ends))
    value = place(
        builder,
        Part(buffer=source, start=corner, shape=shape),
        BufferType(shape, buffer.dtype, memory),
    )
    name = chain.load.results[0].name
    value = place(
        builder, BufferLoad(buffer=value), TileType(shape, buffer.dtype, layouts[0]), name
    )
    for done, wanted in zip(chain.steps, layouts[1:], strict=True):
        made = dataclasses.replace(done, operand=value, results=())
        kind = made.result()[0]
        assert isinstance(kind, TileType)
        value = place(builder, made, kind.with_layout(wanted), done.results[0].name)
    return value
