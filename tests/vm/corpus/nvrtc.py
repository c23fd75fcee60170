"""CUDA C++ with the toolkit's own headers → PTX, by NVRTC from its wheels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
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
    tiles = Path(files("cutlass_library").joinpath("source/include"))  # type: ignore[arg-type]
    return [root, root / "cccl", tiles]


def drop_unused(ptx: str) -> str:
    """Without the functions and variables that no entry reaches: headers leave many."""
    head, *items = re.split(r"\n(?=\.(?:visible|weak|extern|func|entry|global|const)\b)", ptx)
    kept = [item for item in items if ".entry" in item.split("(")[0]]
    rest = [item for item in items if item not in kept]
    while True:
        used = set(re.findall(r"[\w$]+", "\n".join(kept)))
        found = [item for item in rest if item not in kept and _name(item) in used]
        if not found:
            return "\n".join([head, *(item for item in items if item in kept)])
        kept += found


def _name(item: str) -> str:
    """The name that an item declares: after the result of a function, before its size."""
    text = re.sub(r"^[^(]*\.func\s*\([^)]*\)", "", item)
    text = re.split(r"[\[({=;]", text)[0]
    return text.split()[-1]


def compile_file(path: Path) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Name, first line, PTX and record of the file for each architecture of its first line."""
    source = path.read_text()
    architectures = source.split("\n")[0].removeprefix("// ").split()
    for arch in architectures:
        program = _check(nvrtc.nvrtcCreateProgram(source.encode(), path.name.encode(), 0, [], []))
        options = [
            f"-arch={arch}".replace("sm_", "compute_"),
            "-std=c++17",
            "-default-device",
            "-DNDEBUG",
        ]
        options += [f"-I{folder}" for folder in _headers()]
        raw = [option.encode() for option in options]
        _check(nvrtc.nvrtcCompileProgram(program, len(raw), raw), program)
        text = b" " * _check(nvrtc.nvrtcGetPTXSize(program))
        nvrtc.nvrtcGetPTX(program, text)
        ptx = drop_unused(text.rstrip(b"\0").decode())
        name = path.stem if len(architectures) == 1 else f"{path.stem}_{arch.replace('_', '')}"
        release = version("nvidia-cuda-nvrtc")
        head = f"// {name}: {path.name}, compiled by NVRTC {release} for {arch}; see make.py.\n"
        entries = re.findall(r"\.visible \.entry (\w+)\(", ptx)
        yield name, head, ptx, {"entries": entries, "target": arch, "compiler": f"nvrtc {release}"}
