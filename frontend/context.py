"""The state of one capture: where instructions go, what names stand for, where the source is.

`Context.emit` is the only way instructions are made, so every one of them carries the place of the
syntax node that is being evaluated, and every error of an instruction's own checks points there.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tilewright.frontend.source import Source
from tilewright.frontend.values import Binding, Names
from tilewright.ir.diagnostics import Location, TilewrightError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import Yield
from tilewright.ir.instructions.scalar import Const, Extent
from tilewright.ir.kernel import Builder
from tilewright.ir.types import DType
from tilewright.ir.values import ScalarType, TensorType, TileType, Value, tensor_type


@dataclass
class CarriedLoop:
    """A loop of the kernel while its body is captured: what each carried name starts as.

    `free` holds the Python numbers among them (name, leaf), until something gave them a type. Only
    names in `read_after` are read after the loop. `bound` is what the names are in its body.
    """

    names: tuple[str, ...]
    init: dict[str, Any]
    locations: dict[str, Location | None]
    free: set[tuple[str, int]]
    read_after: frozenset[str]
    bound: dict[str, Binding] = field(default_factory=dict)


@dataclass
class Retype(Exception):
    """A number that `loop` carries must start as `kind`: its capture starts over."""

    loop: CarriedLoop
    name: str
    leaf: int
    kind: ScalarType | TileType


@dataclass
class UnrolledLoop:
    """A loop that is unrolled while compiling; `builder` is where its body goes."""

    builder: Builder


@dataclass
class Frame:
    """One function that is being captured; the kernel itself, or an inlined helper.

    `builder` is where its straight line goes; `tail` says that the end of the statement list that
    is being captured is the end of the function.
    """

    source: Source
    names: Names
    builder: Builder
    loop: CarriedLoop | UnrolledLoop | None = None
    tail: bool = True


@dataclass
class Grid:
    """`tw.grid`: its extents, indices and order; `start` instructions came before it."""

    extents: tuple[Value, ...]
    indices: tuple[Value, ...]
    order: str
    start: int
    location: Location | None


@dataclass
class Context:
    """One kernel that is being captured."""

    index: DType
    frame: Frame
    builder: Builder
    call_inline: Callable[..., Any]
    prologue: Builder = field(default_factory=Builder)
    frames: list[Frame] = field(default_factory=list)
    grid: Grid | None = None
    node: ast.AST | None = None
    targets: tuple[str, ...] = ()
    parameters: frozenset[Value] = frozenset()
    constants: dict[tuple[object, ...], Value] = field(default_factory=dict)
    extents: dict[tuple[Value, int], Value] = field(default_factory=dict)
    free: dict[Value, tuple[CarriedLoop, str, int]] = field(default_factory=dict)
    """Carried values that started as Python numbers: the loop's body still chooses their type."""

    @property
    def place(self) -> Location | None:
        """The place in the user's file of the node that is being evaluated."""
        return None if self.node is None else self.frame.source.locate(self.node)

    def emit_all(self, made: Instruction, *names: str) -> tuple[Value, ...]:
        """Append `made`; its results, named `names`."""
        self.builder.location = self.place
        return self.builder.add(made, *names)

    def emit(self, made: Instruction, name: str = "") -> Value:
        """Append `made`, which has one result."""
        (result,) = self.emit_all(made, name)
        return result

    def const(self, value: bool | int | float, dtype: DType) -> Value:
        """The scalar constant `value`; made once, ahead of the grid."""
        key = (type(value), repr(value), dtype.name)
        if key not in self.constants:
            whole = type(value) is int and value >= 0
            self.prologue.location = self.place
            made = Const(value=float(value) if dtype.is_float else value, dtype=dtype)
            self.constants[key] = self.prologue.value(made, f"c{value}" if whole else "")
        return self.constants[key]

    def number_of(self, constant: Value) -> bool | int | float | None:
        """The Python number that a constant is; None for any other value."""
        for item in self.prologue.instructions:
            if isinstance(item, Const) and constant in item.results:
                return item.value
        return None

    def extent(self, tensor: Value, axis: int) -> Value | int:
        """The extent of `tensor` along `axis`: 1 where the launch is specialized to that."""
        kind: TensorType = tensor_type(tensor)
        if kind.extents[axis] == "1":
            return 1
        made = Extent(tensor=tensor, axis=axis, dtype=self.index)
        name = f"{tensor.name}_extent{axis}" if tensor.name else ""
        if tensor not in self.parameters:
            return self.emit(made, name)
        if (tensor, axis) not in self.extents:
            self.prologue.location = self.place
            self.extents[tensor, axis] = self.prologue.value(made, name)
        return self.extents[tensor, axis]

    @contextlib.contextmanager
    def into(self, builder: Builder) -> Iterator[Builder]:
        """Instructions go to `builder` meanwhile."""
        outer, self.builder = self.builder, builder
        try:
            yield builder
        finally:
            self.builder = outer

    @contextlib.contextmanager
    def at(self, node: ast.AST) -> Iterator[None]:
        """Instructions belong to `node` meanwhile, and errors that have no place yet."""
        outer, self.node = self.node, node
        try:
            yield
        except TilewrightError as error:
            error.at(self.frame.source.locate(node))
            raise
        finally:
            self.node = outer

    def close(self, builder: Builder, values: tuple[Value, ...] = ()) -> Body:
        """The body of what `builder` holds, ended by `yield`."""
        builder.location = self.place
        builder.add(Yield(values=values))
        return builder.body()
