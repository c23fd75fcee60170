"""Walking, rebuilding and cloning kernels: values in, values out, what is not touched is shared."""

from __future__ import annotations

import dataclasses

import pytest

from tilewright.ir.diagnostics import Location, ShapeError
from tilewright.ir.instructions.elementwise import Binary, Unary
from tilewright.ir.kernel import (
    Builder,
    Kernel,
    clone_body,
    definitions,
    map_types,
    rebuild,
    use_counts,
    walk,
)
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel, same_kernel
from tilewright.ir.types import f16, f32
from tilewright.ir.values import ScalarType, TileType, Value
from tilewright.ir.verifier import verify
from tilewright.tests.ir import samples

KERNELS = samples.kernels()
TEXT = """\
kernel @k(%n: i32, %x: f32), phase=tile {
  %y: f32 = add %x, %x
  %z: f32 = for %n, %n, %n, [%y] (%i: i32, %a: f32) {
    %b: f32 = mul %a, %y
    yield [%b]
  }
  %w: f32 = sub %z, %y
  yield []
}
"""


@pytest.mark.parametrize("name", KERNELS)
def test_rebuild_of_nothing_changes_nothing(name: str) -> None:
    kernel = KERNELS[name]
    again = rebuild(kernel, lambda item, builder: None)
    assert same_kernel(again, kernel)
    shared = [a for a, b in zip(kernel.walk(), again.walk(), strict=True) if a is b]
    assert len(shared) == sum(not item.nested for item in kernel.walk())


@pytest.mark.parametrize("name", KERNELS)
def test_a_clone_shares_no_value(name: str) -> None:
    kernel = KERNELS[name]
    copy = dataclasses.replace(kernel, body=clone_body(kernel.body, {}))
    assert same_kernel(copy, kernel)
    verify(copy)
    mine, theirs = ({r for i in k.walk() for r in i.results} for k in (kernel, copy))
    assert not mine & theirs
    assert not set(kernel.walk()) & set(copy.walk())


def test_rebuild_replaces_values_everywhere() -> None:
    """Uses in nested bodies and after them see what the visitor returned."""

    def visit(item: object, builder: Builder) -> tuple[Value, ...] | None:
        if isinstance(item, Binary) and item.op == "add":
            return (builder.value(Unary(op="neg", operand=item.left), "m"),)
        return None

    text = print_kernel(rebuild(parse_kernel(TEXT), visit))
    assert text == TEXT.replace("%y: f32 = add %x, %x", "%m: f32 = neg %x").replace("%y", "%m")


def test_rebuild_may_drop() -> None:
    def visit(item: object, builder: Builder) -> tuple[Value, ...] | None:
        return (item.left,) if isinstance(item, Binary) and item.op == "sub" else None

    kernel = rebuild(parse_kernel(TEXT), visit)
    assert "sub" not in print_kernel(kernel)
    verify(kernel)


def test_map_types() -> None:
    """Every f32 becomes f16, in arguments of bodies as well; instructions follow."""

    def change(value: Value) -> ScalarType | TileType:
        return ScalarType(f16) if value.type == ScalarType(f32) else value.type  # type: ignore[return-value]

    kernel = map_types(parse_kernel(TEXT), change)
    assert print_kernel(kernel) == TEXT.replace("f32", "f16")
    verify(kernel)


def test_walk_goes_outer_before_inner() -> None:
    kernel = parse_kernel(TEXT)
    assert [i.mnemonic for i in kernel.walk()] == ["add", "for", "mul", "yield", "sub", "yield"]
    assert list(walk(kernel.body)) == list(kernel.walk())


def test_definitions_and_uses() -> None:
    kernel = parse_kernel(TEXT)
    found = definitions(kernel)
    assert {v.name: i.mnemonic for v, i in found.items()} == {
        "y": "add", "z": "for", "b": "mul", "w": "sub"
    }  # fmt: skip
    counts = {v.name: n for v, n in use_counts(kernel).items()}
    assert counts == {"n": 3, "x": 2, "y": 3, "a": 1, "b": 1, "z": 1}


def test_builder_places_errors() -> None:
    """An instruction that is wrong is reported at the builder's place."""
    here = Location("user.py", 7, 4, 9)
    builder = Builder(location=here)
    one, two = Value(TileType((2,), f32)), Value(TileType((3,), f32))
    with pytest.raises(ShapeError) as caught:
        builder.value(Binary(op="add", left=one, right=two))
    assert caught.value.location == here
    assert not builder.instructions


def test_kernels_are_values() -> None:
    kernel = parse_kernel(TEXT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        kernel.phase = "target"  # type: ignore[misc]
    assert isinstance(kernel, Kernel)
