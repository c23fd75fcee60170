"""Kernel → CUDA C++: the emitter that templates write into, and the table of templates.

Every instruction class has one template, registered by `@emits`, in one file per family. A template
writes C statements through the emitter and names the results of its instruction:

    @emits(Fma)
    def emit_fma(item: Fma, e: Emitter) -> None:
        e.define_each(item.results[0], lambda at: f"fmaf({at(item.x)}, {at(item.y)}, {at(item.z)})")

A scalar is one C variable. A register tile is one array `T name[R]`, R = layout.size("reg"), and
`lane`, `warp` are variables, so that the coordinate of register r is an expression. A layout may be
larger than its tile: what lies outside (a *ghost*) is computed but means nothing, and memory is
never touched for it. A tensor is a pointer with C expressions for extents and strides.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tilewright.codegen.cuda.elements import (
    float_literal,
    literal,
    pointed_type,
    read_number,
    stored_type,
    write_number,
)
from tilewright.codegen.cuda.lines import GENERATED, number_lines
from tilewright.codegen.cuda.names import Names
from tilewright.codegen.cuda.prelude import SNIPPETS, print_prelude
from tilewright.codegen.parameters import Parameter, list_parameters
from tilewright.ir.diagnostics import InternalError, LanguageError, Location, TilewrightError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.memory import Rows, Subview
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.kernel import Kernel, definitions
from tilewright.ir.layout import Layout
from tilewright.ir.printer import InstructionPrinter
from tilewright.ir.targets.record import Target
from tilewright.ir.types import DType
from tilewright.ir.types.codebooks import list_borders
from tilewright.ir.values import ScalarType, TensorType, TileType, Value, element_type, tile_type

LANES = 32
OPTIONS = ("--fmad=false",)
"""What NVRTC must be told: a product and a sum are two roundings."""


@dataclass(frozen=True)
class CudaSource:
    """A translation unit: its text, the kernel's C name, the launch, and the user's files."""

    text: str
    entry: str
    threads: int
    shared_bytes: int
    options: tuple[str, ...] = OPTIONS
    files: tuple[tuple[str, str], ...] = ()
    """Virtual file name in `#line` → path of the user's source."""


Template = Callable[[Any, "Emitter"], None]
TEMPLATES: dict[type[Instruction], Template] = {}
T = TypeVar("T", bound=Template)


def emits(*classes: type[Instruction]) -> Callable[[T], T]:
    """Register the template of instruction classes."""

    def declare(template: T) -> T:
        for cls in classes:
            assert cls not in TEMPLATES, f"{cls.name} has two templates"
            TEMPLATES[cls] = template
        return template

    return declare


@dataclass(frozen=True)
class TensorNames:
    """C expressions for a tensor view: pointer, extents and strides (in elements) per axis."""

    pointer: str
    extents: tuple[str, ...]
    strides: tuple[str, ...]
    constant: bool


