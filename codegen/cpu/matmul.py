"""Matrix products: operands are packed into the micro-kernel's order, accumulators stay in place.

f32, bf16 and f16 (and every narrower float, as f32) go through `tw::BestMatrix` of the prelude: AMX
where the machine has it (f32 as three exact bf16 parts, see `mma_split.h`), else vector fma. A
loaded tile that only feeds products is packed from global memory where it is loaded, transposes
folded into the strides; any other operand is packed from its array where it is made. Integers and
f64 take plain loops that the compiler vectorizes.
"""

from __future__ import annotations

from tilewright.codegen.cpu.contraction import Contraction, Operand
from tilewright.codegen.cpu.emitter import Emitter, statement, tile_of
from tilewright.codegen.cpu.grouping import LARGEST, Grouping
from tilewright.codegen.cpu.loops import fill_array
from tilewright.codegen.cpu.nest import Term
from tilewright.codegen.cpu.places import Array, Packed
from tilewright.codegen.cpu.plan import PRODUCTS, is_tile, resolve
from tilewright.codegen.cpu.rows import settle
from tilewright.codegen.cpu.tensors import is_checked, offset_text
from tilewright.ir.instructions.matmul import Mma, MmaAsync
from tilewright.ir.instructions.memory import Load
from tilewright.ir.types import DType
from tilewright.ir.values import Value, buffer_type, shape_of


def uses_matrix(dtype: DType) -> bool:
    """Whether products of operands of `dtype` go through the packed micro-kernels."""
    return not dtype.is_integer and dtype.name != "f64"


def _element(dtype: DType) -> str:
    return f"tw::{dtype.name}" if dtype.name in ("bf16", "f16") else "float"


def _matrix(dtype: DType, m: int, n: int, k: int) -> str:
    return f"tw::BestMatrix<{_element(dtype)}, {m}, {n}, {k}>"


def _packer(emitter: Emitter, dtype: DType, side: str, rows: int, columns: int) -> tuple[str, str]:
    """The `Matrix` whose load packs this operand, and the name of a new array for it."""
    emitter.headers.add("mma_split.h")
    left = side == "left"
    matrix = _matrix(dtype, rows if left else 32, 32 if left else rows, columns)
    name = emitter.names.fresh(side)
    emitter.allocate("float", name, 0)
    emitter.out.lines[-1] = emitter.out.lines[-1].replace(
        "[0]", f"[{matrix}::{'LEFT' if left else 'RIGHT'}]"
    )
    emitter.local_bytes += 4 * (rows + 32) * (columns + 32)
    return matrix, name


def pack_tensor(emitter: Emitter, item: Load) -> None:
    """Pack a tile from global memory for every way in which products use it."""
    (result,) = item.results
    tensor = emitter.tensors[item.tensor]
    offsets = [offset_text(emitter, o) for o in item.offsets]
    for side, swapped in emitter.plan.products[result]:
        # A right operand y (k, n) is packed by its columns: rows are n.
        flip = swapped != (side == "right")
        axes = (1, 0) if flip else (0, 1)
        rows, columns = (item.shape[a] for a in axes)
        matrix, name = _packer(emitter, tensor.dtype, side, rows, columns)
        left = [
            f"{tensor.extents[a]} - {offsets[a]}"
            if is_checked(item.bounds, a)
            else str(item.shape[a])
            for a in axes
        ]
        strides = [tensor.strides[a] for a in axes]
        at = [f"(int64_t){offsets[a]} * {tensor.strides[a]}" for a in (0, 1)]
        base = f"{tensor.pointer} + {at[0]} + {at[1]}"
        emitter.out.line(
            f"{matrix}::load_{side}({name}, {base}, {', '.join(strides)}, {', '.join(left)});"
        )
        valid = [
            f"tw::clamp({text}, {item.shape[a]})" if is_checked(item.bounds, a) else text
            for text, a in zip(left, axes, strict=True)
        ]
        emitter.packs[result, side, swapped] = Packed(name, *valid)


