"""Tiles in global memory: coordinates, bounds, addresses and widths of one lane's accesses.

An access covers `vector` neighbours along the last axis, which lie in neighbouring registers. Its
first coordinate per axis is offset + coordinate in the tile; `bounds[d]` says whether axis d may
leave the view. Where the end of a row may fall inside a vector, whole vectors take the wide path
and the last one goes element by element.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.codegen.cuda.emitter import Emitter, TensorNames
from tilewright.codegen.cuda.places import (
    all_of,
    coordinate,
    find_register_map,
    is_inside_tile,
    register_expression,
    sum_of,
)
from tilewright.ir.diagnostics import InternalError
from tilewright.ir.values import (
    ScalarType,
    TensorType,
    TileType,
    Value,
    element_type,
    tensor_type,
    tile_type,
)


@dataclass(frozen=True)
class Region:
    """A tile of a tensor: what Load and Store have in common."""

    tensor: Value
    offsets: tuple[Value, ...]
    kind: TileType
    bounds: tuple[bool, ...]
    vector: int

    @property
    def axis(self) -> int:
        """The axis whose elements are neighbours in memory."""
        return tensor_type(self.tensor).fast_axis

    @property
    def row_end_inside(self) -> bool:
        """Whether the view may end inside of a vector."""
        if self.vector == 1 or not self.bounds[self.axis]:
            return False
        return not (tensor_type(self.tensor).extents[self.axis] == "x16" and 16 % self.vector == 0)


@dataclass(frozen=True)
class Access:
    """C expressions of one access: coordinates, and what must hold for it to be in the view.

    `outer` without the fast axis, `first` with it for the first element; `last` for the last
    element where a row may end inside of the access.
    """

    coordinates: tuple[str, ...]
    outer: str
    first: str
    last: str
    names: TensorNames
    kind: TensorType
    index: str
    axis: int

    @property
    def all(self) -> str:
        """What must hold for the whole access to be in the view."""
        return all_of((self.first, self.last))

    @property
    def along(self) -> str:
        """The coordinate along the fast axis."""
        return self.coordinates[self.axis]

    @property
    def extent(self) -> str:
        """The extent of the view along the fast axis."""
        return self.names.extents[self.axis]

    @property
    def bits(self) -> int:
        return self.kind.dtype.bits

    def row(self) -> str:
        """Byte pointer to element 0 of the row (sub-byte types: leading strides are in bytes)."""
        return sum_of((self.names.pointer, *self._terms(self.coordinates[:-1])))

    def pointer(self) -> str:
        """Pointer to the first element."""
        return sum_of((self.names.pointer, *self._terms(self.coordinates)))

    def _terms(self, coordinates: tuple[str, ...]) -> list[str]:
        return offset_terms(self.names, coordinates, self.index)


def offset_terms(names: TensorNames, coordinates: tuple[str, ...], index: str) -> list[str]:
    """coordinate * stride per axis, in the C type `index`."""
    terms = []
    for at, stride in zip(coordinates, names.strides, strict=False):
        if stride == "0":
            continue
        wide = at if index == "int" else f"(long long){at}"
        terms.append(wide if stride == "1" else f"{wide} * ({index}){stride}")
    return terms


def index_type(offsets: tuple[Value, ...]) -> str:
    """32-bit addresses where the frontend proved that they fit: its indices are i32 then."""
    return "int" if all(element_type(o).bits <= 32 for o in offsets) else "long long"


def inside(at: str, extent: str, index: str) -> str:
    """0 <= at < extent, in one comparison."""
    kind = "unsigned" if index == "int" else "unsigned long long"
    return f"({kind}){at} < ({kind}){extent}"


def emit_access(e: Emitter, region: Region, register: str) -> Access:
    """Declare the coordinates of the access at `register` and give its expressions."""
    names = e.tensors[region.tensor]
    index = index_type(region.offsets)
    places = []
    for dim, offset in enumerate(region.offsets):
        name = e.fresh(f"{names.pointer}_{dim}")
        e.line(f"const {index} {name} = {_place(e, region, dim, offset, register)};")
        places.append(name)
    conditions = [
        inside(at, extent, index) if checked else ""
        for at, extent, checked in zip(places, names.extents, region.bounds, strict=True)
    ]
    ghosts = is_inside_tile(e, region.kind, register)
    axis = region.axis
    along = conditions.pop(axis) if conditions else ""
    outer = all_of((ghosts, *conditions))
    last = ""
    if region.row_end_inside:
        last = inside(f"({places[axis]} + {region.vector - 1})", names.extents[axis], index)
    first, kind = all_of((outer, along)), tensor_type(region.tensor)
    return Access(tuple(places), outer, first, last, names, kind, index, axis)


def _place(e: Emitter, region: Region, dim: int, offset: Value, register: str) -> str:
    assert region.kind.layout is not None
    if isinstance(offset.type, ScalarType):
        return sum_of((e.name(offset), coordinate(e, region.kind.layout, dim, register)))
    mapping = find_register_map(tile_type(offset), region.kind, lambda c: c[..., dim : dim + 1])
    if mapping is None:
        raise InternalError(f"{offset!r} is not held where its rows are accessed")
    place = register_expression(mapping, register)
    if place is None:
        name = e.fresh("tw_rows")
        e.line(f"constexpr int {name}[{len(mapping)}] = {{{', '.join(map(str, mapping))}}};")
        place = f"{name}[{register}]"
    return f"{e.name(offset)}[{place}]"