@dataclass
class Emitter:
    """Writes one kernel. Templates use its methods; its state is the text so far."""

    kernel: Kernel
    target: Target
    lines: list[str] = field(default_factory=list)
    indent: int = 1
    names: Names = field(default_factory=Names)
    values: dict[Value, str] = field(default_factory=dict)
    tensors: dict[Value, TensorNames] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    arrays: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    loops: list[tuple[Value, ...]] = field(default_factory=list)
    gridded: bool = False
    warps: int = 0
    barrier: str = "__syncthreads();"
    first_warp: int = 0
    pointed: bool = False

    def __post_init__(self) -> None:
        self.warps = self.kernel.warps or 4
        self.producers = definitions(self.kernel)
        self.printer = InstructionPrinter()
        self.written = written_tensors(self.kernel)

    # Text

    def line(self, text: str) -> None:
        """One line at the current indentation."""
        self.lines.append("    " * self.indent + text if text else "")

    @contextlib.contextmanager
    def block(self, head: str) -> Iterator[None]:
        """`head {` … `}`."""
        self.line(f"{head} {{" if head else "{")
        self.indent += 1
        yield
        self.indent -= 1
        self.line("}")

    @contextlib.contextmanager
    def loop(self, count: int, *, step: int = 1, index: str = "r") -> Iterator[str]:
        """An unrolled loop over register numbers; gives the C expression of the number."""
        if count <= step:
            with self.block(""):
                yield "0"
            return
        self.line("#pragma unroll")
        advance = f"++{index}" if step == 1 else f"{index} += {step}"
        with self.block(f"for (int {index} = 0; {index} < {count}; {advance})"):
            yield index

    def comment(self, item: Instruction) -> None:
        """The instruction's IR text, and its place in the user's source."""
        self.point(item.location)
        self.line(f"// {self.printer.head(item)}")

    def point(self, location: Location | None) -> None:
        """A `#line` directive: what follows belongs to `location` (or to the generated text)."""
        if location is None:
            if self.pointed:
                self.lines.append(GENERATED)
                self.pointed = False
            return
        name = self._virtual(location.file)
        self.lines.append(f'#line {location.line} "{name}"')
        self.pointed = True

    def _virtual(self, path: str) -> str:
        base = re.sub(r"[^\w.]", "_", path.rsplit("/", 1)[-1])
        name, count = f"/{base}", 1
        while self.files.setdefault(name, path) != path:
            count += 1
            name = f"/{count}/{base}"
        return name

    # Prelude

    def call(self, function: str, *arguments: str) -> str:
        """A call of a prelude function (template arguments in its name), which is then printed."""
        self.need(function.split("<")[0])
        return f"{function}({', '.join(arguments)})"

    def need(self, *snippets: str) -> None:
        """Print these parts of the prelude."""
        for name in snippets:
            assert name in SNIPPETS, name
            self.needed.add(name)

    def table(self, dtype: DType) -> str:
        """The C array with the values of a codebook."""
        return self.array("float", [float_literal(v, double=False) for v in dtype.table])

    def borders(self, dtype: DType) -> tuple[str, str]:
        """The C arrays with the borders between the values of a codebook, and the codes there."""
        borders, codes = list_borders(dtype)
        numbers = [float_literal(v, double=True) for v in borders]
        return self.array("double", numbers), self.array("unsigned char", [str(c) for c in codes])

    def array(self, kind: str, entries: Sequence[str]) -> str:
        """A constant array in global memory; equal ones are one."""
        text = f"{kind} %[{len(entries)}] = {{{', '.join(entries)}}};"
        if text not in self.arrays:
            self.arrays[text] = self.fresh("constants")
        return self.arrays[text]

    # Values

    def name(self, value: Value) -> str:
        """The C name of a value that has been defined."""
        return self.values[value]

    def alias(self, value: Value, name: str) -> None:
        """`value` is what the C name `name` holds."""
        self.values[value] = name

    def fresh(self, hint: str) -> str:
        """A C name that nothing else has."""
        return self.names.fresh(hint)

    def registers(self, value: Value) -> int:
        """How many registers (elements per lane) a tile has."""
        return layout_of(value).size("reg")

    def registers_of(self, kind: TileType) -> int:
        """How many registers (elements per lane) a tile of this type has."""
        assert kind.layout is not None
        return kind.layout.size("reg")

    def declare(self, value: Value, name: str | None = None) -> str:
        """Declare the variable or register array of a scalar or tile; gives its name."""
        name = name or self.fresh(value.name or "v")
        kind = stored_type(element_type(value))
        size = f"[{self.registers(value)}]" if isinstance(value.type, TileType) else ""
        self.line(f"{kind} {name}{size};")
        self.values[value] = name
        return name

    def define(self, value: Value, expression: str) -> None:
        """A scalar result: `const T name = expression;`."""
        name = self.fresh(value.name or "v")
        self.line(f"const {stored_type(element_type(value))} {name} = {expression};")
        self.values[value] = name

    def define_each(
        self, value: Value, expression: Callable[[Callable[[Value], str]], str]
    ) -> None:
        """A scalar or tile result, element by element; `at(operand)` is the operand's element.

        Tile operands must have the layout of the result.
        """
        if isinstance(value.type, ScalarType):
            self.define(value, expression(self.name))
            return
        name = self.declare(value)
        with self.loop(self.registers(value)) as r:
            self.line(f"{name}[{r}] = {expression(lambda v: self.element(v, r))};")

    def element(self, value: Value, register: str) -> str:
        """Register `register` of a tile; a scalar itself."""
        name = self.values[value]
        return f"{name}[{register}]" if isinstance(value.type, TileType) else name

    def number(self, value: Value, stored: str) -> str:
        """The arithmetic value of a stored element of `value`."""
        return read_number(self, element_type(value), stored)

    def rounded(self, value: Value, number: str) -> str:
        """A number as a stored element of `value`, rounded once or wrapped."""
        return write_number(self, element_type(value), number)

    def literal(self, dtype: DType, number: float) -> str:
        """A C literal of an element."""
        return literal(dtype, number)

    def constant(self, value: Value) -> int | float | None:
        """The value of a scalar that is a `const`."""
        made = self.producers.get(value)
        return made.value if isinstance(made, Const) else None

    # Bodies

    def body(self, body: Body) -> None:
        """All instructions of a body, its terminator included."""
        for item in body.instructions:
            self.instruction(item)

    def instruction(self, item: Instruction) -> None:
        """One instruction by its template."""
        template = TEMPLATES.get(type(item))
        if template is None:
            raise LanguageError(
                f"{item.mnemonic} cannot run on {self.target.name}: it has no CUDA code",
                'target="interpret" runs it by its meaning',
                location=item.location,
            )
        try:
            template(item, self)
        except TilewrightError as error:
            raise error.at(item.location) from None


