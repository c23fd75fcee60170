"""Layers only look down: which module may import which, read from the source of every module.

The table is the one of the architecture page. Besides it: imports inside functions are reserved
for heavy or optional dependencies, each in one module, so that a name in a module's head tells
what it needs and `import tilewright` stays light.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BELOW_OPERATORS = frozenset({"ir", "frontend", "passes", "codegen", "runtime", "runtime.vm"})
MAY_IMPORT = {
    "": frozenset(),
    "ir": frozenset({"ir"}),
    "frontend": frozenset({"ir", "frontend"}),
    "passes": frozenset({"ir", "passes"}),
    "codegen": frozenset({"ir", "codegen"}),
    "runtime": BELOW_OPERATORS,
    "runtime.vm": frozenset({"runtime.vm"}),
    "ops": BELOW_OPERATORS | {"ops", ""},
}
# Everything above the line where devices begin works without them.
NEEDS_NO_DEVICE = frozenset({"", "ir", "frontend", "passes", "codegen", "runtime.vm"})
HEAVY = ("torch", "cuda")
# Single late imports between layers: device records by name, which load nothing heavy themselves.
EDGES = frozenset({("tilewright.runtime.vm.devices", "tilewright.ir.targets")})
# What a function may import when it is called: slow to load, or an optional extra.
LATE = frozenset(
    {"torch", "cuda", "matplotlib", "ml_dtypes", "ninja", "safetensors", "sklearn", "triton"}
)


@dataclass(frozen=True)
class Import:
    """One imported module: what, where, and whether it waits until a function is called."""

    target: str
    where: str
    layer: str
    late: bool
    typing_only: bool


def find_layer(module: str) -> str:
    """The layer of a dotted module below `tilewright`.

    The virtual machine is a layer of its own inside `runtime`.
    """
    parts = module.split(".")[1:]
    if parts[:2] == ["runtime", "vm"]:
        return "runtime.vm"
    return parts[0] if parts and parts[0] in MAY_IMPORT else ""


def find_modules() -> dict[str, Path]:
    """Every module of the package: dotted name -> file."""
    modules = {"tilewright": ROOT / "__init__.py"}
    for folder in sorted(ROOT.glob("*/__init__.py")):
        for path in sorted(folder.parent.rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(("tilewright", *parts)).removesuffix(".__init__")
            modules[name] = path
    return modules


def read_imports(tree: ast.AST, module: str, modules: frozenset[str]) -> Iterator[Import]:
    """Every import in a module, `importlib.import_module("…")` with a constant name included."""

    def visit(node: ast.AST, late: bool, typing_only: bool) -> Iterator[Import]:
        where = f"{module}:{getattr(node, 'lineno', 1)}"
        for target in find_targets(node, modules):
            yield Import(target, where, find_layer(module), late, typing_only)
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            guarded = typing_only or (
                is_typing_guard(node) and child is not getattr(node, "test", 0)
            )
            yield from visit(child, inside, guarded)

    yield from visit(tree, False, False)


def is_typing_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def find_targets(node: ast.AST, modules: frozenset[str]) -> list[str]:
    """The dotted modules that a single statement or call imports."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=source, names=names, level=level):
            source = "." * level + (source or "")
            longer = [f"{source}.{alias.name}" for alias in names]
            ours = source.startswith("tilewright")
            return [name if not ours or name in modules else source for name in longer]
        case ast.Call(
            func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name))]
        ):
            return [name]
        case ast.Call(func=ast.Attribute(attr="import_module")):
            return ["(computed)"]
    return []


def find_faults(imports: list[Import]) -> list[str]:
    """What breaks the table; empty is right."""
    faults = []
    late_homes: dict[str, set[str]] = defaultdict(set)
    for item in imports:
        first = item.target.split(".")[0]
        if first == "":
            faults.append(f"{item.where}: relative import of {item.target}")
        elif first == "tilewright" and (item.late or item.typing_only) and not item.layer:
            continue  # the root's lazy re-exports, and what type checkers see of them
        elif item.late and (item.where.split(":")[0], item.target) in EDGES:
            continue
        elif first == "tilewright":
            layer = find_layer(item.target)
            if layer not in MAY_IMPORT[item.layer]:
                faults.append(
                    f"{item.where}: {item.layer or 'the root'} may not import {item.target}"
                )
            if item.late and not item.typing_only:
                faults.append(f"{item.where}: late import of {item.target}")
        elif first == "(computed)":
            if item.layer:
                faults.append(f"{item.where}: computed import")
        elif item.typing_only:
            continue
        elif first in HEAVY and item.layer in NEEDS_NO_DEVICE:
            faults.append(f"{item.where}: {item.layer or 'the root'} must work without {first}")
        elif item.late and first not in LATE:
            faults.append(f"{item.where}: late import of {item.target}")
        elif item.late:
            late_homes[first if first != "cuda" else item.target].add(item.where.split(":")[0])
    for target, homes in late_homes.items():
        if len(homes) > 1:
            faults.append(f"late import of {target} in more than one module: {sorted(homes)}")
    return faults


