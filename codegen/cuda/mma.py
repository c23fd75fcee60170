"""Matrix products: one call of the atom per tile of registers, or multiply-adds on the lanes.

The accumulator is updated in place where nothing else reads its old value. Where k is no multiple
of the atom, the registers beyond it are set to zero first: they hold no elements of the operands.
"""

from __future__ import annotations

import functools

from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.places import coordinate
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.ir.diagnostics import InternalError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import For, While
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.kernel import Kernel, use_counts
from tilewright.ir.targets.record import Atom
from tilewright.ir.types import DType
from tilewright.ir.values import Value, element_type, shape_of

PTX_NAMES = {"i8": "s8", "i32": "s32"}
"""Types whose PTX name differs from ours."""


def _half(operand: str, accumulator: str) -> str:
    """m16n8k16: four registers of x, two of y; an f16 accumulator is two registers of pairs."""
    wide = accumulator == "f32"
    kind, constraint, count = ("float", "f", 4) if wide else ("unsigned", "r", 2)
    return _snippet("m16n8k16", operand, operand, accumulator, kind, constraint, (count, 4, 2))


def _snippet(
    shape: str,
    x: str,
    y: str,
    accumulator: str,
    kind: str,
    constraint: str,
    counts: tuple[int, int, int],
) -> str:
    """The C++ of one atom: `tw_mma_SHAPE_X_Y_ACC(accumulator, x, y)` on 32-bit registers."""
    sums, left, right = counts
    total = iter(range(2 * sums + left + right))
    groups = [", ".join(f"%{next(total)}" for _ in range(count)) for count in (sums, left, right)]
    out = ", ".join(f'"+{constraint}"(c[{i}])' for i in range(sums))
    operands = [f'"r"(a[{i}])' for i in range(left)] + [f'"r"(b[{i}])' for i in range(right)]
    types = ".".join((accumulator, x, y, accumulator))
    name = f"tw_mma_{shape}_{x}_{y}_{accumulator}"
    registers = ", ".join(f"{{{group}}}" for group in (*groups, groups[0]))
    return f"""//@ {name}
__device__ __forceinline__ void {name}(void *acc, const void *x, const void *y) {{
    {kind} *c = ({kind} *)acc;
    const unsigned *a = (const unsigned *)x, *b = (const unsigned *)y;
    asm("mma.sync.aligned.{shape}.row.col.{types} {registers};"
        : {out} : {", ".join(operands)});
}}
"""


add_snippets(
    "".join(_half(x, acc) for x, acc in (("f16", "f32"), ("bf16", "f32"), ("f16", "f16")))
    + _snippet("m16n8k8", "tf32", "tf32", "f32", "float", "f", (4, 4, 2))
    + "".join(
        _snippet("m16n8k32", x, y, "s32", "int", "r", (4, 4, 2))
        for x in ("s8", "u8")
        for y in ("s8", "u8")
    )
)
add_snippets(r"""
//@ tw_round_tf32
__device__ __forceinline__ float tw_round_tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
}
""")


