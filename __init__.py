"""tilewright: GPU kernels written in Python at the level of tiles, for any data type.

`import tilewright as tw` gives the language (`tw.kernel`, `tw.load`, `tw.mma`, …), the data types
(`tw.f16`, `tw.u4`, …), the operators (`tw.ops`) and the virtual machine (`tw.vm`). Every name is
found on first use, so importing tilewright loads neither torch nor the CUDA bindings and
`tilewright layout …` stays quick. Imports here are absolute and lazy because a test runner that
walks the checkout also loads this file, under another name.
"""

import importlib.util
import re
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers and editors see; at run time every name is found late
    from tilewright import ops as ops
    from tilewright.frontend.language import *  # noqa: F403
    from tilewright.ir.types import *  # noqa: F403
    from tilewright.runtime import vm as vm
    from tilewright.runtime.kernel import kernel as kernel
    from tilewright.runtime.tensors import as_tensor as as_tensor
    from tilewright.runtime.torch_op import torch_op as torch_op

__version__ = "0.1.0"

# Module -> the names it gives to `tilewright`.
_EXPORTS = {
    "tilewright.frontend.language": """
        Barrier Buffer InlineFunction Scalar Static Tensor Tile abs all any arange arrive assume
        atomic_add atomic_and atomic_exchange atomic_max atomic_min atomic_or barrier broadcast
        cdiv ceil check copy cos done erf exactly exp exp2 floor fma full gather grid inline
        load log log2 max maximum mean min minimum mma ones print prod range role round rows
        rsqrt scatter shared sigmoid signal sin sqrt static_range store sum tanh wait
        wait_signal where zeros
    """,
    "tilewright.ir.types": "codebook",
    "tilewright.runtime.kernel": "kernel",
    "tilewright.runtime.tensors": "as_tensor",
    "tilewright.runtime.torch_op": "torch_op",
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names.split()}
_MODULES = {"ops": "tilewright.ops", "vm": "tilewright.runtime.vm"}

# Data types are named as they print: `tw.u4`, `tw.f6_e3m2`, `tw.bool`.
_DTYPE = re.compile(r"bool|(u|i|f|bf|tf|nf|e)[0-9][a-z0-9_]*")


def __getattr__(name: str) -> object:
    """Find `tilewright.name` in the module that defines it, and keep it for the next use."""
    try:
        found = _find(name)
    except (AttributeError, ValueError) as error:
        reason = f": {error}" if isinstance(error, ValueError) else ""
        message = f"tilewright has no name {name!r}{reason}"
        raise AttributeError(message, name=name) from error
    globals()[name] = found
    return found


def _find(name: str) -> object:
    if _DTYPE.fullmatch(name):
        return importlib.import_module("tilewright.ir.types").parse_dtype(name)
    if name in _MODULES:
        return _load(_MODULES[name])
    if name in _HOME:
        return getattr(_load(_HOME[name]), name)
    raise AttributeError(name)


def _load(module: str) -> ModuleType:
    """A module of ours; only where it does not exist at all is its name just unknown."""
    if importlib.util.find_spec(module.rpartition(".")[0]) and importlib.util.find_spec(module):
        return importlib.import_module(module)
    raise AttributeError(module)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME, *_MODULES])