def pack_operands(emitter: Emitter, value: Value) -> None:
    """Pack a tile that has just been computed for every product that uses it."""
    if value in emitter.plan.products and uses_matrix(tile_of(value).dtype):
        for side, swapped in emitter.plan.products[value]:
            array = emitter.array(value)
            emitter.packs[value, side, swapped] = _pack_array(emitter, array, side, swapped)


def _pack_array(emitter: Emitter, array: Array, side: str, swapped: bool) -> Packed:
    axes = (1, 0) if swapped != (side == "right") else (0, 1)
    rows, columns = (array.shape[a] for a in axes)
    half = array.ctype.startswith("tw::")
    dtype = array.dtype if half else _SINGLE
    matrix, name = _packer(emitter, dtype, side, rows, columns)
    strides = ", ".join(str(array.strides[a]) for a in axes)
    emitter.out.line(f"{matrix}::load_{side}({name}, {array.name}, {strides}, {rows}, {columns});")
    return Packed(name, str(rows), str(columns))


def _operand(emitter: Emitter, value: Value, side: str) -> Packed:
    base, swapped = _base(emitter, value)
    known = emitter.packs.get((base, side, swapped))
    return known or _pack_array(emitter, _source(emitter, base), side, swapped)


def _base(emitter: Emitter, value: Value) -> tuple[Value, bool]:
    return resolve(emitter.plan, value) if is_tile(value) else (value, False)


def _source(emitter: Emitter, base: Value) -> Array:
    return settle(emitter, base) if is_tile(base) else emitter.buffers[base]


@statement(Mma, MmaAsync)
def emit_mma(emitter: Emitter, item: Mma | MmaAsync) -> None:
    """Add the product to the accumulator, in place where it is free, else to a copy of it."""
    assert isinstance(item, PRODUCTS)
    result = item.results[0]
    acc = emitter.array(result)
    if item.acc in emitter.plan.virtual or emitter.array(item.acc) is not acc:
        fill_array(emitter, item.acc, acc)
    with emitter.out.block(""):
        if uses_matrix(_dtype(item.x)) and uses_matrix(_dtype(item.y)):
            _emit_matrix(emitter, item, acc)
        else:
            _emit_loops(emitter, item, acc)
        if acc.dtype.name == "f16":
            _round_all(emitter, acc)


def emit_contraction(emitter: Emitter, item: Contraction) -> None:
    """Add a whole loop of products to the accumulator."""
    emitter.headers.add("contract.h")
    acc = emitter.array(item.loop.results[0])
    places = []
    for operand in (item.left, item.right):
        load, tensor = operand.load, emitter.tensors[operand.load.tensor]
        start = offset_text(emitter, load.offsets[operand.rows])
        rows = tensor.strides[operand.rows]
        left = f"{tensor.extents[operand.rows]} - {start}"
        if not is_checked(load.bounds, operand.rows):
            left = str(load.shape[operand.rows])
        places.append(_strip(emitter, item, operand, left, f" + (int64_t){start} * {rows}"))
    arguments = ", ".join([acc.name, *places, _depth(emitter, item), "panels"])
    emitter.out.line(f"tw::contract<{_template(emitter, item)}>({arguments});")


def emit_group(emitter: Emitter, grouping: Grouping) -> None:
    """Let the accumulator be the block's part of its group's sums."""
    emitter.headers.add("group.h")
    item = grouping.contraction
    result = item.loop.results[0]
    places, starts = [], []
    for operand in (item.left, item.right):
        load, tensor = operand.load, emitter.tensors[operand.load.tensor]
        places.append(_strip(emitter, item, operand, tensor.extents[operand.rows]))
        starts.append(offset_text(emitter, load.offsets[operand.rows]))
    arguments = ", ".join([*places, *starts, _depth(emitter, item), "panels"])
    acc = emitter.grouped_sums(result, LARGEST)
    emitter.out.line(f'static_assert(tw::GROUP_PITCH == {acc.strides[0]}, "the pitch of sums");')
    call = f"tw::contract_group<{_template(emitter, item)}>({arguments})"
    emitter.out.line(f"float* const {acc.name} = {call};")


