"""The verifier accepts what is legal in a phase and says which rule a kernel breaks."""

from __future__ import annotations

import dataclasses

import pytest

from tilewright.ir.diagnostics import (
    ResourceError,
    ShapeError,
    TilewrightError,
    TypeMismatch,
    VerifyError,
)
from tilewright.ir.instruction import Body
from tilewright.ir.instructions.control import Yield
from tilewright.ir.kernel import Kernel
from tilewright.ir.parser import parse_kernel
from tilewright.ir.verifier import verify

PARAMS = "%x: tile<[4], f32>, %i: i32, %f: f32, %b: bool, %s: buffer<[4], f32>, %q: barrier<1, 4>"


def kernel(*lines: str, phase: str = "scheduled", head: str = "") -> Kernel:
    body = "".join(f"  {line}\n" for line in (*lines, "yield []"))
    return parse_kernel(f"kernel @k({PARAMS}), phase={phase}{head} {{\n{body}}}\n", "k.tile")


def roles(*bodies: str, warps: str = "[4, 4]", registers: str = "[0, 0]") -> tuple[str, ...]:
    middle = " ".join(f"{{\n{body}\nyield []\n}}" for body in bodies)
    return (f'roles names=["a", "b"], warps={warps}, registers={registers} {middle}',)


LOOP = "%1: f32 = for %i, %i, %i, [%f] (%k: i32, %g: f32) {"
REJECTED = {
    "phase": (
        kernel('sync scope="role"', phase="tile"),
        VerifyError,
        "sync is not legal in phase tile",
    ),
    "break outside of a loop": (
        kernel("if %b {", "break []", "} {", "yield []", "}"),
        VerifyError,
        "a body ends in break where that is not legal",
    ),
    "break out of a role": (
        kernel(LOOP, *roles("if %b {\nbreak [%g]\n} {\nyield []\n}", ""), "yield [%g]", "}"),
        VerifyError,
        "a body ends in break where that is not legal",
    ),
    "continue out of a grid": (
        kernel("for_tiles [%i] (%u: i32) {", "continue []", "}"),
        VerifyError,
        "a body ends in continue where that is not legal",
    ),
    "break with other types": (
        kernel(LOOP, "if %b {", "break [%i]", "} {", "yield []", "}", "yield [%g]", "}"),
        VerifyError,
        "break gives other types than the loop carries",
    ),
    "yield of too few": (
        kernel(LOOP, "yield []", "}"),
        VerifyError,
        "yield gives other types than the loop carries",
    ),
    "carried value changes its type": (
        kernel("%1: f32 = for %i, %i, %i, [%f] (%k: i32, %g: f32) {", "yield [%k]", "}"),
        VerifyError,
        "yield gives other types than the loop carries",
    ),
    "branches differ": (
        kernel("%1: f32 = if %b {", "yield [%f]", "} {", "yield [%i]", "}"),
        VerifyError,
        "the branches of an if yield different types",
    ),
    "condition ends no loop": (
        kernel("if %b {", "condition %b", "} {", "yield []", "}"),
        VerifyError,
        "a body ends in condition where that is not legal",
    ),
    "a while without condition": (
        kernel("while [] {", "yield []", "} {", "yield []", "}"),
        VerifyError,
        "a body ends in yield where that is not legal",
    ),
    "a kernel that yields": (
        dataclasses.replace(
            k := kernel(), body=Body(k.params, (Yield(values=(k.params[1],)),))
        ),
        VerifyError,
        "this body carries no values",
    ),
    "a body without end": (
        dataclasses.replace(kernel(), body=Body((), ())),
        VerifyError,
        "a body is empty",
    ),
    "a body that goes on": (
        kernel("yield []"),
        VerifyError,
        "yield stands at the wrong end of a body",
    ),
    "a body that only starts": (
        kernel("if %b {", "%1: f32 = add %f, %f", "} {", "yield []", "}"),
        VerifyError,
        "add stands at the wrong end of a body",
    ),
    "scope of a branch": (
        kernel("if %b {", "%1: f32 = add %f, %f", "yield []", "} {", "yield []", "}",
               "%2: f32 = add %1, %1"),
        VerifyError,
        "add uses %.*outside of its scope",
    ),
    "a tile crosses roles": (
        kernel(*roles("%1: tile<[4], f32> = add %x, %x", "")),
        VerifyError,
        "add uses %x.* outside of its scope",
    ),
    "a token crosses roles": (
        kernel("%1: token = token.done", *roles("wait [%1], []", "")),
        VerifyError,
        "wait uses %.* outside of its scope",
    ),
    "warps of roles": (
        kernel(*roles("", ""), head=", warps=12"),
        VerifyError,
        r"roles of \(4, 4\) warps in a kernel of 12",
    ),
    "no layout": (
        kernel("%1: tile<[4], f32> = add %x, %x", phase="target"),
        VerifyError,
        "add has a result without a layout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REJECTED)
def test_rejected(name: str) -> None:
    bad, kind, text = REJECTED[name]
    with pytest.raises(kind, match=text) as caught:
        verify(bad)
    assert isinstance(caught.value, TilewrightError)
    if name not in ("a kernel that yields", "a body without end"):
        assert caught.value.location is not None
        assert caught.value.location.file == "k.tile"


@pytest.mark.parametrize(
    ("warps", "registers", "kind", "text"),
    [
        ("[4, 2]", "[24, 240]", ShapeError, "split a warpgroup"),
        ("[2, 6]", "[24, 240]", ShapeError, "split a warpgroup"),
        ("[4, 4]", "[20, 240]", ResourceError, "multiples of 8 from 24 to 256"),
        ("[4, 4]", "[24, 264]", ResourceError, "multiples of 8 from 24 to 256"),
        ("[4, 8]", "[40, 240]", ResourceError, "roles want 66560 registers, .* 64512 in all"),
    ],
)
def test_registers_that_would_hang(warps: str, registers: str, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        kernel(*roles("", "", warps=warps, registers=registers))


@pytest.mark.parametrize(
    ("warps", "registers"),
    [
        ("[4, 8]", "[40, 232]"),
        ("[2, 2]", "[24, 24]"),
        ("[1, 7]", "[0, 0]"),
        ("[4, 4]", "[24, 256]"),
    ],
)
def test_registers_that_fit(warps: str, registers: str) -> None:
    verify(kernel(*roles("", "", warps=warps, registers=registers)))


COPY = "%1: token = copy %t, [%i], %s"
REFUSED_COPIES = {
    "barrier=%q": "names the barrier and the slot",
    'slot=%i, path="tma"': "names the barrier and the slot",
    "barrier=%q, slot=%i": "a cp_async copy complete no barrier",
}


@pytest.mark.parametrize("fields", REFUSED_COPIES)
def test_copies_and_barriers(fields: str) -> None:
    text = f"kernel @k(%t: tensor<f32, strides=[1], extents=[any]>, {PARAMS}), phase=tile {{\n"
    with pytest.raises(TypeMismatch, match=REFUSED_COPIES[fields]):
        parse_kernel(f"{text}  {COPY}, {fields}\n  yield []\n}}\n")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("wait [%x], []", "wait wants tokens in its first list"),
        ("%1: tile<[4], f32> = wait [], [%x]", "wait wants pending tiles in its second list"),
        ("barrier.arrive %q, %i, arrivals=5", "5 arrivals at a barrier of 4"),
        ("barrier.arrive %s, %i", "s is a buffer where a barrier is wanted"),
        ("named.sync number=0, warps=4", "named barrier 0: the numbers are 1 to 15"),
        ("named.arrive number=16, warps=4", "named barrier 16: the numbers are 1 to 15"),
        ("assume %i", "assume wants a bool, not i32"),
        ("%1: pending<[4], f32> = pend %f", "f is a scalar where a tile is wanted"),
    ],
)
def test_operand_kinds(line: str, text: str) -> None:
    with pytest.raises(TilewrightError, match=text):
        kernel(line)


def test_what_is_visible_in_roles() -> None:
    """Scalars, buffers and barriers cross roles."""
    inner = "%1: f32 = add %f, %f\nbarrier.wait %q, %i, %i\n%2: tile<[4], f32> = buffer.load %s"
    verify(kernel(*roles(inner, "")))


def test_loops_in_branches_in_loops() -> None:
    """The nearest loop decides what break carries."""
    verify(
        kernel(
            LOOP, "%2: i32 = for %i, %i, %i, [%i] (%l: i32, %h: i32) {",
            "if %b {", "if %b {", "break [%h]", "} {", "continue [%l]", "}", "yield []",
            "} {", "yield []", "}", "yield [%h]", "}",
            "if %b {", "break [%g]", "} {", "yield []", "}", "yield [%g]", "}",
        )
    )  # fmt: skip
