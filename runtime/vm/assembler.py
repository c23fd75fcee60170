"""PTX → what an assembler makes of it: registers, spills and barriers of each entry.

There are two assemblers, both optional. `ptxas` gives what a launch really gets: that of a CUDA
toolkit on the path, of the wheel `nvidia-cuda-nvcc`, or the one that Triton brings. The library
nvJitLink comes with the wheel `nvidia-nvjitlink` (the extra `vm`). It assembles relocatable code,
which mostly takes more registers than whole programs do (of 145 kernels 77 came out equal, most
others 2 to 20 above, a few at a multiple), and ignores `setmaxnreg`. So `ptxas` is asked first,
and the answer says who gave it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tilewright.runtime.vm.resources import Resources, parse_resources

_PTX = 2  # nvJitLinkInputType


REGISTERS = 65536
"""Of a multiprocessor, on every architecture since Kepler."""


@dataclass(frozen=True)
class Assembled:
    """The resources of a file's entries by name, who found them, and why there are none.

    `ignored` says that the assembler took no notice of `setmaxnreg`.
    """

    by: str
    resources: Mapping[str, Resources]
    problem: str = ""
    ignored: bool = False

    def find(self, entry: str, threads: int, most: int | None) -> Resources | None:
        """The resources of `entry` launched with `threads` lanes.

        Where `setmaxnreg` moves registers between roles later, a launch gets all that its bounds
        allow: `most` (`.maxnreg`), or what the lanes share, in steps of 8.
        """
        found = self.resources.get(entry)
        if found is None or not self.ignored:
            return found
        shared = REGISTERS // threads // 8 * 8
        return replace(found, registers=min(255, shared, most or 255))


def assemble(ptx: str, architecture: str) -> Assembled | None:
    """The resources of the entries of `ptx` on "sm_90a", …; None without an assembler."""
    if (program := find_ptxas()) is not None:
        made = _run_ptxas(program, ptx, architecture)
        if not made.problem:
            return made
    if (library := find_library()) is not None:
        return _link(library, ptx, architecture)
    return made if program is not None else None


@functools.cache
def find_ptxas() -> str | None:
    """The path of `ptxas`."""
    found = shutil.which("ptxas")
    for wheel in ("nvidia-cuda-nvcc", "triton"):
        found = found or _find_file(wheel, "ptxas")
    return found


@functools.cache
def find_library() -> ctypes.CDLL | None:
    """The library nvJitLink."""
    path = _find_file("nvidia-nvjitlink", "libnvJitLink.so")
    return None if path is None else ctypes.CDLL(path)


def _find_file(wheel: str, name: str) -> str | None:
    """The path of the file of an installed wheel whose name is `name` with or without a number."""
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (str(f.locate()) for f in files if f.name == name or f.name.startswith(f"{name}."))
    return next((path for path in paths if Path(path).is_file()), None)


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
        log = _read_log(library, handle, "Info")
        return Assembled("nvJitLink", parse_resources(log), ignored="'setmaxnreg' ignored" in log)
    finally:
        library.nvJitLinkDestroy(ctypes.byref(handle))


def _read_log(library: ctypes.CDLL, handle: ctypes.c_void_p, kind: str) -> str:
    size = ctypes.c_size_t()
    ask: Callable[..., int] = getattr(library, f"nvJitLinkGet{kind}LogSize")
    ask(handle, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value + 1)
    getattr(library, f"nvJitLinkGet{kind}Log")(handle, buffer)
    return buffer.value.decode(errors="replace").strip()
