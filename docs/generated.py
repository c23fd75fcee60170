"""Blocks of documentation that are generated: `python docs/generated.py` rewrites them.

A block is the fenced text after a marker line `<!-- generated: WHAT -->`. A test fails where a page
differs from what is generated here.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from typer.testing import CliRunner

from tilewright.examples.matmul import matmul
from tilewright.ir.printer import print_kernel
from tilewright.runtime.cli import app
from tilewright.runtime.compile import Compiled
from tilewright.runtime.vm.isa import describe as describe_ptx

ROOT = Path(__file__).resolve().parents[1]

PAGES = ("ARCHITECTURE.md", "docs/vm.md", "docs/ptx.md")
_TURN = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry turn(.param .u64 x) {
  .reg .b32 %t, %s; .reg .b64 %p; .reg .f32 %v;
  .shared .align 4 .b8 tile[256];
  mov.u32 %t, %tid.x;
  ld.param.u64 %p, [x];
  mad.wide.u32 %p, %t, 4, %p;
  mov.u32 %s, tile;
  mad.lo.u32 %s, %t, 4, %s;
  ld.global.f32 %v, [%p];
  st.shared.f32 [%s], %v;
  xor.b32 %s, %s, 252;
  ld.shared.f32 %v, [%s];
  st.global.f32 [%p], %v;
  ret;
}
"""
"""It turns 64 numbers around through shared memory, without the barrier that this needs."""

_BLOCK = re.compile(r"(<!-- generated: (?P<what>[^>]+) -->\n```[a-z]*\n)(?P<body>.*?)(```\n)", re.S)


def compile_example() -> Compiled:
    """The matmul of the README with tiles small enough to read."""
    a, b = (torch.zeros(64, 64, dtype=torch.float16) for _ in range(2))
    c = torch.zeros(64, 64, dtype=torch.float16)
    return matmul.compile(a, b, c, bm=32, bn=32, bk=16, warps=1, target="sm_80")


def make_block(what: str, compiled: Compiled) -> str:
    """The text for one marker."""
    kind, _, name = what.strip().partition(" ")
    makers: dict[str, Callable[[], str]] = {
        "tile": lambda: print_kernel(compiled.tile),
        "after": lambda: print_kernel(compiled.trace.kernels[name]),
        "changes": lambda: _changes(compiled, name),
        "cuda": lambda: _function(compiled),
        "profile": _profile,
        "tilewright": lambda: _command(name),
        "ptx": describe_ptx,
    }
    return makers[kind]()


def _changes(compiled: Compiled, name: str) -> str:
    """The lines that pass `name` changed."""
    names = list(compiled.trace.kernels)
    before = compiled.trace.kernels[names[names.index(name) - 1]]
    texts = (print_kernel(k).splitlines() for k in (before, compiled.trace.kernels[name]))
    lines = [line for line in difflib.ndiff(*texts) if line[0] in "+-"]
    return "\n".join(lines or ["nothing: this kernel has none of what the pass is for"]) + "\n"


def _function(compiled: Compiled) -> str:
    """The generated kernel without the prelude and without line directives."""
    assert compiled.source is not None
    lines = [line for line in compiled.source.splitlines() if not line.startswith("#line")]
    start = next(i for i, line in enumerate(lines) if 'extern "C" __global__' in line)
    return "\n".join(lines[start:]) + "\n"


def _profile() -> str:
    """The same matmul, profiled."""
    a, b = torch.ones(2, 64, 64).half()
    profile = matmul.profile(a, b, torch.zeros(64, 64).half(), bm=32, bn=32, bk=16, warps=1)
    return re.sub(r"\S*/examples/", "examples/", str(profile)) + "\n"


def _command(words: str) -> str:
    """A command on the program of the page, or on `turn.ptx`."""
    program = re.search(r'ptx = """\n(.*?)"""', (ROOT / "docs/vm.md").read_text(), re.S)
    assert program is not None
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("scale.ptx").write_text(program[1])
        Path("turn.ptx").write_text(_TURN)
        done = CliRunner(env={"COLUMNS": "110"}).invoke(app, words.split())
    return f"$ tilewright {words}\n{done.output.rstrip()}\n"


def regenerate(text: str, compiled: Compiled) -> str:
    """`text` with every generated block made anew."""
    return _BLOCK.sub(lambda m: m[1] + make_block(m["what"], compiled) + m[4], text)


def main() -> None:
    """Rewrite the pages in place."""
    compiled = compile_example()
    for page in PAGES:
        path = ROOT / page
        path.write_text(regenerate(path.read_text(), compiled))


if __name__ == "__main__":
    main()
