"""Block-uniform scalars: constants in C++; loads, fills and other tiles with an array."""

from __future__ import annotations

from tilewright.codegen.cpu.arithmetic import ELEMENTWISE, compute
from tilewright.codegen.cpu.dtypes import held_type, literal
from tilewright.codegen.cpu.emitter import Emitter, statement
from tilewright.codegen.cpu.loops import compute_array, walk_elements
from tilewright.codegen.cpu.matmul import pack_operands, pack_tensor
from tilewright.codegen.cpu.nest import Nest, Term
from tilewright.codegen.cpu.rows import fill_rows
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.memory import Gather, Load
from tilewright.ir.instructions.scalar import Assume, Const, Extent, Stride
from tilewright.ir.instructions.shape import Item
from tilewright.ir.values import ScalarType, shape_of


@statement(Const)
def emit_const(emitter: Emitter, item: Const) -> None:
    """A literal: the value that `meaning` gives, which is rounded into the type."""
    emitter.define_scalar(item.results[0], literal(item.dtype, item.meaning().item()))


@statement(Extent)
def emit_extent(emitter: Emitter, item: Extent) -> None:
    """The view's extent."""
    text = emitter.tensors[item.tensor].extents[item.axis]
    emitter.define_scalar(item.results[0], f"({held_type(item.dtype)}){text}")


@statement(Stride)
def emit_stride(emitter: Emitter, item: Stride) -> None:
    """The tensor's stride."""
    text = emitter.tensors[item.tensor].strides[item.axis]
    emitter.define_scalar(item.results[0], f"({held_type(item.dtype)}){text}")


@statement(Assume)
def emit_assume(emitter: Emitter, item: Assume) -> None:
    """Promises were used before code generation; nothing runs."""


@statement(*ELEMENTWISE, Gather)
def emit_elementwise(emitter: Emitter, item: Instruction) -> None:
    """A scalar constant, or a tile that is computed into its array."""
    (result,) = item.results
    if isinstance(result.type, ScalarType):
        operands = [emitter.scalar(v) for v in item.operand_values]
        emitter.define_scalar(result, compute(emitter, item, operands))
        return
    compute_array(emitter, result)
    pack_operands(emitter, result)


@statement(Load)
def emit_load(emitter: Emitter, item: Load) -> None:
    """Rows copied into an array; or packed for `mma` straight from memory."""
    (result,) = item.results
    if result in emitter.plan.packed:
        pack_tensor(emitter, item)
        return
    fill_rows(emitter, item, emitter.array(result))
    pack_operands(emitter, result)


@statement(Item)
def emit_item(emitter: Emitter, item: Item) -> None:
    """The only element of a tile."""
    result = item.results[0]
    assert isinstance(result.type, ScalarType)
    name, dtype = emitter.names.of(result), result.type.dtype
    emitter.out.line(f"{held_type(dtype)} {name} = {literal(dtype, 0)};")

    def build(nest: Nest) -> None:
        index = tuple(Term("0") for _ in shape_of(item.operand))
        nest.add(f"{name} = {nest.value(item.operand, index).text};")

    walk_elements(emitter, shape_of(item.operand), build)