def _template(emitter: Emitter, item: Contraction) -> str:
    """Element type, rows and columns of a contraction."""
    m, n = tile_of(item.loop.results[0]).shape
    return f"{_element(emitter.tensors[item.left.load.tensor].dtype)}, {m}, {n}"


def _strip(emitter: Emitter, item: Contraction, operand: Operand, rows: str, at: str = "") -> str:
    """One operand's arguments: where it starts, its strides along rows and k, its rows."""
    tensor = emitter.tensors[operand.load.tensor]
    along, depth = tensor.strides[operand.rows], tensor.strides[operand.depth]
    low = offset_text(emitter, item.loop.low)
    return f"{tensor.pointer} + (int64_t){low} * {depth}{at}, {along}, {depth}, {rows}"


def _depth(emitter: Emitter, item: Contraction) -> str:
    """How many columns the loop covers inside the views."""
    loop, extents = item.loop, []
    for operand in (item.left, item.right):
        if is_checked(operand.load.bounds, operand.depth):
            extents.append(emitter.tensors[operand.load.tensor].extents[operand.depth])
    extent = f"tw::least<int64_t>({', '.join(extents)})" if len(extents) == 2 else "".join(extents)
    low, high, step = offset_text(emitter, loop.low), loop.high, loop.step
    bounds = f"{low}, {emitter.scalar(high)}, {emitter.scalar(step)}"
    return f"tw::count_columns({bounds}, {extent or 'INT64_MAX'})"


def group_blocks(emitter: Emitter) -> None:
    """Let neighbours along the grid's last axis be as many as one pool holds panels for."""
    for item in emitter.contractions.values():
        load = item.right.load
        if load.tensor not in emitter.tensors:
            continue
        tensor = emitter.tensors[load.tensor]
        kept = f"tw::count_kept<{_element(tensor.dtype)}, {load.shape[item.right.rows]}>"
        count = f"{kept}({tensor.extents[item.right.depth]})"
        emitter.out.line(f"launch.group = tw::least<int64_t>(launch.group, {count});")


def _dtype(value: Value) -> DType:
    return tile_of(value).dtype if is_tile(value) else buffer_type(value).dtype


def _emit_matrix(emitter: Emitter, item: Mma | MmaAsync, acc: Array) -> None:
    x, y = _operand(emitter, item.x, "left"), _operand(emitter, item.y, "right")
    (m, k), n = shape_of(item.x), shape_of(item.y)[1]
    matrix = _matrix(_dtype(item.x) if _dtype(item.x) == _dtype(item.y) else _SINGLE, m, n, k)
    depth = x.columns if x.columns == y.columns else f"tw::most({x.columns}, {y.columns})"
    emitter.out.line(f"{matrix}::mma({acc.name}, {x.name}, {y.name}, {x.rows}, {y.rows}, {depth});")


def _emit_loops(emitter: Emitter, item: Mma | MmaAsync, acc: Array) -> None:
    emitter.headers.add("multiply.h")
    operands = []
    for value in (item.x, item.y):
        base, swapped = _base(emitter, value)
        array = _source(emitter, base)
        strides = array.strides[::-1] if swapped else array.strides
        operands.append((array, strides))
    (x, xs), (y, ys) = operands
    (m, k), n = shape_of(item.x), shape_of(item.y)[1]
    emitter.out.line(
        f"tw::multiply<{m}, {n}, {k}, {xs[0]}, {xs[1]}, {ys[0]}, {ys[1]}>"
        f"({acc.name}, {acc.strides[0]}, {x.name}, {y.name});"
    )


def _round_all(emitter: Emitter, acc: Array) -> None:
    nest = emitter.nest(acc.shape, lambda nest, value, index: Term("0"))
    held = emitter.array_element(acc, nest.index).text
    rounded = emitter.tables.round_held(acc.dtype, held)
    nest.add(emitter.put(acc, nest.index, rounded))
    nest.write()


_SINGLE = DType("f32", 32, "float", 8, 23, 127, "ieee")
