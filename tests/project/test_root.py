"""The root of the package: names are found on first use, and an unknown one says so."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tilewright as tw

ROOT = Path(__file__).resolve().parents[2]


def test_data_types_and_the_virtual_machine_are_names_of_the_root() -> None:
    types = importlib.import_module("tilewright.ir.types")
    for name in ("u4", "i32", "f16", "bf16", "f8e4m3", "f6_e3m2"):
        assert getattr(tw, name) is getattr(types, name)
    if (ROOT / "runtime/vm/__init__.py").exists():
        assert tw.vm is importlib.import_module("tilewright.runtime.vm")


def test_every_public_name_is_there() -> None:
    exports: dict[str, str] = tw._EXPORTS
    for module, names in exports.items():
        if (ROOT / (module.removeprefix("tilewright.").replace(".", "/") + ".py")).exists():
            home = importlib.import_module(module)
            missing = [name for name in names.split() if not hasattr(home, name)]
            assert not missing, f"{module} lacks {missing}, which the root promises"


@pytest.mark.parametrize("name", ["no_such_name", "f99", "setup_module"])
def test_an_unknown_name_is_an_attribute_error_that_names_it(name: str) -> None:
    with pytest.raises(AttributeError, match=f"tilewright has no name '{name}'"):
        getattr(tw, name)


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