def layout_of(value: Value) -> Layout:
    """The layout of a tile, which every tile has by now."""
    layout = tile_type(value).layout
    if layout is None:
        raise InternalError(f"{value!r} reached the code generator without a layout")
    return layout


def written_tensors(kernel: Kernel) -> frozenset[Value]:
    """The arguments that the kernel writes or updates, through any view."""
    roots: dict[Value, Value] = {p: p for p in kernel.params}
    found: set[Value] = set()
    for item in kernel.walk():
        if isinstance(item, (Rows, Subview)):
            roots[item.results[0]] = roots[item.tensor]
        for effect in item.effects():
            if effect.on in roots and effect.action not in ("read", "arrive"):
                found.add(roots[effect.on])
    return frozenset(found)


def emit_cuda(kernel: Kernel, target: Target) -> CudaSource:
    """The CUDA C++ of a kernel whose tiles all have layouts."""
    e = Emitter(kernel, target)
    entry = e.fresh(f"{kernel.name}_kernel")  # the name alone may be a function of CUDA's
    threads = e.warps * LANES
    parameters = list_parameters(kernel)
    declared = ", ".join(_declare_parameter(e, p) for p in parameters)
    e.line("const int lane = threadIdx.x % 32;")
    e.line(f"const int warp = threadIdx.x / {LANES};")
    if kernel.shared_bytes:
        e.lines.insert(0, "    extern __shared__ __align__(1024) unsigned char tw_shared[];")
    e.body(kernel.body)
    head = f'extern "C" __global__ void __launch_bounds__({threads}, 1) {entry}({declared}) {{'
    tables = "".join(
        f"__device__ const {text.replace('%', name)}\n" for text, name in e.arrays.items()
    )
    layouts = "".join(f"// {line}\n" for line in e.printer.layouts())
    body = "\n".join((head, *e.lines, "}")) + "\n"
    text = print_prelude(e.needed) + tables + layouts + body
    text = number_lines(text, f"/{entry}.cu")
    files = tuple(sorted(e.files.items()))
    return CudaSource(text, entry, threads, kernel.shared_bytes or 0, files=files)


def _declare_parameter(e: Emitter, word: Parameter) -> str:
    value = e.kernel.params[word.argument]
    name = e.fresh(word.name)
    if word.kind == "scalar":
        e.values[value] = name
        return f"{stored_type(word.dtype)} {name}"
    if word.kind == "pointer":
        kind = value.type
        assert isinstance(kind, TensorType)
        constant = value not in e.written
        strides = tuple("1" if s == "1" else "0" for s in kind.strides)
        e.tensors[value] = TensorNames(name, ("1",) * kind.rank, strides, constant)
        e.values[value] = name
        pointee = pointed_type(kind.dtype)
        return f"const {pointee} *__restrict__ {name}" if constant else f"{pointee} *{name}"
    old = e.tensors[value]
    field_name = "extents" if word.kind == "extent" else "strides"
    changed = list(getattr(old, field_name))
    changed[word.axis] = name
    fields = {"extents": old.extents, "strides": old.strides} | {field_name: tuple(changed)}
    e.tensors[value] = TensorNames(old.pointer, fields["extents"], fields["strides"], old.constant)
    return f"long long {name}"
