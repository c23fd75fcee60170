"""What this machine has of everything tilewright can use, and what to do about what is missing.

Each `check_…` function looks at one thing and returns a `Finding`; none raises. A missing GPU is no
fault (`absent`): the cpu target and the virtual machine do without. `missing` breaks something;
where it is one of these two, the finding is `needed`, and the command exits with 1.
"""

from __future__ import annotations

import importlib.metadata
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tilewright.runtime import bindings, cache, cuda, cxx, isa, nvrtc, openmp, sass
from tilewright.runtime.errors import BuildError, LaunchError, TilewrightError

OLDEST_GPU = (8, 0)
DRIVER_NEEDED = (13, 0)  # that of the NVRTC wheel: older drivers refuse its cubins

State = Literal["ok", "absent", "missing"]


@dataclass(frozen=True)
class Finding:
    """One row: the thing, whether it is there, what was found, and what to do if it is not."""

    thing: str
    state: State
    found: str
    remedy: str = ""
    needed: bool = False


def examine_machine() -> list[Finding]:
    """All findings, in the order in which a user would care."""
    return [check() for check in CHECKS]


def check_gpu() -> Finding:
    """The GPUs that the driver shows, and whether our targets cover them."""
    try:
        devices = [cuda.query_device(ordinal) for ordinal in range(cuda.device_count())]
    except LaunchError as error:
        remedy = "nothing, unless the machine has a GPU: then install NVIDIA's driver"
        return Finding("GPU", "absent", error.message, remedy)
    found = ", ".join(
        f"{device.name} (sm_{''.join(map(str, device.capability))}, "
        f"{device.multiprocessors} multiprocessors)"
        for device in devices
    )
    if all(device.capability < OLDEST_GPU for device in devices):
        return Finding("GPU", "absent", found, "use a GPU of compute capability 8.0 or newer")
    return Finding("GPU", "ok", found)


def check_driver() -> Finding:
    """The newest CUDA version that the driver supports."""
    try:
        version = cuda.driver_version()
    except LaunchError:
        return Finding("driver", "absent", "no NVIDIA driver", "needed for the cuda target only")
    found = f"CUDA {version[0]}.{version[1]}"
    if version < DRIVER_NEEDED:
        return Finding("driver", "missing", found, "update it to one for CUDA 13.0 (R580) or newer")
    return Finding("driver", "ok", found)


def check_torch() -> Finding:
    """torch's version, read without importing it."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Finding("torch", "missing", "not installed", "pip install torch", needed=True)
    if version.endswith("+cpu") and check_gpu().state == "ok":
        return Finding("torch", "missing", version, "install a CUDA build of torch to use the GPU")
    return Finding("torch", "ok", version)


def check_nvrtc() -> Finding:
    """The CUDA compiler: its library loads, and its version."""
    try:
        bindings.nvrtc()
        return Finding("NVRTC", "ok", nvrtc.nvrtc_version())
    except BuildError as error:
        return Finding("NVRTC", "missing", error.message, error.hint or "", needed=True)


def check_disassembler() -> Finding:
    """The disassembler of the optional extra `sass`."""
    command = sass.find_disassembler()
    if command is None:
        return Finding("disassembler", "absent", "none", 'pip install "tilewright[sass]"')
    return Finding("disassembler", "ok", command[0])


def check_compiler() -> Finding:
    """The C++ compiler and ninja, which the cpu target needs."""
    try:
        compiler = cxx.find_compiler()
        ninja = cxx.find_ninja()
    except BuildError as error:
        return Finding("C++ compiler", "missing", error.message, error.hint or "", needed=True)
    return Finding("C++ compiler", "ok", f"{compiler.version}; ninja at {ninja}")


def check_headers() -> Finding:
    """Python's C headers, which torch.compile's own CPU code needs; our kernels do not."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if header.is_file():
        return Finding("Python headers", "ok", str(header.parent))
    remedy = "needed by torch.compile on the CPU only (Debian, Ubuntu: apt install python3-dev)"
    return Finding("Python headers", "absent", f"no {header}", remedy)


def check_simd() -> Finding:
    """The instruction sets for which the cpu target can run code here."""
    found = isa.find_isas(isa.cpu_features())
    if not found:
        remedy = 'the cpu target needs AVX2; use target="vm:sm_80"'
        return Finding("SIMD", "missing", "no AVX2", remedy, needed=True)
    return Finding("SIMD", "ok", ", ".join(found))


def check_openmp() -> Finding:
    """The OpenMP runtime that kernels share with torch."""
    path = openmp.find_openmp()
    if path is None:
        remedy = "kernels use the compiler's; reinstall torch from its wheel to share its threads"
        return Finding("OpenMP runtime", "absent", "torch ships none", remedy)
    return Finding("OpenMP runtime", "ok", str(path))


def check_cache() -> Finding:
    """The folder that keeps built kernels, by writing to it."""
    try:
        root = cache.check_writable()
    except TilewrightError as error:
        return Finding("cache folder", "missing", error.message, error.hint or "", needed=True)
    return Finding("cache folder", "ok", str(root))


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_gpu,
    check_driver,
    check_torch,
    check_nvrtc,
    check_disassembler,
    check_compiler,
    check_headers,
    check_simd,
    check_openmp,
    check_cache,
)
