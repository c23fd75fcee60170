"""The state of emitting one kernel, and the walk over its instructions.

Scalars are C++ constants, tensors are pointers with extents and strides, tiles have arrays or are
virtual (`plan`). Two tables say how instructions become text, and every instruction that is legal
in phase `tile` is in one of them: `STATEMENTS` (the instruction acts where it stands) and
`EXPRESSIONS` (its element at an index, inside somebody's loop nest).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

from tilewright.codegen.cpu.contraction import Contraction
from tilewright.codegen.cpu.dtypes import Tables, array_type, held_type
from tilewright.codegen.cpu.grouping import Grouping
from tilewright.codegen.cpu.nest import LoadRule, Nest, Term, linear
from tilewright.codegen.cpu.places import Array, Packed, Tensor, dense_strides
from tilewright.codegen.cpu.plan import PRODUCTS, Plan, aliased
from tilewright.codegen.cpu.source import Names, Writer
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.sync import Pend, Wait
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import PendingType, ScalarType, TileType, Value

Statement = Callable[["Emitter", Any], None]
Expression = Callable[[Nest, Any, tuple[Term, ...]], Term]
STATEMENTS: dict[type[Instruction], Statement] = {}
EXPRESSIONS: dict[type[Instruction], Expression] = {}


def statement(*kinds: type[Instruction]) -> Callable[[Statement], Statement]:
    """Register a function that emits instructions of these classes where they stand."""

    def register(emit: Statement) -> Statement:
        STATEMENTS.update(dict.fromkeys(kinds, emit))
        return emit

    return register


def expression(*kinds: type[Instruction]) -> Callable[[Expression], Expression]:
    """Register a function that gives one element of instructions of these classes."""

    def register(emit: Expression) -> Expression:
        EXPRESSIONS.update(dict.fromkeys(kinds, emit))
        return emit

    return register


def tile_of(value: Value) -> TileType:
    """The type of a tile, pending or not."""
    kind = value.type.tile if isinstance(value.type, PendingType) else value.type
    assert isinstance(kind, TileType), value
    return kind


@dataclass
class Emitter:
    """Everything that emission of one kernel knows."""

    kernel: Kernel
    plan: Plan
    lanes: int
    names: Names = field(default_factory=Names)
    tables: Tables = field(default_factory=Tables)
    out: Writer = field(default_factory=Writer)
    failure: str = "return;"
    headers: set[str] = field(default_factory=lambda: {"element.h"})
    arrays: dict[Value, Array] = field(default_factory=dict)
    buffers: dict[Value, Array] = field(default_factory=dict)
    tensors: dict[Value, Tensor] = field(default_factory=dict)
    packs: dict[tuple[Value, str, bool], Packed] = field(default_factory=dict)
    carried: list[tuple[Value, ...]] = field(default_factory=list)
    local_bytes: int = 0
    contractions: dict[Instruction, Contraction] = field(default_factory=dict)
    grouping: Grouping | None = None

    def emit_body(self, body: Body) -> None:
        """All instructions of `body` but its terminator."""
        for item in body.instructions[:-1]:
            self.emit(item)

    def emit(self, item: Instruction) -> None:
        """One instruction; virtual tiles are left to their users."""
        if item.results and any(r in self.plan.virtual for r in item.results):
            return
        if type(item) in STATEMENTS:
            STATEMENTS[type(item)](self, item)
        else:
            raise LanguageError(
                f"{item.mnemonic} does not run on the cpu target", location=item.location
            )

    def scalar(self, value: Value) -> str:
        """The C++ name of a scalar."""
        return self.names.of(value)

    def held(self, value: Value) -> str:
        """The C++ type that holds an element of a tile."""
        return held_type(tile_of(value).dtype)

    def define_scalar(self, value: Value, text: str) -> None:
        """A constant that holds a scalar result."""
        assert isinstance(value.type, ScalarType)
        self.out.line(f"const {held_type(value.type.dtype)} {self.names.of(value)} = {text};")

    def array(self, value: Value) -> Array:
        """The array of a tile that has one, declared here if this is its first mention."""
        leader = self.plan.leader(value)
        if leader not in self.arrays:
            self.arrays[leader] = self._declare(leader)
        return self.arrays[leader]

    def _declare(self, leader: Value) -> Array:
        kind = tile_of(leader)
        group = self.plan.members.get(leader, [leader])
        half = any(member in self.plan.half for member in group)
        ctype = array_type(kind.dtype, half=half)
        if any(self._accumulates(member) for member in group) and ctype == "float":
            return self.accumulator(leader)
        return self.local(leader.name or "tile", ctype, kind)

    def _accumulates(self, value: Value) -> bool:
        users = (use.item for use in self.plan.uses.get(value, ()))
        return isinstance(self.plan.definition.get(value), PRODUCTS) or any(
            isinstance(item, PRODUCTS) and item.acc is value for item in users
        )

    def accumulator(self, leader: Value) -> Array:
        """An array with the pitch and padding that the micro-kernels want."""
        kind = tile_of(leader)
        pitch = -(-kind.shape[1] // self.lanes) * self.lanes + self.lanes
        size = -(-kind.shape[0] // 16) * 16 * pitch + 16
        name = self.names.fresh(leader.name or "acc")
        self.allocate("float", name, size)
        return Array(name, "float", kind.dtype, kind.shape, (pitch, 1), size)

    def grouped_sums(self, result: Value, edge: int) -> Array:
        """The accumulator as part of a sum with rows of `edge` elements, declared by the caller."""
        kind, leader = tile_of(result), self.plan.leader(result)
        name = self.names.fresh(leader.name or "acc")
        strides = (edge + self.lanes, 1)
        self.arrays[leader] = Array(name, "float", kind.dtype, kind.shape, strides, 0)
        return self.arrays[leader]

    def local(self, hint: str, ctype: str, kind: TileType) -> Array:
        """A new dense array."""
        name, size = self.names.fresh(hint), max(1, prod(kind.shape))
        self.allocate(ctype, name, size)
        return Array(name, ctype, kind.dtype, kind.shape, dense_strides(kind.shape), size)

    def allocate(self, ctype: str, name: str, size: int) -> None:
        """Declare memory of this block's thread; `@` stands for where it lies."""
        self.out.line(f"@ {ctype} {name}[{size}];")
        self.local_bytes += size * (8 if ctype in ("double", "int64_t", "uint64_t") else 4)

    def element(self, nest: Nest, value: Value, index: tuple[Term, ...]) -> Term:
        """The element of a tile at `index` inside `nest`, held."""
        item = self.plan.definition.get(value)
        if value in self.plan.virtual:
            assert item is not None
            if isinstance(item, (Wait, Pend)):
                return nest.value(aliased(item, value), index)
            return EXPRESSIONS[type(item)](nest, item, index)
        return self.array_element(self.array(value), index)

    def array_element(self, array: Array, index: tuple[Term, ...]) -> Term:
        """The held element of an array."""
        place = linear(index, array.strides)
        text = f"{array.name}[{place.text}]"
        return Term(self.tables.from_array(array.dtype, array.ctype, text), place.depth)

    def put(self, array: Array, index: tuple[Term, ...], held: str) -> str:
        """The statement that stores a held value into an array."""
        place = linear(index, array.strides)
        return (
            f"{array.name}[{place.text}] = {self.tables.to_array(array.dtype, array.ctype, held)};"
        )

    def nest(self, shape: tuple[int, ...], read: LoadRule, **options: Any) -> Nest:
        """A new loop nest."""
        return Nest(self, shape, read, **options)
