"""Text form: what the printer writes, the parser reads back, for every instruction and field."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest

from tilewright.ir.diagnostics import Location, TilewrightError
from tilewright.ir.instruction import REGISTRY, Instruction
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.kernel import Kernel, rebuild
from tilewright.ir.layout import parse_layout
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel, print_type, same_kernel
from tilewright.ir.types import f16, f32
from tilewright.ir.values import BarrierType, BufferType, PendingType, TensorType, TileType, Value
from tilewright.ir.verifier import verify
from tilewright.tests.ir import samples

KERNELS = samples.kernels()


def test_every_instruction_has_a_sample() -> None:
    assert {item.mnemonic for item in samples.instructions()} == set(REGISTRY)


@pytest.mark.parametrize("name", KERNELS)
def test_round_trip(name: str) -> None:
    """print → parse → print gives the same text, and samples verify."""
    kernel = KERNELS[name]
    verify(kernel)
    text = print_kernel(kernel)
    again = parse_kernel(text)
    assert print_kernel(again) == text
    assert same_kernel(again, kernel)


def _fields() -> list[Any]:
    """(instruction, attribute) for every attribute that has a default."""
    found: dict[tuple[str, str], Any] = {}
    for kernel in KERNELS.values():
        for item in kernel.walk():
            for spec in item.specs:
                if spec.kind == "attribute" and spec.default is not dataclasses.MISSING:
                    found.setdefault((item.name, spec.name), (kernel, item, spec))
    return [pytest.param(*value, id=f"{i}.{f}") for (i, f), value in found.items()]


SPECIAL: dict[str, Any] = {
    "order": "release",
    "path": "bulk",
    "reduce": "max",
    "bounds": (True, False),
    "warp_grid": (2, 1),
    "atom": "mma_m16n8k16",
    "precision": "exact",
}
"""Other values for attributes that not every value fits."""


def _other(name: str, held: Any) -> Any:
    if name in SPECIAL:
        return SPECIAL[name]
    match held:
        case bool():
            return not held
        case int() | None:
            return 17
        case str():
            return 'a "word"'
    return held


@pytest.mark.parametrize(("kernel", "item", "spec"), _fields())
def test_every_attribute_round_trips(kernel: Kernel, item: Instruction, spec: Any) -> None:
    """Its value survives the text, and its default is left out of it."""
    for value in (_other(spec.name, spec.default), spec.default):
        changed = rebuild(kernel, functools.partial(_replace, item, {spec.name: value}))
        try:
            again = parse_kernel(print_kernel(changed))
        except TilewrightError:
            assert spec.name in ("layout", "axis"), "these are part of the result's type"
            continue
        held = [getattr(i, spec.name) for i in again.walk() if i.mnemonic == item.mnemonic]
        before = [i for i in kernel.walk() if i.mnemonic == item.mnemonic]
        assert held[before.index(item)] == value
        line = print_kernel(changed).splitlines()
        shown = [text for text in line if f"{item.mnemonic} " in text or text.endswith("fence")]
        if value == spec.default:
            assert f"{spec.name}=" not in shown[before.index(item)].split(item.mnemonic, 1)[1]


def _replace(target: Instruction, changes: Any, item: Instruction, builder: Any) -> Any:
    if item.location != target.location or item.mnemonic != target.mnemonic:
        return None
    builder.append(dataclasses.replace(item, **changes))
    return item.results


@pytest.mark.parametrize("name", KERNELS)
def test_equal_up_to_names(name: str) -> None:
    kernel = KERNELS[name]
    unnamed = parse_kernel(print_kernel(kernel, names=False))
    assert same_kernel(unnamed, kernel)
    assert not any(r.name for item in unnamed.walk() for r in item.results)


def test_different_kernels_are_not_the_same() -> None:
    names = list(KERNELS)
    assert not any(same_kernel(KERNELS[a], KERNELS[b]) for a in names for b in names if a < b)


def test_names_are_made_unique() -> None:
    text = """\
kernel @k(%x: i32), phase=tile {
  %x.1: i32 = add %x, %x
  %x.2: i32 = add %x.1, %x
  yield []
}
"""
    assert print_kernel(parse_kernel(text)) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TileType((), f32), "tile<[], f32>"),
        (TileType((2, 3), f16), "tile<[2, 3], f16>"),
        (PendingType(TileType((4,), f32)), "pending<[4], f32>"),
        (BarrierType(2, 128), "barrier<2, 128>"),
        (
            BufferType((4,), f16, parse_layout("[4]{4:1@addr | bits 16}")),
            "buffer<[4], f16, [4]{4:1@addr | bits 16}>",
        ),
        (
            TensorType(f16, ("x16B", "1"), ("any", "x16"), aligned=True),
            "tensor<f16, strides=[x16B, 1], extents=[any, x16], aligned>",
        ),
    ],
)
def test_types(kind: Any, text: str) -> None:
    assert print_type(kind) == text


def test_places_are_shown_on_request() -> None:
    kernel = parse_kernel("kernel @k(), phase=tile {\n  yield []\n}\n", "k.py")
    assert print_kernel(kernel, places=True).splitlines()[1] == "  yield []  // k.py:2:3"


def test_unprintable_attribute_is_an_error() -> None:
    made = Const(value=1, dtype="not a dtype", results=(Value(TileType((), f32)),))  # type: ignore[arg-type]
    kernel = KERNELS["scalars"]
    body = dataclasses.replace(kernel.body, instructions=(dataclasses.replace(made, value={}),))
    with pytest.raises(TypeError, match=r"attribute \{\} has no text form"):
        print_kernel(dataclasses.replace(kernel, body=body))


def test_locations_are_kept_by_the_parser() -> None:
    kernel = parse_kernel("kernel @k(), phase=tile {\n\n  yield []\n}\n", "k.tile")
    assert kernel.body.terminator.location == Location("k.tile", 3, 2, 10)
