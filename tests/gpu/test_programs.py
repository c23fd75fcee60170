"""The corpus on a GPU: the same PTX, launched as on the virtual machine, against the same bounds.

Results are compared with NumPy in float64. What a report says is the virtual machine's alone, so
tests of nothing else stay there. A kernel that fails takes its process's context with it: this file
comes last.
"""

from __future__ import annotations

import inspect

import pytest

from tilewright.tests.gpu.cases import DRY, HAS_GPU, REASON
from tilewright.tests.vm import (
    test_corpus_descriptors,
    test_corpus_elementwise,
    test_corpus_matmuls,
    test_corpus_reductions,
)
from tilewright.tests.vm.test_corpus_matmuls import rng

pytestmark = pytest.mark.skipif(not (DRY or HAS_GPU), reason=REASON)
MODULES = (
    test_corpus_elementwise,
    test_corpus_reductions,
    test_corpus_matmuls,
    test_corpus_descriptors,
)
OF_REPORTS = {
    "test_a_fault_names_the_line_of_the_triton_source",
    "test_a_race_that_the_compiler_made_is_found",
    "test_prints_and_asserts",
}
"""Tests of what the virtual machine says."""

for _module in MODULES:
    for _name, _value in vars(_module).items():
        if not _name.startswith("test_") or _name in OF_REPORTS:
            continue
        if "run_corpus" in inspect.signature(_value).parameters:
            globals()[_name] = _value


def test_the_corpus_is_here() -> None:
    assert rng is test_corpus_matmuls.rng
    assert sum(name.startswith("test_") for name in globals()) > 30
