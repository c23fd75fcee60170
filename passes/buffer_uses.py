"""How a buffer that a kernel declares is used: by which tiles and copies, through which views.

Stages (`buffer.at`), transposes and parts are views of the buffer. A ring of stages is used stage
by stage, so its layout is that of a stage, repeated; what a view permutes is permuted back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
from tilewright.ir.kernel import Kernel
from tilewright.ir.layout import Layout
from tilewright.ir.values import Value, element_type, shape_of, tensor_type, tile_type


@dataclass(frozen=True)
class TileUse:
    """A tile that goes through the last dimensions of a buffer whole: its value and registers.

    `registers` counts the buffer's dimensions behind the first `depth`; `dims[a]` is the dimension
    of the buffer that axis `a` of the tile is.
    """

    value: Value
    registers: Layout
    depth: int
    dims: tuple[int, ...]


@dataclass
class BufferUses:
    """Every use of one buffer: tiles stored and loaded, and copies."""

    stores: list[TileUse] = field(default_factory=list)
    loads: list[TileUse] = field(default_factory=list)
    fast: list[int] = field(default_factory=list)
    """The buffer's dimensions along which the tensors that are copied to it are contiguous."""
    linear: bool = False
    """Whether a copy engine writes or reads it, by a rule of its own."""


@dataclass(frozen=True)
class _View:
    """`dims` as in `TileUse`; `whole`: nothing is cut off but leading dimensions."""

    root: Value
    dims: tuple[int, ...]
    whole: bool = True


def find_buffer_uses(kernel: Kernel) -> dict[Value, BufferUses]:
    """The uses of every buffer that `kernel` allocates."""
    found: dict[Value, BufferUses] = {}
    views: dict[Value, _View] = {}
    for item in kernel.walk():
        if isinstance(item, Alloc):
            found[item.results[0]] = BufferUses()
            views[item.results[0]] = _View(item.results[0], tuple(range(len(item.shape))))
        _follow(item, views)
        _add(item, views, found)
    return found


def _follow(item: Instruction, views: dict[Value, _View]) -> None:
    match item:
        case At(buffer=buffer, index=index):
            dims = views[buffer].dims[len(index) :]
        case BufferTranspose(buffer=buffer, axes=axes):
            dims = tuple(views[buffer].dims[a] for a in axes)
        case Part(buffer=buffer) | Block(buffer=buffer):
            dims = views[buffer].dims
        case _:
            return
    whole = views[buffer].whole and shape_of(item.results[0]) == tuple(
        shape_of(views[buffer].root)[d] for d in dims
    )
    views[item.results[0]] = _View(views[buffer].root, dims, whole)


def _add(item: Instruction, views: dict[Value, _View], found: dict[Value, BufferUses]) -> None:
    match item:
        case BufferStore(buffer=buffer, value=value):
            uses = found[views[buffer].root].stores
            uses += _tile_use(value, views[buffer])
        case BufferLoad(buffer=buffer):
            uses = found[views[buffer].root].loads
            uses += _tile_use(item.results[0], views[buffer])
        case Copy(buffer=buffer, tensor=tensor) | CopyOut(buffer=buffer, tensor=tensor):
            kind, dims = tensor_type(tensor), views[buffer].dims
            axis = kind.fast_axis - (kind.rank - len(dims))
            root = found[views[buffer].root]
            root.fast += [dims[axis]] if axis >= 0 else []
            root.linear |= item.path not in ("cp_async", "plain")


def _tile_use(value: Value, view: _View) -> list[TileUse]:
    depth = len(shape_of(view.root)) - len(view.dims)
    layout = tile_type(value).layout
    if not view.whole or layout is None or min(view.dims, default=depth) < depth:
        return []
    order = (view.dims.index(d) for d in range(depth, depth + len(view.dims)))
    registers = layout.permute(*order).with_bits(element_type(value).bits)
    return [TileUse(value, registers, depth, view.dims)]
