"""`choose_atoms`: the right atom for the types, warps that fit, and the same meaning."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.diagnostics import ResourceError
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.kernel import Kernel
from tilewright.ir.targets.fragments import product_layouts, registers_per_lane
from tilewright.ir.values import element_type
from tilewright.passes.choose_atoms import choose_atoms
from tilewright.passes.warp_grid import REGISTERS, choose_grid, choose_warps
from tilewright.tests.passes.products import SM_80, check_golden, check_meaning, context, matmul

ATOM_OF = [
    ("f16", "f32", "mma.m16n8k16.f16.f32"),
    ("f16", "f16", "mma.m16n8k16.f16.f16"),
    ("bf16", "f32", "mma.m16n8k16.bf16.f32"),
    ("i8", "i32", "mma.m16n8k32.i8.i32"),
    ("u8", "i32", "mma.m16n8k32.u8.i32"),
    ("i4", "i32", "mma.m16n8k32.i8.i32"),
    ("f8e4m3", "f32", "mma.m16n8k16.f16.f32"),
    ("f8e5m2", "f16", "mma.m16n8k16.f16.f16"),
    ("f6e2m3", "f32", "mma.m16n8k16.f16.f32"),
    ("f32", "f32", "simt.f32.f32"),
    ("f64", "f64", "simt.f64.f64"),
    ("i16", "i32", "simt.i16.i32"),
]


def product(kernel: Kernel) -> Mma:
    return next(item for item in kernel.walk() if isinstance(item, Mma))


def test_golden() -> None:
    check_golden(choose_atoms(matmul(tile=(128, 128, 64)), context()), "choose_atoms")


@pytest.mark.parametrize(("operand", "acc", "atom"), ATOM_OF)
def test_the_atom_follows_from_the_types(operand: str, acc: str, atom: str) -> None:
    kernel = choose_atoms(matmul(operand=operand, acc=acc, result=acc), context())
    assert product(kernel).atom == atom
    assert element_type(product(kernel).x) == SM_80.find_atom(atom).operand


def test_tf32_only_on_request() -> None:
    kernel = choose_atoms(matmul(operand="f32", result="f32", tf32=True), context())
    assert product(kernel).atom == "mma.m16n8k8.tf32.f32"


@pytest.mark.parametrize(("operand", "acc"), [("i4", "i32"), ("f8e5m2", "f16"), ("f6e3m2", "f32")])
def test_small_types_keep_their_products(operand: str, acc: str, rng: np.random.Generator) -> None:
    kernel = choose_atoms(matmul(operand=operand, acc=acc, result=acc), context())
    check_meaning(kernel, rng, ((9, 10, 11),))


def test_the_config_outranks_the_model() -> None:
    kernel = choose_atoms(matmul(tile=(64, 64, 32)), context(warps=8))
    assert kernel.warps == 8
    assert np.prod(product(kernel).warp_grid or ()) == 8


def test_too_many_warps_are_refused() -> None:
    with pytest.raises(ResourceError, match="warps=33: a block has 1 to 32 warps"):
        choose_atoms(matmul(), context(warps=33))


@pytest.mark.parametrize("atom", ["mma.m16n8k16.f16.f32", "simt.f32.f32", "mma.m16n8k32.i8.i32"])
@pytest.mark.parametrize("shape", [(128, 128, 64), (128, 256, 64), (256, 64, 32), (64, 64, 16)])
def test_the_chosen_grid_fits_in_registers(atom: str, shape: tuple[int, int, int]) -> None:
    record = SM_80.find_atom(atom)
    warps = choose_warps(record, shape)
    rows, columns = choose_grid(record, shape, warps)
    assert rows * columns == warps
    kernel = choose_atoms(matmul(tile=(128, 128, 64)), context())
    sums = product_layouts(product(kernel), SM_80).acc
    assert registers_per_lane(sums) < REGISTERS


@pytest.mark.parametrize("tile", [(1, 1, 1), (100, 30, 20), (16, 8, 16), (17, 257, 3)])
def test_any_tile_size_has_a_grid(tile: tuple[int, int, int], rng: np.random.Generator) -> None:
    kernel = choose_atoms(matmul(tile=tile, stages=1), context())
    layouts = product_layouts(product(kernel), SM_80)
    assert all(have >= want for have, want in zip(layouts.acc.shape, tile[:2], strict=True))
    check_meaning(kernel, rng, ((9, 10, 11),))
