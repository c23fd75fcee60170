"""The section 5 matmul on the virtual machine: right for every type, stride and size; no races, no
bank conflicts, wide accesses; and every barrier and wait that the passes inserted is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tilewright.codegen.cuda import CudaSource, emit_cuda
from tilewright.codegen.parameters import list_parameters
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import For
from tilewright.ir.instructions.sync import Sync, Wait
from tilewright.ir.kernel import Kernel
from tilewright.ir.targets import CUDA_TARGETS, default_device
from tilewright.ir.values import tensor_type
from tilewright.passes.order import CUDA
from tilewright.passes.runner import Context, run_passes
from tilewright.runtime.nvrtc import CudaBinary, compile_cuda
from tilewright.runtime.vm import Report, run
from tilewright.tests.passes.products import matmul, operands

ROW, COLUMN, ANY = "x16B, 1", "1, x16B", "any, any"
TYPES: dict[str, dict[str, Any]] = {
    "f16": {},
    "f16 sums": {"acc": "f16"},
    "bf16": {"operand": "bf16", "result": "f32"},
    "tf32": {"operand": "f32", "result": "f32", "tf32": True, "tile": (64, 64, 16)},
    "i8": {"operand": "i8", "result": "i32", "acc": "i32", "tile": (64, 64, 64)},
    "u8": {"operand": "u8", "result": "i32", "acc": "i32", "tile": (32, 32, 32)},
    "f8e4m3": {"operand": "f8e4m3", "result": "f32"},
    "f32": {"operand": "f32", "result": "f32", "tile": (64, 64, 16)},
    "f64": {"operand": "f64", "result": "f64", "acc": "f64", "tile": (32, 32, 8)},
    "i16": {"operand": "i16", "result": "i32", "acc": "i32", "tile": (32, 32, 16)},
}
BLOCKED: dict[str, dict[str, Any]] = {
    "f32": {"operand": "f32", "result": "f32", "tile": (64, 64, 64)},
    "f32, first transposed": {"operand": "f32", "result": "f32", "tile": (64, 32, 64), "a": COLUMN},
    "f32, odd": {"operand": "f32", "result": "f32", "tile": (20, 12, 48), "a": "any, 1"},
    "f64": {"operand": "f64", "result": "f64", "acc": "f64", "tile": (32, 32, 32)},
    "i16": {"operand": "i16", "result": "i32", "acc": "i32", "tile": (32, 32, 64)},
}
"""Products on the lanes that loop over blocks of k."""
STRIDES = [(COLUMN, ROW), (ROW, COLUMN), (COLUMN, COLUMN), (ANY, ANY), ("any, 1", "1, any")]
TILES = [(1, 1, 1), (16, 8, 16), (100, 30, 20), (17, 33, 5), (128, 128, 64), (64, 96, 48)]


@dataclasses.dataclass(frozen=True)
class Built:
    """A compiled kernel."""

    kernel: Kernel
    source: CudaSource
    binary: CudaBinary

    @property
    def spills(self) -> int:
        return self.binary.resources[self.source.entry].spills


def lowered(kernel: Kernel, target: str = "sm_80") -> Kernel:
    record = CUDA_TARGETS[target]
    return run_passes(kernel, CUDA, Context(record, default_device(record)), check=True)


def build(kernel: Kernel, target: str = "sm_80") -> Built:
    source = emit_cuda(kernel, CUDA_TARGETS[target])
    name = f"/{source.entry}.cu"
    return Built(
        kernel, source, compile_cuda(source.text, arch=target, name=name, options=source.options)
    )


def place(codes: Any, strides: tuple[str, ...], poison: int) -> tuple[Any, list[int]]:
    """Memory with gaps between rows (or columns), and the strides of the two axes."""
    turned = strides[0] == "1"
    codes = codes.T if turned else codes
    wide = "x16B" in strides or "1" in strides
    unit = max(1, 32 // codes.itemsize)  # whole sectors
    gap = (-codes.shape[1]) % unit + unit if "x16B" in strides else 3
    step = 1 if wide else 2
    memory = np.full((codes.shape[0], (codes.shape[1] + gap) * step), poison, codes.dtype)
    memory[:, : codes.shape[1] * step : step] = codes
    found = [memory.shape[1], step]
    return memory, found[::-1] if turned else found


def launch(built: Built, m: int, n: int, k: int, rng: np.random.Generator, seed: int = 0) -> Report:
    """Runs with poisoned gaps and output, and compares; what lies around the output must stay."""
    kernel = built.kernel
    kinds = [tensor_type(p) for p in kernel.params]
    views, want = operands(kernel, m, n, k, rng)
    placed = [
        place(np.asarray(kind.dtype.encode(view.values)), kind.strides, 0x55)
        for kind, view in zip(kinds, views, strict=True)
    ]
    memory = placed[2][0]
    before = memory.copy()
    words = []
    for word in list_parameters(kernel):
        held, strides = placed[word.argument]
        extents = views[word.argument].shape
        match word.kind:
            case "pointer":
                words.append(held)
            case "extent":
                words.append(extents[word.axis])
            case _:
                words.append(strides[word.axis])
    rows, columns = tile_of(kernel)
    grid = max(1, -(-m // rows) * -(-n // columns))
    source = built.source
    report = run(
        built.binary.ptx, source.entry, grid, source.threads, words,
        shared=source.shared_bytes, seed=seed,
    )  # fmt: skip
    found = kinds[2].dtype.decode(memory[:, :n])
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(memory[:, n:], before[:, n:])
    return report


def tile_of(kernel: Kernel) -> tuple[int, int]:
    """Rows and columns of the tile that one block stores."""
    stored = next(item for item in kernel.walk() if item.name == "store")
    shape = stored.operand_values[-1].type.shape  # type: ignore[union-attr]
    return shape[0], shape[1]


@pytest.mark.parametrize("form", TYPES)
def test_every_type_is_exact_on_small_integers(form: str, rng: np.random.Generator) -> None:
    built = build(lowered(matmul(**{"tile": (64, 64, 32)} | TYPES[form])))
    assert built.spills == 0
    for shape in ((96, 80, 72), (5, 3, 1), (64, 64, 0)):
        report = launch(built, *shape, rng)
        assert not report.races and not report.warnings
        assert report.counters["shared"]["bank_conflicts"] == 0


@pytest.mark.parametrize("form", BLOCKED)
def test_deep_products_on_the_lanes_loop_over_blocks(form: str, rng: np.random.Generator) -> None:
    kernel = lowered(matmul(**BLOCKED[form]))
    loops = [item for item in kernel.walk() if isinstance(item, For)]
    assert len(loops) == 2  # over the columns of a, and over the blocks of one tile
    built = build(kernel)
    for shape in ((70, 66, 100), (64, 64, 128)):
        report = launch(built, *shape, rng)
        assert not report.races and not report.warnings
        assert report.counters["shared"]["bank_conflicts"] == 0


@pytest.mark.parametrize(("a", "b"), STRIDES)
@pytest.mark.parametrize("form", ["f16", "f32", "i8"])
def test_any_strides(form: str, a: str, b: str, rng: np.random.Generator) -> None:
    built = build(lowered(matmul(**TYPES[form] | {"a": a, "b": b, "tile": (32, 32, 32)})))
    report = launch(built, 40, 50, 70, rng)
    assert not report.races and not report.warnings


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("form", ["f16", "f32"])
def test_any_tile(form: str, tile: tuple[int, int, int], rng: np.random.Generator) -> None:
    if form == "f32" and tile[0] == 128:
        tile = (128, 64, 16)
    built = build(lowered(matmul(**TYPES[form] | {"tile": tile})))
    m, n = min(tile[0] + 3, 130), min(tile[1] + 5, 130)
    report = launch(built, m, n, 2 * tile[2] + 1, rng)
    assert not report.races and not report.warnings


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_any_number_of_stages_and_turns(stages: int, rng: np.random.Generator) -> None:
    built = build(lowered(matmul(tile=(16, 16, 16), stages=stages)))
    for turns in range(6):
        for seed in range(2):
            report = launch(built, 16, 16, turns * 16 - (turns > 0), rng, seed)
            assert not report.races and not report.warnings


@pytest.mark.parametrize("target", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("form", ["f16", "bf16", "tf32", "i8"])
@pytest.mark.parametrize("tile", [(128, 128, 64), (64, 64, 64)])
def test_aligned_tiles_are_free_of_spills_and_conflicts_and_go_16_bytes_wide(
    form: str, tile: tuple[int, int, int], target: str, rng: np.random.Generator
) -> None:
    tile = (*tile[:2], 32) if form == "tf32" else tile
    options = TYPES[form] | {"tile": tile, "extents": "x16, x16"}
    built = build(lowered(matmul(**options), target), target)
    report = launch(built, tile[0], tile[1], 2 * tile[2], rng)
    assert built.spills == 0
    assert not report.races and not report.warnings
    assert report.counters["shared"]["bank_conflicts"] == 0
    traffic = report.counters["global"]
    assert traffic["bytes"] == traffic["requests"] * 32 * 16
    assert traffic["sectors"] == traffic["ideal_sectors"]


def syncs_of(body: Body) -> Iterator[Instruction]:
    for item in body.instructions:
        if isinstance(item, (Sync, Wait)):
            yield item
        for nested in item.nested:
            yield from syncs_of(nested)


def without(body: Body, gone: Instruction) -> Body:
    """`body` without a barrier, or with a wait that leaves one more group in flight."""
    made: list[Instruction] = []
    for item in body.instructions:
        if item is gone:
            if isinstance(item, Wait):
                made.append(dataclasses.replace(item, groups=(item.groups or 0) + 1))
            continue
        changes = {
            spec.name: without(getattr(item, spec.name), gone)
            for spec in item.specs
            if spec.kind == "body"
        }
        made.append(dataclasses.replace(item, **changes) if changes else item)  # type: ignore[arg-type]
    return Body(body.args, tuple(made))


IMPLIED = "wait behind the loop: only empty groups are left there"


@pytest.mark.parametrize("stages", [1, 3])
def test_every_barrier_and_wait_is_needed(stages: int, rng: np.random.Generator) -> None:
    kernel = lowered(matmul(tile=(64, 64, 32), result="f32", stages=stages))
    found = list(syncs_of(kernel.body))
    implied = []
    for item in found:
        defect = dataclasses.replace(kernel, body=without(kernel.body, item))
        built = build(defect)
        reports = []
        try:
            reports = [launch(built, 64, 64, k, rng, k) for k in (160, 103)]
        except AssertionError:
            continue  # a wrong result shows it, too
        if not any(report.races for report in reports):
            implied.append(item)
    assert [type(item) for item in implied] == ([Wait] if stages > 1 else []), IMPLIED
    assert all(isinstance(item, Wait) and item is found[2] for item in implied)
