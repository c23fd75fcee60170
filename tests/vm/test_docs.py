"""The document's programs run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest


def test_the_documents_programs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(__file__).parents[2].joinpath("docs", "vm.md").read_text()
    codes = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, object] = {}
    monkeypatch.chdir(tmp_path)
    for code in codes:
        exec(code.replace("from tilewright import vm", "from tilewright.runtime import vm"), names)
    np.testing.assert_array_equal(names["x"], np.arange(64, dtype="f") * np.float32(2.5))
    assert "<svg" in Path("run.html").read_text() and names["waited"] == 0
