"""Compiles the corpus to PTX for the virtual machine's tests (`make ptx-corpus`): our Triton
kernels, and CUDA C++ of ours that uses the toolkit's headers.

Needs Triton and NVRTC's wheels, not a GPU. What depends on the machine is left out: debug
sections, absolute paths, comments. `corpus.json` says what a launch of each needs to know.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TRITON_ALWAYS_COMPILE", "1")
import descriptors
import elementwise
import matmuls
import nvrtc
import reductions
import triton
import warp_roles
from programs import Program
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.experimental.gluon._runtime import GluonASTSource, GluonJITFunction
from triton.runtime.jit import JITFunction

HERE = Path(__file__).parent
MODULES = (elementwise, reductions, matmuls, descriptors, warp_roles)


def forget_paths() -> None:
    """Kernels take their files' names without folders into the PTX (`.file`, assertions)."""
    for module in MODULES:
        for kernel in vars(module).values():
            if isinstance(kernel, JITFunction):
                name = Path(kernel.fn.__code__.co_filename).name
                kernel.fn.__code__ = kernel.fn.__code__.replace(co_filename=name)


def clean(ptx: str, *, lines: bool) -> str:
    """Without debug sections and comments; `.loc` and `.file` only where they are wanted."""
    kept = []
    for line in re.sub(r"\n\s*\.section\s[^{]*\{.*?\}", "", ptx, flags=re.S).split("\n"):
        text = re.sub(r"\s*//.*", "", line)
        if not text.strip() or (re.match(r"\s*\.(loc|file)\s", text) and not lines):
            continue
        kept.append(text)
    return "\n".join(kept) + "\n"


def compile_program(program: Program) -> tuple[str, dict[str, Any]]:
    """PTX and the record of its launch."""
    gluon = isinstance(program.kernel, GluonJITFunction)
    source = (GluonASTSource if gluon else ASTSource)(
        program.kernel, program.types, program.constants, program.attributes
    )
    found = triton.compile(
        source, target=GPUTarget("cuda", program.arch, 32), options=program.options
    )
    meta, ptx = found.metadata, clean(found.asm["ptx"], lines=program.lines)
    target = re.search(r"\.target (\w+)", ptx)
    assert target is not None
    head = (
        f"// {program.name}: kernel `{meta.name}` of {program.kernel.__module__}.py, "
        f"compiled by Triton {triton.__version__} for {target[1]}; see make.py.\n"
    )
    record = {
        "entry": meta.name,
        "target": target[1],
        "compiler": f"triton {triton.__version__}",
        "threads": 32 * meta.num_warps,
        "blocks": meta.num_ctas,
        "shared": meta.shared,
        "scratch": meta.global_scratch_size,
        "params": {k: v for k, v in program.types.items() if v != "constexpr"},
        "constants": {
            k: v for k, v in program.constants.items() if isinstance(v, (int, float, str))
        },
        "maps": meta.tensordesc_meta,
    }
    return head + ptx, {k: v for k, v in record.items() if v != []}


def main(names: list[str]) -> None:
    """Compiles all programs, or those named."""
    forget_paths()
    path = HERE / "corpus.json"
    records: dict[str, Any] = json.loads(path.read_text())["programs"] if names else {}
    for program in (p for module in MODULES for p in module.PROGRAMS):
        if names and not any(name in program.name for name in names):
            continue
        ptx, record = compile_program(program)
        (HERE / f"{program.name}.ptx").write_text(ptx)
        records[program.name] = record
        print(f"{program.name}: {len(ptx)} bytes")
    for source in sorted(HERE.glob("*.cu")):
        if not names or source.stem in names:
            for name, head, ptx, record in nvrtc.compile_file(source):
                (HERE / f"{name}.ptx").write_text(head + clean(ptx, lines=False))
                records[name] = record
                print(f"{name}: {len(ptx)} bytes")
    stale = {p.stem for p in HERE.glob("*.ptx")} - set(records)
    for name in stale:
        (HERE / f"{name}.ptx").unlink()
    rows = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(records.items()))
    path.write_text(f'{{\n  "programs": {{\n{rows}\n  }}\n}}\n')


if __name__ == "__main__":
    main(sys.argv[1:])
