"""The whole translation unit: prelude, tables, the block function, the entry.

    extern "C" const char* NAME(const int64_t* words, int64_t blocks, int threads)

runs every block of the grid and returns nullptr, or the text of the first check that failed. The
`words` are those of `codegen.parameters`. The scalar prologue is cheap, so the entry (which needs
the grid's extents) and every block compute it from the words. One block, or one thread, starts no
OpenMP region. Blocks run in an order whose neighbours share rows of operands.
"""

from __future__ import annotations

from tilewright.codegen.cpu import (  # noqa: F401  (they fill the tables)
    arithmetic,
    atomic,
    buffers,
    control,
    memory,
    reduce,
    renaming,
    report,
    scalars,
    scaled,
    views,
)
from tilewright.codegen.cpu.contraction import find_contractions
from tilewright.codegen.cpu.dtypes import held_type
from tilewright.codegen.cpu.emitter import Emitter
from tilewright.codegen.cpu.grid import LAUNCH, write_entry
from tilewright.codegen.cpu.grouping import find_grouping
from tilewright.codegen.cpu.matmul import group_blocks
from tilewright.codegen.cpu.plan import make_plan
from tilewright.codegen.cpu.sharing import share_arrays
from tilewright.codegen.cpu.source import CppSource, Writer, inline_headers
from tilewright.codegen.cpu.tensors import declare_tensor, pointer_type
from tilewright.codegen.parameters import Parameter, list_parameters
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.check import Check, Print
from tilewright.ir.instructions.control import ForTiles
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.kernel import Kernel
from tilewright.ir.printer import print_kernel
from tilewright.ir.values import ScalarType, TensorType, Value

STACK_BYTES = 256 * 1024
"""Arrays of a block beyond this lie in thread-local memory instead of on the stack."""


def emit_cpu(kernel: Kernel, isa: str) -> CppSource:
    """C++ for `kernel` (phase `tile`) on instruction set `isa`."""
    plan = make_plan(kernel)
    share_arrays(plan, kernel.body)
    emitter = Emitter(kernel, plan, lanes=8 if isa == "avx2" else 16)
    emitter.contractions = find_contractions(plan, kernel)
    grid = _find_grid(kernel)
    emitter.grouping = find_grouping(plan, kernel, grid, emitter.contractions)
    prologue = kernel.body.instructions[: kernel.body.instructions.index(grid)]
    parameters = list_parameters(kernel)
    _emit_extents(emitter, parameters, prologue, grid)
    _emit_block(emitter, parameters, prologue, grid)
    body = "\n".join(_place(line, emitter.local_bytes) for line in emitter.out.lines)
    entry = emitter.names.fresh(f"{kernel.name}_kernel")  # the name alone may be a function of C's
    text = "\n".join(
        (
            f"// Kernel {kernel.name} for {isa}, generated from:",
            *(f"// {line}" for line in print_kernel(kernel).splitlines()),
            inline_headers(tuple(sorted(emitter.headers))),
            "namespace {",
            *emitter.tables.declare(),
            LAUNCH,
            body,
            "}  // namespace",
            "",
            write_entry(entry, grid, panels=bool(emitter.contractions), grouping=emitter.grouping),
        )
    )
    return CppSource(text, entry)


def _find_grid(kernel: Kernel) -> ForTiles:
    found = [item for item in kernel.body.instructions if isinstance(item, ForTiles)]
    if len(found) != 1:
        raise LanguageError(f"kernel {kernel.name} has {len(found)} grids, wants one")
    for item in kernel.walk():
        if isinstance(item, Roles):
            raise LanguageError(
                f"kernel {kernel.name} has roles ({', '.join(item.names)}), which the cpu target "
                "does not run",
                "write the cpu variant without roles",
                location=item.location,
            )
    return found[0]


def _place(line: str, local_bytes: int) -> str:
    """`@` becomes the storage of a block's array."""
    if not line.lstrip().startswith("@ "):
        return line
    where = "alignas(64)" if local_bytes <= STACK_BYTES else "alignas(64) static thread_local"
    return line.replace("@", where, 1)


def _emit_words(
    emitter: Emitter, parameters: tuple[Parameter, ...], params: tuple[Value, ...]
) -> None:
    """Names for the words."""
    words: dict[int, dict[str, str]] = {}
    for place, parameter in enumerate(parameters):
        value, word = params[parameter.argument], f"words[{place}]"
        if parameter.kind == "scalar":
            _emit_scalar_word(emitter, value, word)
        elif parameter.kind == "pointer":
            assert isinstance(value.type, TensorType)
            kind = pointer_type(value.type)
            emitter.out.line(f"{kind} const {emitter.names.of(value)} = ({kind}){word};")
            words[parameter.argument] = {}
        else:
            name = emitter.names.fresh(
                f"{emitter.names.of(value)}_{parameter.kind}{parameter.axis}"
            )
            emitter.out.line(f"const int64_t {name} = {word};")
            words[parameter.argument][f"{parameter.kind}{parameter.axis}"] = name
    for argument, found in words.items():
        value = params[argument]
        declare_tensor(emitter, value, emitter.names.of(value), found)


def _emit_scalar_word(emitter: Emitter, value: Value, word: str) -> None:
    assert isinstance(value.type, ScalarType)
    dtype = value.type.dtype
    kind = held_type(dtype)
    if kind == "float":
        text = f"tw::float_of((uint32_t){word})"
    elif kind == "double":
        text = f"tw::double_of((uint64_t){word})"
    else:
        text = f"{word} != 0" if kind == "bool" else f"({kind}){word}"
    emitter.define_scalar(value, text)


def _emit_extents(
    emitter: Emitter,
    parameters: tuple[Parameter, ...],
    prologue: tuple[Instruction, ...],
    grid: ForTiles,
) -> None:
    out = emitter.out = Writer(depth=0)
    with out.block("void find_extents(const int64_t* words, int64_t* extents, Launch& launch)"):
        _emit_words(emitter, parameters, emitter.kernel.params)
        for item in prologue:
            emitter.emit(item)
        for axis, extent in enumerate(grid.extents):
            out.line(f"extents[{axis}] = {emitter.scalar(extent)};")
        if emitter.grouping is None:
            group_blocks(emitter)


def _emit_block(
    emitter: Emitter,
    parameters: tuple[Parameter, ...],
    prologue: tuple[Instruction, ...],
    grid: ForTiles,
) -> None:
    out = emitter.out
    panels = ", tw::Operands& panels" if emitter.contractions else ""
    head = f"void run_block(const int64_t* words, const int64_t* at, Launch& launch{panels})"
    with out.block(head):
        _emit_words(emitter, parameters, emitter.kernel.params)
        for item in prologue:
            if not isinstance(item, (Check, Print)):
                emitter.emit(item)
        for axis, arg in enumerate(grid.body.args):
            assert isinstance(arg.type, ScalarType)
            emitter.define_scalar(arg, f"({held_type(arg.type.dtype)})at[{axis}]")
        emitter.emit_body(grid.body)
