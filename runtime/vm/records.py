"""What a PTX file says, as frozen records.

The parser (`parser.py`) makes them, the linker (`program.py`) joins the functions of a file into
one list of instructions, and the families in `instructions/` turn each instruction into NumPy
closures. Registers and variables are already renamed so that braces (scopes) no longer matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BITS = {
    "pred": 1,
    "b8": 8, "u8": 8, "s8": 8, "e4m3": 8, "e5m2": 8,
    "b16": 16, "u16": 16, "s16": 16, "f16": 16, "bf16": 16, "e4m3x2": 16, "e5m2x2": 16,
    "b32": 32, "u32": 32, "s32": 32, "f32": 32, "f16x2": 32, "bf16x2": 32, "tf32": 32,
    "u16x2": 32, "s16x2": 32,
    "b64": 64, "u64": 64, "s64": 64, "f64": 64, "f32x2": 64,
    "b128": 128,
}  # fmt: skip
"""Width of every PTX type in bits (predicates live in one NumPy bool)."""


@dataclass(frozen=True, slots=True)
class Register:
    """A virtual register: `name` is unique within the file, `type` one of `BITS`."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Special:
    """A special register such as `%tid.x`."""

    name: str


@dataclass(frozen=True, slots=True)
class Immediate:
    """A constant. Integers hold `value`; `0f…`/`0d…` literals hold their float and `is_float`."""

    value: int | float
    is_float: bool = False


@dataclass(frozen=True, slots=True)
class Symbol:
    """The name of a variable, function, label or branch table, plus a byte offset."""

    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Vector:
    """`{a, b, …}`."""

    items: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """`d|p`: two destinations."""

    first: Operand
    second: Operand


@dataclass(frozen=True, slots=True)
class Inverted:
    """`!p`."""

    operand: Operand


@dataclass(frozen=True, slots=True)
class Selected:
    """Bytes or half words of a register, for video instructions: `%r1.b3`, `%r1.h10`."""

    register: Register
    selector: str


@dataclass(frozen=True, slots=True)
class Address:
    """`[base + offset]`, for tensor copies `[base, {coordinates}]` (the rest in `extra`)."""

    base: Operand
    offset: int = 0
    extra: tuple[Operand, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """`(a, b)`: the arguments or results of a call."""

    items: tuple[Operand, ...]


Operand = (
    Register | Special | Immediate | Symbol | Vector | Pair | Inverted | Selected | Address | Group
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: `opcode` and its dotted `mods`, operands, guard predicate, PTX line, source
    place.
    """

    opcode: str
    mods: tuple[str, ...]
    operands: tuple[Operand, ...]
    guard: Register | None
    negated: bool
    line: int
    source: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The dotted opcode as written."""
        return ".".join((self.opcode, *self.mods))


@dataclass(frozen=True, slots=True)
class Pointer:
    """Bytes of an initial value that an address fills: `size` bytes at `offset`, from bit `shift`
    of the address.
    """

    offset: int
    target: Symbol
    size: int = 8
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable or parameter: its state space, bytes, and the initial value with its
    relocations.
    """

    name: str
    space: str
    type: str
    size: int
    align: int
    initial: bytes = b""
    pointers: tuple[Pointer, ...] = ()
    is_extern: bool = False
    is_array: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """An entry or a device function."""

    name: str
    is_entry: bool
    params: tuple[Variable, ...]
    results: tuple[Variable, ...]
    instructions: tuple[Instruction, ...]
    labels: dict[str, int]
    variables: tuple[Variable, ...]
    tables: dict[str, tuple[str, ...]]
    directives: dict[str, tuple[int, ...]]
    is_extern: bool = False


@dataclass(frozen=True, slots=True)
class Module:
    """A whole PTX file."""

    version: str
    target: str
    functions: dict[str, Function]
    variables: dict[str, Variable]
    files: dict[int, str]
    lines: tuple[str, ...] = field(repr=False, default=())
