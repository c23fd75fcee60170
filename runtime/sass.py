"""cubin → SASS text, by the disassembler wheels of the optional extra `sass`."""

from __future__ import annotations

import importlib
import subprocess
import tempfile
from pathlib import Path

from tilewright.runtime.errors import BuildError

# Best first: nvdisasm marks the source line of every instruction.
_TOOLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nvdisasm", ("--print-code", "--print-line-info")),
    ("cuobjdump", ("--dump-sass",)),
)


def find_disassembler() -> tuple[str, ...] | None:
    """The command that prints a cubin as SASS, without the cubin's path; None without the extra."""
    try:
        pathfinder = importlib.import_module("cuda.pathfinder")
    except ImportError:
        return None
    for tool, options in _TOOLS:
        if (path := pathfinder.find_nvidia_binary_utility(tool)) is not None:
            return (path, *options)
    return None


def disassemble(cubin: bytes) -> str:
    """The machine code of `cubin` as text; raises `BuildError` where no disassembler is found."""
    command = find_disassembler()
    if command is None:
        raise BuildError(
            "SASS needs a disassembler (nvdisasm or cuobjdump), and none is installed",
            hint='pip install "tilewright[sass]"',
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        result = subprocess.run((*command, path), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise BuildError(f"{command[0]} fails: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout
