"""CUDA C++ to PTX for the tests of the virtual machine."""

from __future__ import annotations

import pytest


def compile_ptx(source: str, arch: str = "sm_80", *, lineinfo: bool = True) -> str:
    """PTX of a CUDA C++ program, compiled with NVRTC; the program's virtual name is `/k.cu`."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    _, program = nvrtc.nvrtcCreateProgram(source.encode(), b"/k.cu", 0, [], [])
    options = [f"--gpu-architecture=compute_{arch[3:]}".encode()] + [b"-lineinfo"] * lineinfo
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if int(result):
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        log = b" " * size
        nvrtc.nvrtcGetProgramLog(program, log)
        raise AssertionError(log.decode())
    _, size = nvrtc.nvrtcGetPTXSize(program)
    text = b" " * size
    nvrtc.nvrtcGetPTX(program, text)
    return text.rstrip(b"\0").decode()
