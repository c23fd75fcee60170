"""Fixtures of the virtual machine's tests: CUDA C++ to PTX, and a kernel that many tests use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm
from tilewright.tests.vm.execution import execute_with
from tilewright.tests.vm.programs import CORPUS, run_program

collect_ignore = ["corpus"]  # its sources need Triton


def _compile(source: str, arch: str = "sm_80", *, lineinfo: bool = True) -> str:
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


@pytest.fixture(scope="session")
def compile_ptx() -> Callable[..., str]:
    """PTX of a CUDA C++ program, compiled with NVRTC; the program's virtual name is `/k.cu`."""
    return _compile


@pytest.fixture(scope="session")
def matmul_source() -> str:
    """A pipelined bf16 matmul by hand: cp.async, swizzled shared memory, ldmatrix, mma.sync."""
    return Path(__file__).with_name("matmul.cu").read_text()


@pytest.fixture(scope="session")
def run_corpus(run_ptx: Any) -> Callable[..., vm.Report]:
    """Runs one of the programs that Triton compiled (see `programs.py`)."""
    return partial(run_program, run_ptx)


@pytest.fixture(scope="session")
def corpus_ptx() -> Callable[[str], str]:
    """The PTX of a program of the corpus."""
    return lambda name: (CORPUS / f"{name}.ptx").read_text()


@pytest.fixture(scope="session")
def run_ptx() -> Any:
    """`vm.run`; tests/gpu has another fixture of this name, which runs on the GPU as well."""
    return vm.run


@pytest.fixture(scope="session")
def execute(run_ptx: Any) -> Callable[..., np.ndarray]:
    """One instruction on many values (see `execution.py`)."""
    return partial(execute_with, run_ptx)
