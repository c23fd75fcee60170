"""CUDA C++ with the toolkit's own headers → PTX, by NVRTC from its wheels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cuda.bindings import nvrtc


def _check(result: tuple[Any, ...], program: Any = None) -> Any:
    code, *values = result
    if int(code):
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        log = b" " * size
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(log.decode())
    return values[0] if len(values) == 1 else values


def _headers() -> list[Path]:
    import nvidia  # a namespace of several wheels

    root = next(Path(p) / "cu13/include" for p in nvidia.__path__ if (Path(p) / "cu13").exists())
    return [root, root / "cccl"]


def compile_file(path: Path) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Name, first line, PTX and record of the file for each architecture of its first line."""
    source = path.read_text()
    architectures = source.split("\n")[0].removeprefix("// ").split()
    for arch in architectures:
        program = _check(nvrtc.nvrtcCreateProgram(source.encode(), path.name.encode(), 0, [], []))
        options = [f"-arch={arch}".replace("sm_", "compute_"), "-std=c++17", "-DNDEBUG"]
        options += [f"-I{folder}" for folder in _headers()]
        raw = [option.encode() for option in options]
        _check(nvrtc.nvrtcCompileProgram(program, len(raw), raw), program)
        text = b" " * _check(nvrtc.nvrtcGetPTXSize(program))
        nvrtc.nvrtcGetPTX(program, text)
        ptx = text.rstrip(b"\0").decode()
        name = path.stem if len(architectures) == 1 else f"{path.stem}_{arch.replace('_', '')}"
        release = version("nvidia-cuda-nvrtc")
        head = f"// {name}: {path.name}, compiled by NVRTC {release} for {arch}; see make.py.\n"
        entries = re.findall(r"\.visible \.entry (\w+)\(", ptx)
        yield name, head, ptx, {"entries": entries, "target": arch, "compiler": f"nvrtc {release}"}