def read_text(text: str, module: str) -> list[str]:
    known = frozenset(
        {
            "tilewright.ir",
            "tilewright.ir.targets",
            "tilewright.passes",
            "tilewright.runtime.vm",
            "tilewright.ops",
        }
    )
    return find_faults(list(read_imports(ast.parse(text), module, known)))


def test_every_module_keeps_to_its_layer() -> None:
    modules = find_modules()
    assert "tilewright.ir" in modules
    names = frozenset(modules)
    imports = [
        item
        for module, path in modules.items()
        for item in read_imports(ast.parse(path.read_text(), str(path)), module, names)
    ]
    faults = find_faults(imports)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("tilewright.ir.types", "from tilewright.passes import order"),
        ("tilewright.ir.types", "from tilewright import passes"),
        ("tilewright.ir.types", "import tilewright as tw"),
        ("tilewright.ir.types", "from . import layout"),
        ("tilewright.ir.types", "if TYPE_CHECKING:\n    import tilewright.passes"),
        ("tilewright.frontend.capture", "from tilewright.codegen.cuda import copies"),
        ("tilewright.codegen.cuda.copies", "import torch"),
        ("tilewright.passes.order", "def run():\n    from tilewright.ir import types"),
        ("tilewright.passes.order", "def run():\n    import sympy"),
        ("tilewright.runtime.build", "from tilewright.ops import matmul"),
        ("tilewright.runtime.vm.decode", "from tilewright.ir.types import f16"),
        ("tilewright.runtime.vm.decode", "from tilewright.runtime import cache"),
        ("tilewright.runtime.vm.devices", "from tilewright.ir.targets import find_device"),
        ("tilewright.runtime.build", "import importlib\nimportlib.import_module(name)"),
        ("tilewright", "from tilewright.ir.types import f16"),
    ],
)
def test_a_forbidden_import_is_found(module: str, text: str) -> None:
    assert len(read_text(text, module)) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("tilewright.ir.types", "import numpy as np\nfrom tilewright.ir import layout"),
        ("tilewright.frontend.capture", "if TYPE_CHECKING:\n    import torch"),
        (
            "tilewright.runtime.build",
            "def load():\n    import torch\n    from cuda.bindings import nvrtc",
        ),
        ("tilewright.runtime.launch", "from tilewright.runtime import vm"),
        ("tilewright.ops.matmul", "import torch\nimport tilewright as tw"),
        ("tilewright.ops.quant.pack", "from tilewright.ops import matmul"),
        (
            "tilewright.runtime.vm.devices",
            "def find():\n    from tilewright.ir.targets import find_device",
        ),
    ],
)
def test_an_allowed_import_is_not_reported(module: str, text: str) -> None:
    assert read_text(text, module) == []


def test_the_late_import_of_device_records_is_the_only_one_between_layers() -> None:
    assert read_text(
        "def find():\n    from tilewright.ir import types", "tilewright.runtime.vm.devices"
    )
    assert read_text(
        "def find():\n    from tilewright.ir import targets", "tilewright.runtime.vm.launch"
    )


def test_a_late_import_has_one_home() -> None:
    text = "def load():\n    import torch"
    homes = ("tilewright.runtime.glue", "tilewright.runtime.launch")
    imports = [item for home in homes for item in read_imports(ast.parse(text), home, frozenset())]
    assert len(find_faults(imports)) == 1


def list_loaded(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    script = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_tilewright_loads_neither_torch_nor_the_cuda_bindings() -> None:
    assert not list_loaded("import tilewright") & {"torch", "cuda", "numpy", "sympy"}


def test_the_layers_above_devices_load_neither_torch_nor_the_cuda_bindings() -> None:
    modules = find_modules()
    names = [name for name in modules if find_layer(name) in NEEDS_NO_DEVICE]
    loaded = list_loaded("\n".join(f"import {name}" for name in sorted(names)))
    assert not loaded & set(HEAVY)


def test_device_records_for_the_virtual_machine_load_nothing_heavy() -> None:
    loaded = list_loaded("import tilewright.ir.targets")
    assert not loaded & {*HEAVY, "sympy", "lark"}


def test_the_command_line_loads_neither_torch_nor_the_cuda_bindings() -> None:
    assert not list_loaded("import tilewright.runtime.cli") & set(HEAVY)
