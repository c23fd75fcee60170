"""The virtual machine's cases on a GPU: the same PTX against the same exact references.

The references leave nothing open but what the manual does (division by zero, NaN payloads) and the
`.approx` functions, which have the manual's bound; so a GPU that agrees with them agrees with the
virtual machine bit by bit. Sums of matrix products are exact here, in whatever order.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest

from tilewright.tests.gpu.cases import DRY, HAS_GPU, REASON
from tilewright.tests.vm import (
    test_exact,
    test_instructions,
    test_language,
    test_matrix,
    test_other_mma,
    test_special_values,
    test_warps,
    test_wmma,
)

pytestmark = [
    pytest.mark.skipif(not (DRY or HAS_GPU), reason=REASON),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
_RUNNERS = {"run_ptx", "execute"}
MODULES = (
    test_exact, test_instructions, test_language, test_matrix, test_other_mma, test_special_values,
    test_warps, test_wmma,
)  # fmt: skip


def cases(module: ModuleType) -> dict[str, Any]:
    """The tests of a module that ask for something that runs PTX."""
    return {
        name: value
        for name, value in vars(module).items()
        if name.startswith("test_") and _RUNNERS & set(inspect.signature(value).parameters)
    }


for _module in MODULES:
    globals().update(cases(_module))


def test_every_module_has_cases() -> None:
    assert all(cases(module) for module in MODULES)
