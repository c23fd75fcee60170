"""The one place that imports torch and the CUDA bindings, late: most commands never need them.

`nvrtc()` works on any machine that has the wheels; `driver()` needs NVIDIA's driver library, which
only comes with a GPU's driver. Both raise an error that says what to install.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any

from tilewright.runtime.errors import BuildError, LaunchError


@functools.cache
def torch() -> ModuleType:
    """The torch module; importing it takes a second, so only launches ask for it."""
    return importlib.import_module("torch")


@functools.cache
def nvrtc() -> ModuleType:
    """`cuda.bindings.nvrtc`, its library loaded; raises `BuildError` where either is missing."""
    try:
        module = importlib.import_module("cuda.bindings.nvrtc")
        module.nvrtcVersion()
    except (ImportError, RuntimeError) as error:
        raise BuildError(
            f"NVRTC, which compiles CUDA C++, is not available: {_first_line(error)}",
            hint='pip install cuda-bindings "nvidia-cuda-nvrtc>=13.0.88,<13.1"',
        ) from error
    return module


@functools.cache
def driver() -> ModuleType:
    """`cuda.bindings.driver`, initialized; raises `LaunchError` without a driver or a GPU."""
    try:
        module = importlib.import_module("cuda.bindings.driver")
        (status,) = module.cuInit(0)
    except (ImportError, RuntimeError) as error:
        raise _no_gpu(_first_line(error)) from error
    if status != module.CUresult.CUDA_SUCCESS:
        raise _no_gpu(f"cuInit says {status.name}")
    return module


def checked(result: tuple[Any, ...], what: str) -> Any:
    """The value of a driver call's (status, value…) tuple; raises `LaunchError` saying `what`."""
    status, *values = result
    if int(status) != 0:
        name = getattr(status, "name", str(status))
        raise LaunchError(f"{what} failed: {name}")
    return values[0] if len(values) == 1 else tuple(values) or None


def _no_gpu(reason: str) -> LaunchError:
    return LaunchError(
        f"no NVIDIA GPU can be used: {reason}",
        hint='run on the CPU (target="cpu") or on the virtual machine (target="vm:sm_80"); '
        "`tilewright doctor` says what this machine has",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
