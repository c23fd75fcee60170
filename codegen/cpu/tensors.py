"""Global memory: addresses of elements, and what is known about offsets."""

from __future__ import annotations

from collections.abc import Sequence

from tilewright.codegen.cpu.dtypes import stored_type
from tilewright.codegen.cpu.emitter import Emitter
from tilewright.codegen.cpu.nest import Nest, Term
from tilewright.codegen.cpu.offsets import is_nonnegative
from tilewright.codegen.cpu.places import Tensor
from tilewright.ir.instructions.memory import Load
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.values import TensorType, Value, tensor_type

Coordinate = tuple[str, Term]
"""A scalar offset and an index: the element is at their sum."""


def declare_tensor(emitter: Emitter, value: Value, pointer: str, words: dict[str, str]) -> None:
    """Make `value` known; `words`: text of the extents and strides that its type leaves open."""
    kind = tensor_type(value)
    extents = tuple(words.get(f"extent{a}", "1") for a in range(kind.rank))
    strides = tuple(words.get(f"stride{a}", kind.strides[a]) for a in range(kind.rank))
    emitter.tensors[value] = Tensor(pointer, kind.dtype, extents, strides)


def pointer_type(kind: TensorType) -> str:
    """The C++ type of a pointer to elements."""
    return f"{stored_type(kind.dtype)}*"


def address(nest: Nest, tensor: Tensor, coordinates: Sequence[Coordinate]) -> str:
    """The element at `coordinates`; terms that are fixed in an outer loop are added there."""
    parts: list[list[str]] = [[] for _ in range(nest.depth + 1)]
    for (offset, index), stride in zip(coordinates, tensor.strides, strict=True):
        if stride == "0":
            continue
        times = "" if stride == "1" else f" * {stride}"
        if offset != "0":
            parts[0].append(f"(int64_t){offset}{times}" if times else offset)
        if index.text != "0":
            wide = index.text if index.text.isidentifier() else f"({index.text})"
            parts[index.depth].append(f"{wide}{times}")
    base = tensor.pointer
    for depth, terms in enumerate(parts[:-1] if nest.depth else parts):
        if terms:
            base = nest.define("auto", f"{base} + ({' + '.join(terms)})", depth, "at").text
    inner = " + ".join(parts[-1]) if nest.depth and parts[-1] else "0"
    return f"{base}[{inner}]"


def read_directly(nest: Nest, value: Value, index: tuple[Term, ...]) -> Term:
    """The rule for loads whose elements all lie inside the view."""
    emitter = nest.emitter
    load = emitter.plan.definition[value]
    assert isinstance(load, Load)
    tensor = emitter.tensors[load.tensor]
    offsets = [offset_text(emitter, o) for o in load.offsets]
    place = address(nest, tensor, list(zip(offsets, index, strict=True)))
    depth = max((i.depth for i in index), default=0)
    text = emitter.tables.from_memory(tensor.dtype, place)
    return nest.define(emitter.held(value), text, depth, value.name or "v")


def offset_text(emitter: Emitter, offset: Value) -> str:
    """A scalar offset as C++ text; constants as numbers."""
    item = emitter.plan.definition.get(offset)
    return str(int(item.value)) if isinstance(item, Const) else emitter.scalar(offset)


def is_checked(bounds: tuple[bool, ...] | None, axis: int) -> bool:
    """Whether a region may leave its view along `axis`."""
    return bounds is None or bounds[axis]


__all__ = [
    "address",
    "declare_tensor",
    "is_checked",
    "is_nonnegative",
    "offset_text",
    "pointer_type",
    "read_directly",
]
