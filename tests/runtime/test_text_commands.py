"""`tilewright run` and `inspect`: kernels from text and from files, arguments from words."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from tilewright.ir.diagnostics import IRSyntaxError
from tilewright.ir.parser import parse_kernel
from tilewright.runtime.cli import app
from tilewright.runtime.commands.argument_text import parse_arguments
from tilewright.runtime.errors import LaunchError, UsageError

TEXT = """
kernel @scale(%x: tensor<f32, strides=[1], extents=[any]>, %y: tensor<f32, strides=[1], extents=[any]>, %s: f32), phase=tile {
  %n: i32 = extent %x, axis=0, dtype=i32
  %c31: i32 = const value=31, dtype=i32
  %c32: i32 = const value=32, dtype=i32
  %up: i32 = add %n, %c31
  %blocks: i32 = floordiv %up, %c32
  for_tiles [%blocks] (%i: i32) {
    %at: i32 = mul %i, %c32
    %v: tile<[32], f32> = load %x, [%at], shape=[32]
    %f: tile<[32], f32> = full %s, shape=[32]
    %w: tile<[32], f32> = mul %v, %f
    store %y, [%at], %w
    yield []
  }
  yield []
}
"""  # noqa: E501
ARGS = ["--arg", "x=f32:45:randint", "--arg", "y=f32:45:nan", "--arg", "s=2.5"]


@pytest.fixture
def kernel_file(tmp_path):
    path = tmp_path / "scale.tile"
    path.write_text(TEXT)
    return str(path)


@pytest.mark.parametrize("target", ["interpret", "cpu", "vm:sm_80"])
def test_a_kernel_from_text_runs_on_every_target(kernel_file, target):
    done = CliRunner().invoke(app, ["run", kernel_file, *ARGS, "--target", target, "--check"])
    assert done.exit_code == 0, done.output
    assert "y: float32[45]" in done.output
    assert "0 NaN" in done.output
    assert "y: 0 from the interpreter" in done.output


def test_stages_of_a_kernel_from_text(kernel_file):
    for stage, word in (("tile", "kernel @scale"), ("ptx", ".entry"), ("resources", "registers")):
        done = CliRunner().invoke(app, ["inspect", kernel_file, "--stage", stage])
        assert done.exit_code == 0, done.output
        assert word in done.output
    parse_kernel(CliRunner().invoke(app, ["inspect", kernel_file, "--stage", "laid_out"]).output)


def test_a_kernel_of_a_python_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import tilewright as tw\n\n\n@tw.kernel\ndef copy(x: tw.Tensor, y: tw.Tensor):\n"
        "    i = tw.grid(tw.cdiv(x.shape[0], 64))\n"
        "    tw.store(y, (i * 64,), tw.load(x, (i * 64,), (64,)))\n"
    )
    args = ["--arg", "x=f16:100:randn", "--arg", "y=f16:100:nan", "--target", "sm_90a"]
    done = CliRunner().invoke(app, ["inspect", f"{path}:copy", *args, "--stage", "cuda"])
    assert done.exit_code == 0, done.output
    assert "__global__" in done.output


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (["run", "{file}"], LaunchError, "x is missing"),
        (["run", "{file}", "--arg", "x"], LaunchError, "cannot read --arg x"),
        (["run", "{file}", "--arg", "x=f32:45:often"], LaunchError, "fill one of"),
        (["run", "{file}", "--arg", "x=f99:45:randn"], LaunchError, "unknown type"),
        (["run", "{file}", "--arg", "x=f32:5xz:randn"], UsageError, "'5xz' is no shape"),
        (["run", "{file}", "--arg", "x=f32:-5:randn"], UsageError, "write extents as 128x64"),
        (["run", "{file}", "--arg", "x=seven"], UsageError, "a scalar is a number"),
        (["run", "{file}", "--arg", "x=f16:45:randn"], LaunchError, "the kernel wants"),
        (["inspect", "{file}", "--stage", "dreams"], LaunchError, "no stage 'dreams'"),
        (["inspect", "nowhere.py:k"], LaunchError, "no kernel"),
    ],
)
def test_wrong_words_are_explained(kernel_file, arguments, error, text):
    words = [a.format(file=kernel_file) for a in arguments]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, error)
    assert text in str(done.exception)


def test_broken_text_names_the_line(tmp_path):
    path = tmp_path / "broken.tile"
    path.write_text(TEXT.replace("%w: tile<[32], f32> = mul %v, %f", "%w = multiply %v"))
    done = CliRunner().invoke(app, ["run", str(path)])
    assert isinstance(done.exception, IRSyntaxError)
    assert "broken.tile:12" in str(done.exception)


@pytest.mark.parametrize("command", ["run", "inspect"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, command):
    missing, binary = tmp_path / "missing.tile", tmp_path / "binary.tile"
    binary.write_bytes(b"\xff\xfe")
    for path in (missing, binary):
        done = CliRunner().invoke(app, [command, str(path)])
        assert isinstance(done.exception, LaunchError)
        assert f"cannot read {path}" in str(done.exception)


def test_fills():
    made = parse_arguments(["a=f16:3x4:ones", "b=u4:2x7:randint", "n=7", "e=1e-5"], 0)
    assert torch.equal(made["a"], torch.ones(3, 4, dtype=torch.float16))
    assert made["b"].storage.shape == (2, 4)
    assert made["n"] == 7
    assert made["e"] == 1e-5


def test_a_layout_is_described_and_drawn(tmp_path):
    text = "[16, 8]{2:2@reg 8:4@lane, 4:1@lane 2:1@reg}"
    drawing = tmp_path / "layout.svg"
    done = CliRunner().invoke(app, ["layout", text, "--svg", str(drawing)])
    assert done.exit_code == 0, done.output
    assert (
        "128 elements of 32 bits at places: 32 along lane, 4 along reg; one to one" in done.output
    )
    assert drawing.read_text().startswith("<svg")
    wrong = CliRunner().invoke(app, ["layout", "[16]{8:1@lane}"])
    assert "pieces of 8 elements for extent 16" in str(wrong.exception)
