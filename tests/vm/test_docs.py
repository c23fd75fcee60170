"""The document's program runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np


def test_the_documents_program_runs() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "vm.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, object] = {}
    exec(code.replace("from tilewright import vm", "from tilewright.runtime import vm"), names)
    np.testing.assert_array_equal(names["x"], np.arange(64, dtype="f") * np.float32(2.5))
