"""`place_tiles`: operands are staged in free memory layouts, products are cut, meaning is kept."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.instructions.buffer import Alloc, BufferLoad, Copy, Part
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.memory import Load
from tilewright.ir.kernel import Kernel
from tilewright.ir.layout import Layout
from tilewright.ir.layout.banks import count_conflicts
from tilewright.ir.targets.shared_access import SharedPlan, plan_shared_access
from tilewright.ir.values import buffer_type, shape_of, tile_type
from tilewright.tests.passes.products import check_golden, check_meaning, lower, matmul

FORMS = {
    "f16": {},
    "bf16": {"operand": "bf16", "result": "f32"},
    "tf32": {"operand": "f32", "result": "f32", "tf32": True, "tile": (32, 32, 16)},
    "i8": {"operand": "i8", "result": "i32", "acc": "i32", "tile": (32, 32, 64)},
    "f32": {"operand": "f32", "result": "f32", "tile": (32, 32, 8)},
    "f64": {"operand": "f64", "result": "f64", "acc": "f64", "tile": (16, 16, 4)},
    "f8": {"operand": "f8e4m3", "result": "f32"},
    "first transposed": {"a": "1, x16B"},
    "both transposed": {"a": "1, x16B", "b": "1, x16B"},
    "no contiguous axis": {"a": "any, any", "b": "any, any"},
    "odd rows": {"a": "any, 1", "b": "any, 1"},
    "odd tiles": {"tile": (20, 12, 10)},
    "one": {"tile": (1, 1, 1)},
    "one stage": {"stages": 1},
}


def placed(kernel: Kernel) -> Kernel:
    return lower(kernel, "place_tiles")


def copies(kernel: Kernel) -> list[Copy]:
    return [item for item in kernel.walk() if isinstance(item, Copy)]


def test_golden() -> None:
    check_golden(placed(matmul()), "place_tiles")


@pytest.mark.parametrize("form", FORMS)
def test_meaning_is_kept(form: str, rng: np.random.Generator) -> None:
    kernel = placed(matmul(**FORMS[form]))  # type: ignore[arg-type]
    assert {copy.tensor.name for copy in copies(kernel)} == {"a", "b"}
    assert not any(isinstance(item, Load) for item in kernel.walk())
    check_meaning(kernel, rng, ((5, 3, 9),) if form == "one" else None)


@pytest.mark.parametrize("form", ["f16", "i8", "first transposed", "both transposed"])
def test_reads_are_whole_matrices(form: str) -> None:
    kernel = placed(matmul(**FORMS[form]))  # type: ignore[arg-type]
    kinds = {plan.kind for plan, _, _ in operand_plans(kernel)}
    turned = {"first transposed": {"matrix", "transposed"}, "both transposed": {"transposed"}}
    assert kinds == turned.get(form, {"matrix"})


@pytest.mark.parametrize("tile", [(128, 128, 64), (64, 64, 32), (32, 64, 16), (64, 48, 128)])
@pytest.mark.parametrize("form", ["f16", "tf32", "i8", "f32", "first transposed"])
def test_reads_have_no_bank_conflicts(form: str, tile: tuple[int, int, int]) -> None:
    options = FORMS[form] | {"tile": tile}
    for plan, memory, shape in operand_plans(placed(matmul(**options))):  # type: ignore[arg-type]
        assert count_conflicts(memory, plan.accesses(shape)) == 0


def operand_plans(kernel: Kernel) -> list[tuple[SharedPlan, Layout, tuple[int, ...]]]:
    """How the operands of products are read from their buffers."""
    buffers = {copy.buffer for copy in copies(kernel)}
    found = []
    for item in kernel.walk():
        if isinstance(item, Part):
            buffers.add(item.results[0])
        if isinstance(item, BufferLoad) and item.buffer in buffers:
            registers = tile_type(item.results[0]).layout
            memory = buffer_type(item.buffer).layout
            assert registers is not None and memory is not None
            plan = plan_shared_access(registers, memory, matrices=True)
            found.append((plan, memory, registers.shape))
    assert found
    return found


def test_products_are_cut_into_steps_of_the_atom() -> None:
    kernel = placed(matmul(tile=(32, 32, 40)))
    steps = [shape_of(item.x)[1] for item in kernel.walk() if isinstance(item, Mma)]
    assert steps == [16, 16, 8]


@pytest.mark.parametrize(
    ("strides", "operand", "width", "path"),
    [
        ("x16B, 1", "f16", 16, "cp_async"),
        ("any, 1", "f16", 2, "plain"),
        ("any, 1", "f32", 4, "cp_async"),
        ("any, any", "f64", 8, "cp_async"),
        ("any, 1", "i8", 1, "plain"),
    ],
)
def test_copies_are_as_wide_as_the_tensor_allows(
    strides: str, operand: str, width: int, path: str
) -> None:
    acc = {"f64": "f64", "i8": "i32"}.get(operand, "f32")
    kernel = placed(matmul(operand=operand, acc=acc, result=acc, a=strides, b=strides))
    assert {(copy.width, copy.path) for copy in copies(kernel)} == {(width, path)}


def test_a_row_that_16_bytes_do_not_divide_is_copied_in_smaller_steps() -> None:
    kernel = placed(matmul(tile=(32, 32, 20)))
    buffers = [item for item in kernel.walk() if isinstance(item, Alloc)]
    assert buffers[0].layout is not None
    assert buffers[0].layout.shape == (32, 32)  # k = 20 is padded to whole atoms
    assert {copy.width for copy in copies(kernel)} == {8}  # the loop moves by 40 bytes
