"""Finds the OpenMP runtime that torch uses, so that our CPU kernels share its threads.

A second runtime would start a second pool, and torch's workers, which spin for a while after each
operation, would take the cores from it. Nothing here imports torch.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

# GNU, Intel and LLVM runtimes; wheels put a hash into the name (libgomp-a34b3233.so.1).
_RUNTIME = re.compile(r"lib(gomp|iomp5|omp)(-[0-9a-f]+)?\.so[.\d]*")


def mapped_openmp() -> list[Path]:
    """The OpenMP runtimes that this process has loaded."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    paths = (Path(fields[5]) for line in lines if len(fields := line.split(maxsplit=5)) == 6)
    return sorted({path for path in paths if _RUNTIME.fullmatch(path.name)})


def find_openmp() -> Path | None:
    """The runtime to link with: torch's, else a loaded one; None stands for the compiler's own."""
    folder = _torch_lib()
    loaded = mapped_openmp()
    for path in loaded:
        if folder is not None and path.is_relative_to(folder):
            return path
    shipped = sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []
    candidates = [path for path in shipped if _RUNTIME.fullmatch(path.name)] or loaded
    return candidates[0] if candidates else None


def _torch_lib() -> Path | None:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).resolve().parent / "lib"
