"""PTX → what the assembler makes of it: registers, spills and barriers of each entry.

There are two assemblers, both optional: `ptxas`, where a CUDA toolkit is on the path, and the
library nvJitLink from the wheel `nvidia-nvjitlink` (the extra `vm`). nvJitLink assembles
relocatable code, which may take some more registers than whole programs do: of 60 kernels of ours
45 came out equal, 14 within 14 registers, one with twice as many. So `ptxas` is asked first, and
the answer says who gave it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tilewright.runtime.vm.resources import Resources, parse_resources

_PTX = 2  # nvJitLinkInputType


@dataclass(frozen=True)
class Assembled:
    """The resources of a file's entries by name, who found them, and why there are none."""

    by: str
    resources: Mapping[str, Resources]
    problem: str = ""


def assemble(ptx: str, architecture: str) -> Assembled | None:
    """The resources of the entries of `ptx` on "sm_90a", …; None without an assembler."""
    if (program := find_ptxas()) is not None:
        made = _run_ptxas(program, ptx, architecture)
        if not made.problem:
            return made
    if (library := find_library()) is not None:
        return _link(library, ptx, architecture)
    return made if program is not None else None


def find_ptxas() -> str | None:
    """The path of the assembler of a CUDA toolkit."""
    return shutil.which("ptxas")


@functools.cache
def find_library() -> ctypes.CDLL | None:
    """The library nvJitLink of its wheel."""
    try:
        files = importlib.metadata.files("nvidia-nvjitlink") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if "libnvJitLink.so" in file.name)
    return next((ctypes.CDLL(str(path)) for path in paths if path.is_file()), None)


def _run_ptxas(program: str, ptx: str, architecture: str) -> Assembled:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        command = (program, "-v", f"-arch={architecture}", str(path), "-o", f"{path}.cubin")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    if done.returncode != 0:
        return Assembled("ptxas", {}, log.strip())
    return Assembled("ptxas", parse_resources(log))


def _link(library: ctypes.CDLL, ptx: str, architecture: str) -> Assembled:
    options = (ctypes.c_char_p * 2)(f"-arch={architecture}".encode(), b"-Xptxas=-v")
    handle = ctypes.c_void_p()
    if library.nvJitLinkCreate(ctypes.byref(handle), 2, options):
        return Assembled("nvJitLink", {}, f"nvJitLink does not know {architecture}")
    try:
        text = ptx.encode() + b"\0"
        size = ctypes.c_size_t(len(text))
        failed = library.nvJitLinkAddData(handle, _PTX, text, size, b"kernel.ptx")
        failed = failed or library.nvJitLinkComplete(handle)
        if failed:
            return Assembled("nvJitLink", {}, _read_log(library, handle, "Error"))
        return Assembled("nvJitLink", parse_resources(_read_log(library, handle, "Info")))
    finally:
        library.nvJitLinkDestroy(ctypes.byref(handle))


def _read_log(library: ctypes.CDLL, handle: ctypes.c_void_p, kind: str) -> str:
    size = ctypes.c_size_t()
    ask: Callable[..., int] = getattr(library, f"nvJitLinkGet{kind}LogSize")
    ask(handle, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value + 1)
    getattr(library, f"nvJitLinkGet{kind}Log")(handle, buffer)
    return buffer.value.decode(errors="replace").strip()
