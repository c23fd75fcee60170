"""The root of the package: names are found on first use, and an unknown one says so."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tilewright as tw

ROOT = Path(__file__).resolve().parents[2]


def test_data_types_are_names_of_the_root() -> None:
    types = importlib.import_module("tilewright.ir.types")
    for name in types.NAMED:
        assert getattr(tw, name) is types.NAMED[name]
    for dtype in types.list_small_floats():
        assert getattr(tw, str(dtype)) is dtype


@pytest.mark.parametrize(("name", "module"), tw._MODULES.items())
def test_some_modules_are_names_of_the_root(name: str, module: str) -> None:
    assert getattr(tw, name) is importlib.import_module(module)


@pytest.mark.parametrize("module", tw._EXPORTS)
def test_the_root_gives_what_the_module_defines(module: str) -> None:
    home = importlib.import_module(module)
    names = tw._EXPORTS[module].split()
    assert [name for name in names if getattr(tw, name) is not getattr(home, name, None)] == []
    if module == "tilewright.frontend.language":
        assert sorted(names) == sorted(home.__all__)


@pytest.mark.parametrize("name", ["no_such_name", "f99", "i9", "setup_module"])
def test_an_unknown_name_is_an_attribute_error_that_names_it(name: str) -> None:
    assert not hasattr(tw, name)
    with pytest.raises(AttributeError, match=f"tilewright has no name '{name}'"):
        getattr(tw, name)


def test_an_unknown_data_type_says_what_to_write() -> None:
    with pytest.raises(AttributeError, match="write f8e4m3"):
        tw.f8_e4m3  # noqa: B018


def test_a_plain_checkout_is_importable_through_the_tracked_link(tmp_path: Path) -> None:
    # -S: no site-packages, so neither an installed tilewright nor any dependency helps.
    script = "import tilewright; print(tilewright.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(ROOT / ".typing")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()).resolve() == ROOT / "__init__.py"