@emits(Mma)
def emit_mma(item: Mma, e: Emitter) -> None:
    e.comment(item)
    assert item.atom is not None
    atom = e.target.find_atom(item.atom)
    for value, dim in ((item.x, 1), (item.y, 0)):
        _clear_ghosts(e, value, dim)
    acc = _accumulator(e, item)
    m, n, k = (
        layout_of(item.acc).shape[0],
        layout_of(item.acc).shape[1],
        layout_of(item.x).shape[1],
    )
    assert item.warp_grid is not None
    rows, columns = item.warp_grid
    repeats = (m // (atom.shape[0] * rows), n // (atom.shape[1] * columns), k // atom.shape[2])
    if atom.name.startswith("mma"):
        _emit_atoms(e, item, atom, acc, repeats)
    else:
        _emit_lanes(e, item, acc, repeats)


def _accumulator(e: Emitter, item: Mma) -> str:
    """The register array that the product adds to; the old one where nobody reads it again."""
    if _is_last_use(e, item):
        name = e.name(item.acc)
        e.alias(item.results[0], name)
        return name
    old = e.name(item.acc)
    name = e.declare(item.results[0])
    with e.loop(e.registers(item.acc)) as r:
        e.line(f"{name}[{r}] = {old}[{r}];")
    return name


def _is_last_use(e: Emitter, item: Mma) -> bool:
    """Whether the accumulator is a loop's carried value or a product, read only here, once."""
    counts, carried, loops = _uses(e.kernel)
    owned = item.acc in carried or isinstance(e.producers.get(item.acc), Mma)
    return owned and counts[item.acc] == 1 and loops[item.acc] is loops[item.results[0]]


@functools.lru_cache(maxsize=8)
def _uses(
    kernel: Kernel,
) -> tuple[dict[Value, int], frozenset[Value], dict[Value, Instruction | None]]:
    """How often values are read, which of them loops carry, and in which loop each is made."""
    loops = [item for item in kernel.walk() if isinstance(item, For)]
    carried = frozenset(arg for loop in loops for arg in loop.body.args[1:])
    return use_counts(kernel), carried, _find_loops(kernel.body, None)


def _find_loops(body: Body, loop: Instruction | None) -> dict[Value, Instruction | None]:
    found: dict[Value, Instruction | None] = dict.fromkeys(body.args, loop)
    for item in body.instructions:
        found.update((result, loop) for result in item.results)
        inner = item if isinstance(item, (For, While)) else loop
        for nested in item.nested:
            found |= _find_loops(nested, inner)
    return found


def _clear_ghosts(e: Emitter, value: Value, dim: int) -> None:
    layout, extent = layout_of(value), shape_of(value)[dim]
    if layout.shape[dim] == extent:
        return
    name = e.name(value)
    with e.loop(layout.size("reg")) as r:
        e.line(f"if ({coordinate(e, layout, dim, r)} >= {extent}) {name}[{r}] = 0;")


def _emit_atoms(e: Emitter, item: Mma, atom: Atom, acc: str, repeats: tuple[int, int, int]) -> None:
    """Every atom of the tile; step of k outermost, so that neighbours are independent."""
    x, y = e.name(item.x), e.name(item.y)
    if atom.operand.name == "tf32":
        x, y = _round_tf32(e, item.x), _round_tf32(e, item.y)
    shape = atom.name.split(".")[1]
    types = [_ptx(t) for t in _operand_types(item, atom)]
    function = "_".join(("tw_mma", shape, *types, _ptx(atom.accumulator)))
    sums, left, right = (part.size("reg") for part in (atom.acc, atom.x, atom.y))
    over_m, over_n, over_k = repeats
    with (
        e.loop(over_k, index="k") as k,
        e.loop(over_m, index="i") as i,
        e.loop(over_n, index="j") as j,
    ):
        places = (
            f"&{acc}[({i} * {over_n} + {j}) * {sums}]",
            f"&{x}[({i} * {over_k} + {k}) * {left}]",
            f"&{y}[({k} * {over_n} + {j}) * {right}]",
        )
        e.line(e.call(function, *places) + ";")


def _operand_types(item: Mma, atom: Atom) -> tuple[DType, DType]:
    if atom.operand.name == "tf32":
        return atom.operand, atom.operand
    return element_type(item.x), element_type(item.y)


def _ptx(dtype: DType) -> str:
    return PTX_NAMES.get(dtype.name, dtype.name)


def _round_tf32(e: Emitter, value: Value) -> str:
    name = e.fresh(f"{e.name(value)}_tf32")
    count = e.registers(value)
    e.line(f"__align__(16) float {name}[{count}];")
    with e.loop(count) as r:
        e.line(f"{name}[{r}] = {e.call('tw_round_tf32', f'{e.name(value)}[{r}]')};")
    return name


def _emit_lanes(e: Emitter, item: Mma, acc: str, repeats: tuple[int, int, int]) -> None:
    """acc[i, j] += x[i, k] * y[k, j] by each lane for its own rows and columns."""
    x, y = e.name(item.x), e.name(item.y)
    over_m, over_n, over_k = repeats
    with (
        e.loop(over_k, index="k") as k,
        e.loop(over_m, index="i") as i,
        e.loop(over_n, index="j") as j,
    ):
        place = f"{acc}[{i} * {over_n} + {j}]"
        left = e.number(item.x, f"{x}[{i} * {over_k} + {k}]")
        right = e.number(item.y, f"{y}[{k} * {over_n} + {j}]")
        e.line(f"{place} = {_multiply_add(e, item, left, right, place)};")


def _multiply_add(e: Emitter, item: Mma, left: str, right: str, place: str) -> str:
    dtype = element_type(item.acc)
    match dtype.name:
        case "i32":
            return f"(int)((unsigned){place} + (unsigned)({left}) * (unsigned)({right}))"
        case "f64":
            return f"fma({left}, {right}, {place})"
        case "f32":
            return f"fmaf({left}, {right}, {place})"
        case "f16":
            return e.rounded(item.acc, f"fmaf({left}, {right}, {e.number(item.acc, place)})")
    raise InternalError(f"no product accumulates in {dtype.name}")
