"""What the parser says about texts that it cannot read, and what it accepts besides."""

from __future__ import annotations

import pytest

from tilewright.ir.diagnostics import IRSyntaxError, ShapeError, TilewrightError, TypeMismatch
from tilewright.ir.parser import parse_kernel, parse_kernels
from tilewright.ir.printer import print_kernel

PARAMS = """\
%x: tile<[4, 8], f32>, %y: tile<[4, 8], i32>, %i: i32, %s: buffer<[2, 4], f32>, \
%t: tensor<f32, strides=[1], extents=[any]>"""


def wrapped(*lines: str) -> str:
    body = "".join(f"  {line}\n" for line in lines)
    return f"kernel @k({PARAMS}), phase=scheduled {{\n{body}  yield []\n}}\n"


REJECTED = {
    "unknown instruction": ("%1: i32 = plus %i, %i", IRSyntaxError, "unknown instruction plus"),
    "undefined value": ("%1: i32 = add %i, %j", IRSyntaxError, "%j is used before it is defined"),
    "own result": ("%1: i32 = add %i, %1", IRSyntaxError, "%1 is used before it is defined"),
    "too many operands": ("%1: i32 = add %i, %i, %i", IRSyntaxError, "too many operands"),
    "missing operand": ("%1: i32 = add %i", IRSyntaxError, "add: .*'right'"),
    "missing attribute": ("%1: tile<[2], i32> = arange %i", IRSyntaxError, "arange: .*'size'"),
    "unknown attribute": ("barrier.wait %i, %i, %i, colour=3", IRSyntaxError, "colour"),
    "list for one operand": (
        "%1: i32 = add [%i], %i",
        IRSyntaxError,
        "left of binary is one value",
    ),
    "one for a list": ("store %t, %i, %x", IRSyntaxError, "offsets of store is a list"),
    "wrong result type": (
        "%1: tile<[4, 8], f32> = add %y, %y",
        IRSyntaxError,
        r"add gives tile<\[4, 8\], i32>, not tile<\[4, 8\], f32>",
    ),
    "wrong number of results": (
        "%1: i32, %2: i32 = add %i, %i",
        IRSyntaxError,
        "add has 1 results, not 2",
    ),
    "undefined layout": (
        "%1: tile<[4, 8], f32> = convert %x, layout=#7",
        IRSyntaxError,
        "layout #7 is not defined",
    ),
    "unknown dtype": ("%1: f33 = add %i, %i", IRSyntaxError, "f33"),
    "a tile for a scalar's place": (
        "%1: tile<[4], f32> = buffer.load %x",
        TypeMismatch,
        "x is a tile where a buffer is wanted",
    ),
    "a scalar for a tensor": (
        "%1: i32 = extent %i, axis=0, dtype=i32",
        TypeMismatch,
        "i is a scalar where a tensor is wanted",
    ),
    "shapes differ": (
        "%1: tile<[4, 8], i32> = add %y, %i",
        ShapeError,
        r"shapes \(\) and \(4, 8\) differ",
    ),
    "dtypes differ": (
        "%1: tile<[4, 8], f32> = add %x, %y",
        TypeMismatch,
        "add of f32 and i32",
    ),
    "an axis too many": (
        "%1: i32 = extent %t, axis=1, dtype=i32",
        ShapeError,
        "axis 1 of t of rank 1",
    ),
    "indices too many": (
        "%1: buffer<[], f32> = buffer.at %s, [%i, %i, %i]",
        ShapeError,
        "3 indices for a buffer of rank 2",
    ),
    "a part outside": (
        "%1: buffer<[2, 4], f32> = buffer.part %s, start=[1, 0], shape=[2, 4]",
        ShapeError,
        "leaves a buffer of shape",
    ),
    "not an instruction": ("add add add", IRSyntaxError, "cannot read this"),
    "empty body": ("for_tiles [] {\n  }", IRSyntaxError, "a body is empty"),
    "no body": ("for_tiles [%i]", IRSyntaxError, "for_tiles: .*'body'"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_rejected(name: str) -> None:
    line, kind, text = REJECTED[name]
    with pytest.raises(kind, match=text) as caught:
        parse_kernel(wrapped(line), "bad.tile")
    assert isinstance(caught.value, TilewrightError)
    assert caught.value.location is not None
    assert (caught.value.location.file, caught.value.location.line) == ("bad.tile", 2)


def test_error_points_at_the_line(tmp_path) -> None:
    """The caret covers the instruction, of a file that exists."""
    path = tmp_path / "bad.tile"
    path.write_text(wrapped("%1: i32 = add %i, %i", "%2: i32 = plus %1, %i"))
    with pytest.raises(IRSyntaxError) as caught:
        parse_kernel(path.read_text(), str(path))
    assert str(caught.value) == (
        "unknown instruction plus\n"
        f"  --> {path}:3:3\n"
        "  |\n"
        "3 |   %2: i32 = plus %1, %i\n"
        "  |   ^^^^^^^^^^^^^^^^^^^^^"
    )


def test_caret_of_an_instruction_with_a_body(tmp_path) -> None:
    path = tmp_path / "bad.tile"
    path.write_text(wrapped("for_tiles [%x] (%j: i32) {", "  yield []", "}", "more %i"))
    with pytest.raises(IRSyntaxError, match="unknown instruction more"):
        parse_kernel(path.read_text(), str(path))


@pytest.mark.parametrize("text", ["", "// nothing\n", "layout #0 = [4]{4:1@reg}\n"])
def test_no_kernel(text: str) -> None:
    with pytest.raises(IRSyntaxError, match="holds 0 kernels, want one"):
        parse_kernel(text, "none.tile")


def test_two_kernels() -> None:
    """Layouts are shared by the kernels of one text; values are not."""
    one = "kernel @{}(%i: i32), phase=tile {{\n  %j: i32 = add %i, %i\n  yield []\n}}\n"
    text = one.format("a") + "\n" + one.format("b")
    assert [k.name for k in parse_kernels(text)] == ["a", "b"]
    with pytest.raises(IRSyntaxError, match="holds 2 kernels"):
        parse_kernel(text)
    with pytest.raises(IRSyntaxError, match="%j is used before"):
        parse_kernels(
            one.format("a") + one.format("b").replace("%j: i32 = add %i", "%k: i32 = add %j")
        )


def test_values_of_inner_bodies_end_with_them() -> None:
    """A name may be used again; the verifier judges scopes."""
    text = wrapped("%b: bool = const value=true, dtype=bool", "if %b {", "  yield []", "} {",
                   "  yield []", "}")  # fmt: skip
    assert print_kernel(parse_kernel(text)) == text


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_comments_and_white_space(ending: str) -> None:
    text = ending.join(
        ("// a comment", "", "kernel  @k( %i: i32 ),phase=tile{ // head", "",
         "   %j:i32=add %i,%i// sum", "// between", "  yield [ ]", "", "} // end", "")
    )  # fmt: skip
    assert print_kernel(parse_kernel(text)) == (
        "kernel @k(%i: i32), phase=tile {\n  %j: i32 = add %i, %i\n  yield []\n}\n"
    )


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e-30", "-2.5", "0.1", "3", "-3", "1e+20"])
def test_numbers(text: str) -> None:
    line = f"%0: f32 = const value={text}, dtype=f32"
    printed = print_kernel(parse_kernel(wrapped(line)))
    assert line in printed
