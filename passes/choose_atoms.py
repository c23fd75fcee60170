"""Choose atoms: each product gets its matrix instruction and warp grid, the kernel its warps.

before:  %r: tile<[128, 128], f32> = mma %x, %y, %acc
after:   %r: tile<[128, 128], f32> = mma %x, %y, %acc, atom="mma.m16n8k16.f16.f32", warp_grid=[2, 2]
         (and the kernel: warps=4)

Needs: phase `tile`. Gives: the same phase; every `mma` names an atom of the target, operands have
the atom's type (small types are cast to one that holds all their values), `warps` is set.
Cost: linear in the kernel. Named rules: [matrix] a warp-level instruction where the target has one
for the types; [lanes] else the ordinary lanes, exactly; [widen] types below the atom's are cast;
[scaled] products with scales are written out (`passes.scaled_products`);
[config] `warps` of the config outranks the cost model of `passes.warp_grid`; [rows] where a product
feeds another one, warps share out rows alone, so that its sums become operands within their lanes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import prod

from tilewright.ir.diagnostics import ResourceError
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.elementwise import Cast
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.targets.record import Atom, Target
from tilewright.ir.types import DType, bf16, f16, f32, i8, tf32, u8
from tilewright.ir.values import TileType, Value, element_type, shape_of
from tilewright.passes.runner import Context, Pass
from tilewright.passes.scaled_products import expand_scaled
from tilewright.passes.users import feeds_rows, find_users
from tilewright.passes.warp_grid import choose_grid, choose_warps

ELEMENTS_PER_LANE = 16
"""Kernels without a product get about this many elements of their largest tile per lane."""


def choose_atoms(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with an atom and a warp grid on every product, and its number of warps."""
    target = context.target
    kernel = rebuild(rebuild(kernel, expand_scaled), _widen)
    products = [item for item in kernel.walk() if isinstance(item, Mma)]
    warps = _choose_warps(kernel, products, context)
    users = find_users(kernel)
    chained = any(feeds_rows(item, users) for item in products)

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, Mma) or item.warp_grid is not None:
            return None
        atom = find_atom(item, target)
        grid = choose_grid(atom, _extents(item), warps, rows=chained)
        return builder.add(
            dataclasses.replace(item, results=(), atom=atom.name, warp_grid=grid),
            item.results[0].name,
        )

    return rebuild(kernel, visit, warps=warps)


def find_atom(product: Mma, target: Target) -> Atom:
    """The atom for a product: [matrix] before [lanes], in the order of the target's list."""
    operand = element_type(product.x)
    if operand == f32 and product.precision == "tf32" and target.has("mma"):
        operand = tf32
    accumulator = element_type(product.acc)
    for atom in target.atoms:
        if atom.operand == operand and atom.accumulator == accumulator:
            return atom
    raise ResourceError(
        f"{target.name} has no product of {operand.name} into {accumulator.name}",
        "cast the operands to a type that it multiplies",
    )


def _extents(product: Mma) -> tuple[int, int, int]:
    (m, k), (_, n) = shape_of(product.x), shape_of(product.y)
    return m, n, k


def _choose_warps(kernel: Kernel, products: Sequence[Mma], context: Context) -> int:
    """[config], else the cheapest number for the largest product, else by the largest tile."""
    target = context.target
    named = context.config.get("warps", kernel.warps)
    if named is not None:
        if not 1 <= named <= target.max_warps:
            raise ResourceError(f"warps={named}: a block has 1 to {target.max_warps} warps")
        return int(named)
    if products:
        largest = max(products, key=lambda item: prod(_extents(item)))
        return choose_warps(find_atom(largest, target), _extents(largest))
    kinds = (v.type for item in kernel.walk() for v in item.results)
    sizes = (prod(kind.shape) for kind in kinds if isinstance(kind, TileType))
    lanes = max(sizes, default=1) // ELEMENTS_PER_LANE
    return min(8, max(1, 1 << (lanes // target.lanes).bit_length() - 1)) if lanes >= 32 else 1


def _widen(item: Instruction, builder: Builder) -> Sequence[Value] | None:
    """[widen] operands of types that no atom multiplies, to one that holds all their values."""
    if not isinstance(item, Mma):
        return None
    x, y = element_type(item.x), element_type(item.y)
    wide = _wide_types(x, y)
    if wide == (x, y):
        return None
    accumulator = element_type(item.acc)
    if accumulator == f16 and wide != (f16, f16):
        acc = builder.value(Cast(operand=item.acc, dtype=f32))
    else:
        acc = item.acc
    left = _cast(item.x, wide[0], builder)
    right = _cast(item.y, wide[1], builder)
    made = dataclasses.replace(item, results=(), x=left, y=right, acc=acc)
    result = builder.value(made, item.results[0].name)
    return (_cast(result, accumulator, builder),)


def _cast(value: Value, dtype: DType, builder: Builder) -> Value:
    if element_type(value) == dtype:
        return value
    return builder.value(Cast(operand=value, dtype=dtype), value.name)


def _wide_types(x: DType, y: DType) -> tuple[DType, DType]:
    """The types in which `x` and `y` are multiplied."""
    if x.is_integer:
        return _wide_integer(x), _wide_integer(y)
    if x == y and x.bits > 8:
        return x, y
    for wide in (f16, bf16):
        if all(_holds(wide, narrow) for narrow in (x, y)):
            return wide, wide
    return f32, f32


def _wide_integer(dtype: DType) -> DType:
    if dtype.bits > 8:
        return dtype
    return i8 if dtype.signed else u8


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is exactly one of `wide`."""
    if narrow.kind == "bool":
        return True
    if narrow.kind == "scale":
        return wide == bf16
    fits = narrow.exponent <= wide.exponent and narrow.mantissa <= wide.mantissa
    return narrow.is_float and fits


PASS = Pass("choose_atoms", choose_atoms)
