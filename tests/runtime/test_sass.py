"""SASS listings, and what is said where no disassembler is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.runtime import sass
from tilewright.runtime.errors import BuildError
from tilewright.runtime.nvrtc import compile_cuda

SOURCE = """extern "C" __global__ void __launch_bounds__(32, 1) twice(float* a) {
  a[threadIdx.x] *= 2.0f;
}"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_listing_shows_instructions_and_source_lines(arch: str) -> None:
    text = sass.disassemble(compile_cuda(SOURCE, arch=arch, name="twice.py").cubin)
    assert "STG" in text
    assert "EXIT" in text
    assert 'File "/twice.py", line 2' in text


def test_second_choice_lists_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sass, "_TOOLS", sass._TOOLS[1:])
    assert "STG" in sass.disassemble(compile_cuda(SOURCE, arch="sm_80", name="twice.py").cubin)


def test_missing_disassembler_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sass, "find_disassembler", lambda: None)
    with pytest.raises(BuildError) as error:
        sass.disassemble(b"")
    assert "none is installed" in str(error.value)
    assert 'pip install "tilewright[sass]"' in str(error.value)


@pytest.mark.parametrize("installed", ["nothing", "pathfinder"])
def test_look_up_without_the_extra_finds_nothing(
    installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pathfinder:
        @staticmethod
        def find_nvidia_binary_utility(name: str) -> None:
            return None

    def look_up(name: str) -> type[Pathfinder]:
        if installed == "nothing":
            raise ImportError(name)
        return Pathfinder

    monkeypatch.setattr(sass.importlib, "import_module", look_up)
    assert sass.find_disassembler() is None


def test_damaged_cubin_is_an_error() -> None:
    with pytest.raises(BuildError, match="fails"):
        sass.disassemble(b"\x7fELF not really")
