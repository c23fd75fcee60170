"""SIMD instruction sets of x86-64 as data, and what this CPU has of them.

A kernel is compiled once per instruction set that is asked for; `best_isa` chooses at run time.
Rows are in order of preference, best first, and each includes all that follow it.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from dataclasses import dataclass
from pathlib import Path

from tilewright.runtime.errors import LaunchError

_SYS_ARCH_PRCTL = 158  # x86-64 system call number
_ARCH_REQ_XCOMP_PERM = 0x1023
_XTILEDATA = 18  # the state component of AMX tiles (Intel SDM vol. 1, 13.1)


@dataclass(frozen=True)
class Isa:
    """One instruction set: compiler flags, and the /proc/cpuinfo flags that it needs."""

    name: str
    flags: tuple[str, ...]
    needs: frozenset[str]


_AVX2 = ("avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_VNNI = (*_AVX512, "avx512_vnni", "avx512vbmi")
_BF16 = (*_VNNI, "avx512_bf16")
_AMX = (*_BF16, "amx_tile", "amx_int8", "amx_bf16")

# GCC prefers 256-bit vectors for most CPUs with AVX-512 unless told otherwise.
_V4 = ("-march=x86-64-v4", "-mprefer-vector-width=512")
_V4_VNNI = (*_V4, "-mavx512vnni", "-mavx512vbmi")
_V4_BF16 = (*_V4_VNNI, "-mavx512bf16")
_V4_AMX = (*_V4_BF16, "-mamx-tile", "-mamx-int8", "-mamx-bf16")

ISAS: dict[str, Isa] = {
    isa.name: isa
    for isa in (
        Isa("amx", _V4_AMX, frozenset(_AMX)),
        Isa("avx512bf16", _V4_BF16, frozenset(_BF16)),
        Isa("avx512vnni", _V4_VNNI, frozenset(_VNNI)),
        Isa("avx512", _V4, frozenset(_AVX512)),
        Isa("avx2", ("-march=x86-64-v3",), frozenset(_AVX2)),
    )
}


@functools.cache
def cpu_features() -> frozenset[str]:
    """The flags of the first CPU in /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    return parse_features(text)


def parse_features(cpuinfo: str) -> frozenset[str]:
    """The flags of the first CPU in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def find_isas(features: frozenset[str]) -> list[str]:
    """Names of the instruction sets that a CPU with `features` runs, best first."""
    return [isa.name for isa in ISAS.values() if isa.needs <= features]


def best_isa(*, amx: bool = False) -> str:
    """The best instruction set of this CPU; AMX only if asked for, as it needs a permission."""
    found = [name for name in find_isas(cpu_features()) if amx or name != "amx"]
    if not found:
        raise LaunchError(
            f"this CPU ({platform.machine()}) has no AVX2, which the cpu target needs",
            hint='run on the virtual machine: target="vm:sm_80"',
        )
    return found[0]


def check_isa(name: str) -> None:
    """Raise `LaunchError` naming the features that this CPU lacks for instruction set `name`."""
    if missing := ISAS[name].needs - cpu_features():
        raise LaunchError(
            f"code for {name} cannot run here: the CPU lacks {', '.join(sorted(missing))}",
            hint=f"it runs {', '.join(find_isas(cpu_features())) or 'none of our sets'}",
        )


@functools.cache
def request_amx() -> bool:
    """Ask Linux to let this process use AMX tiles; whether it agreed. Its threads inherit that."""
    if "amx_tile" not in cpu_features():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    arguments = (_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA)
    return int(libc.syscall(*map(ctypes.c_long, arguments))) == 0
