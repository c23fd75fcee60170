"""Where the virtual machine's cases run here: on the GPU, or (dry) on the machine itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tilewright.runtime import vm
from tilewright.tests.gpu import device
from tilewright.tests.gpu.cases import DRY
from tilewright.tests.vm.execution import execute_with
from tilewright.tests.vm.programs import run_program


@pytest.fixture(scope="session")
def run_ptx() -> Any:
    """`vm.run`, on the GPU."""
    return vm.run if DRY else device.run


@pytest.fixture(scope="session")
def execute(run_ptx: Any) -> Callable[..., Any]:
    """One instruction on many values, on the GPU."""
    return partial(execute_with, run_ptx)


@pytest.fixture(scope="session")
def run_corpus(run_ptx: Any) -> Callable[..., Any]:
    """One of the programs that Triton compiled, on the GPU."""
    return partial(run_program, run_ptx)
