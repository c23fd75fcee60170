"""CUDA C++ → PTX and cubin through NVRTC from its wheel: neither a GPU nor a toolkit is needed.

The program's name is virtual and absolute (`/matmul.py`): with `-lineinfo` NVRTC would otherwise
write the current folder into its output, and the same kernel would give other bytes elsewhere.
The assembler runs inside NVRTC; its report is parsed into `Resources`, and its admissions that it
undid the schedule (see `resources`) fail the build. Results are cached on disk.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tilewright.runtime import bindings
from tilewright.runtime.cache import cached
from tilewright.runtime.errors import BuildError
from tilewright.runtime.excerpts import find_lines, find_ptx_place, number_lines
from tilewright.runtime.resources import Defeat, Resources, find_defeats, parse_resources

_FIXED_OPTIONS = ("--std=c++17", "--ptxas-options=-v", "-lineinfo", "-default-device")
_PLACE = re.compile(r"^(?P<file>/[^(\n]*)\((?P<line>\d+)\): (?:catastrophic )?error", re.MULTILINE)
_PTX_PLACE = re.compile(r"^ptxas .*?line (\d+); error", re.MULTILINE)
_TIMES = re.compile(r"^ptxas info +: Compile time = .*\n?", re.MULTILINE)  # differ per run
_ARCH = re.compile(r"sm_\d+[af]?")


@dataclass(frozen=True)
class CudaBinary:
    """One compiled program: machine code, PTX, NVRTC's log, and each entry's resources."""

    cubin: bytes = field(repr=False)
    ptx: str = field(repr=False)
    log: str = field(repr=False)
    resources: Mapping[str, Resources]
    arch: str


@functools.cache
def nvrtc_version() -> str:
    """Version of the NVRTC wheel, or of the library where no wheel is installed."""
    try:
        return importlib.metadata.version("nvidia-cuda-nvrtc")
    except importlib.metadata.PackageNotFoundError:
        _, major, minor = bindings.nvrtc().nvrtcVersion()
        return f"{major}.{minor}"


def compile_cuda(source: str, *, arch: str, name: str, options: Sequence[str] = ()) -> CudaBinary:
    """Compile `source` for `arch` ("sm_80", "sm_90a"), from the disk cache if it was seen before.

    `name` is the virtual file that messages and line tables show ("/matmul.py"; a relative name
    gets the slash). `options` are further NVRTC options. Raises `BuildError` with the log and the
    source around the place; also where the assembler undid the schedule.
    """
    if not _ARCH.fullmatch(arch):
        raise BuildError(f"unknown CUDA architecture {arch!r}", hint='write "sm_80" or "sm_90a"')
    program = name if name.startswith("/") else f"/{name}"
    flags = (f"--gpu-architecture={arch}", *_FIXED_OPTIONS, *options)

    def build(folder: Path) -> None:
        _write(folder, _compile(source, program, flags, arch))

    folder = cached("cuda", (source, program, *flags, nvrtc_version()), build)
    return _read(folder, arch)


def _write(folder: Path, binary: CudaBinary) -> None:
    (folder / "kernel.cubin").write_bytes(binary.cubin)
    (folder / "kernel.ptx").write_text(binary.ptx)
    (folder / "log.txt").write_text(binary.log)
    resources = {entry: asdict(used) for entry, used in binary.resources.items()}
    (folder / "resources.json").write_text(json.dumps(resources))


def _read(folder: Path, arch: str) -> CudaBinary:
    resources = json.loads((folder / "resources.json").read_text())
    return CudaBinary(
        cubin=(folder / "kernel.cubin").read_bytes(),
        ptx=(folder / "kernel.ptx").read_text(),
        log=(folder / "log.txt").read_text(),
        resources={entry: Resources(**used) for entry, used in resources.items()},
        arch=arch,
    )


def _compile(source: str, name: str, flags: Sequence[str], arch: str) -> CudaBinary:
    library = bindings.nvrtc()
    status, program = library.nvrtcCreateProgram(source.encode(), name.encode(), 0, [], [])
    _check(status, "nvrtcCreateProgram")
    try:
        encoded = [flag.encode() for flag in flags]
        (status,) = library.nvrtcCompileProgram(program, len(encoded), encoded)
        log = _TIMES.sub("", _text(library, program, "ProgramLog"))
        ptx = _text(library, program, "PTX")
        if status == library.nvrtcResult.NVRTC_ERROR_COMPILATION:
            raise BuildError(_explain_failure(source, name, arch, log, ptx))
        _check(status, f"nvrtcCompileProgram {' '.join(flags)}", log)
        if defeats := find_defeats(log):
            raise BuildError(_explain_defeats(source, name, ptx, defeats), hint=_hint(defeats))
        cubin = _bytes(library, program, "CUBIN")
    finally:
        library.nvrtcDestroyProgram(program)
    return CudaBinary(cubin, ptx, log, parse_resources(log), arch)


def _bytes(library: ModuleType, program: Any, what: str) -> bytes:
    """One of the program's outputs; its size is asked first, empty when there is none."""
    status, size = getattr(library, f"nvrtcGet{what}Size")(program)
    if int(status) != 0 or size <= 1:  # an empty text is one NUL
        return b""
    buffer = bytearray(size)
    getattr(library, f"nvrtcGet{what}")(program, buffer)
    return bytes(buffer)


def _text(library: ModuleType, program: Any, what: str) -> str:
    return _bytes(library, program, what).rstrip(b"\0").decode(errors="replace").strip("\n")


def _check(status: Any, what: str, log: str = "") -> None:
    if int(status) != 0:
        raise BuildError(f"{what} failed: {status.name}\n{log}".rstrip())


def _explain_failure(source: str, name: str, arch: str, log: str, ptx: str) -> str:
    places = [(match["file"], int(match["line"])) for match in _PLACE.finditer(log)]
    lines = (int(match[1]) for match in _PTX_PLACE.finditer(log))
    places += [place for line in lines if (place := find_ptx_place(ptx, line)) is not None]
    parts = [f"the CUDA source of {name} does not compile for {arch}", log.strip()]
    return "\n".join(parts + _excerpts(source, name, places))


def _explain_defeats(source: str, name: str, ptx: str, defeats: Sequence[Defeat]) -> str:
    lines = (defeat.ptx_line for defeat in defeats if defeat.ptx_line is not None)
    places = [place for line in lines if (place := find_ptx_place(ptx, line)) is not None]
    parts = [f"the assembler undid the schedule of {name}"]
    parts += [f"({defeat.code}) {defeat.text}" for defeat in defeats]
    return "\n".join(parts + _excerpts(source, name, places))


def _excerpts(source: str, name: str, places: Sequence[tuple[str, int]]) -> list[str]:
    """Generated source around the first three places; the last line of a place is the statement."""
    excerpts: list[str] = []
    for file, line in list(dict.fromkeys(places))[:3]:
        if found := find_lines(source, name, file, line):
            excerpts += [f"generated source at {file}:{line}:", number_lines(source, found[-1])]
    return excerpts


def _hint(defeats: Sequence[Defeat]) -> str:
    if any(defeat.code == "C7508" for defeat in defeats):
        return "give the kernel __launch_bounds__(threads, 1); without the 1 setmaxnreg is ignored"
    return "read wgmma results only after their wait, and use a smaller accumulator tile"
