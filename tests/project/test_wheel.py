"""The wheel holds what the tree holds, and works in an empty folder.

A package that is missing from the list in pyproject.toml imports from a checkout and is absent
from the wheel; so is a grammar or a header whose pattern is missing.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Runs in an empty folder, with nothing of the checkout on the path: a kernel on the virtual machine
# and on the cpu, an operator, and the command line.
USE = """
import sys
import torch
import tilewright as tw
from tilewright.ir import types

assert tw.__file__.startswith(sys.argv[1]), tw.__file__
assert tw.u4 is types.u4


@tw.kernel
def product(a: tw.Tensor, b: tw.Tensor, c: tw.Tensor, *, bm: tw.Static = 16, bk: tw.Static = 16):
    i, j = tw.grid(tw.cdiv(a.shape[0], bm), tw.cdiv(b.shape[1], bm))
    acc = tw.zeros((bm, bm), tw.f32)
    for k in tw.range(0, a.shape[1], bk, stages=2):
        x = tw.load(a, (i * bm, k), (bm, bk))
        acc = tw.mma(x, tw.load(b, (k, j * bm), (bk, bm)), acc)
    tw.store(c, (i * bm, j * bm), acc.cast(c.dtype))


a, b = torch.randn(19, 37).half(), torch.randn(37, 23).half()
wanted = a.double() @ b.double()
for target in ("cpu", "vm:sm_80", "vm:sm_90a"):
    c = torch.full((19, 23), float("nan")).half()
    product(a, b, c, target=target)
    assert (c - wanted).norm() <= 2.0**-10 * wanted.norm(), target
assert "mma" in product.inspect(a, b, c, target="sm_80", stage="ptx")
rows = tw.ops.softmax(torch.randn(3, 70))
assert (rows.sum(1) - 1).abs().max() < 1e-5
"""


def list_tree() -> dict[str, Path]:
    """What the wheel has to hold: path in the wheel -> file in the tree."""
    files = [*ROOT.glob("*.py"), ROOT / "py.typed"]
    for package in ROOT.glob("*/__init__.py"):
        files += [path for path in package.parent.rglob("*") if path.is_file()]
    return {
        f"tilewright/{path.relative_to(ROOT)}": path
        for path in files
        if "__pycache__" not in path.parts
    }


def run(command: list[str], folder: Path, **variables: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tree, so that nothing is written into the checkout."""
    copy = tmp_path_factory.mktemp("copy")
    for name, path in list_tree().items():
        target = copy / name.removeprefix("tilewright/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    output = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run([*pip, "--wheel-dir", str(output), str(copy)], output)
    (built,) = output.glob("*.whl")
    return built


def test_the_wheel_holds_exactly_the_tree(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.split("/")[0].endswith("-info")}
        tree = list_tree()
        missing = sorted(tree.keys() - held)
        folders = sorted({str(Path(name).parent) for name in missing})
        assert missing == [], f"list packages and their data in pyproject.toml: {folders}"
        assert sorted(held - tree.keys()) == []
        changed = [name for name, path in tree.items() if archive.read(name) != path.read_bytes()]
        assert changed == []


def test_every_folder_of_a_package_is_a_package() -> None:
    folders = {path.parent for path in list_tree().values() if path.suffix == ".py"}
    assert [str(path) for path in folders if not (path / "__init__.py").exists()] == []


def test_the_wheel_works_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    run([*pip, "--target", str(site), str(wheel)], empty)
    script = tmp_path / "use.py"
    script.write_text(USE)
    places = {"PYTHONPATH": str(site), "TILEWRIGHT_CACHE": str(tmp_path / "cache")}
    run([sys.executable, str(script), str(site)], empty, **places)
    assert "torch" in run([sys.executable, "-m", "tilewright", "doctor"], empty, **places)
    assert list(empty.iterdir()) == []
