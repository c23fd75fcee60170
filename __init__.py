"""tilewright: GPU kernels written in Python at the level of tiles, for any data type.

`import tilewright as tw` gives the language (`tw.kernel`, `tw.load`, `tw.mma`, …), the data types
(`tw.f16`, `tw.u4`, …), the operators (`tw.ops`) and the virtual machine (`tw.vm`). Every name is
found on first use, so importing tilewright loads neither torch nor the CUDA bindings and
`tilewright layout …` stays quick. Imports here are absolute and lazy because a test runner that
walks the checkout also loads this file, under another name.
"""

import importlib
import re

__version__ = "0.1.0"

# Module -> the names it gives to `tilewright`; data types are recognized by their form.
_EXPORTS = {
    "tilewright.frontend.language": """
        Scalar Static Tensor inline kernel torch_op
        arange assume barrier cdiv check copy exactly full grid load mma print ragged range role
        rows shared signal store wait zeros
        abs cos erf exp exp2 fma log log2 max maximum mean min minimum rsqrt sigmoid sin sqrt sum
        tanh where atomic_add atomic_max atomic_min
    """,
    "tilewright.ir.types": "codebook",
}
_MODULES = {"ops": "tilewright.ops", "vm": "tilewright.runtime.vm"}
_DTYPE = re.compile(r"bool_?|(u|i|f|bf|tf|e)[0-9]\w*")

_HOME = {name: module for module, names in _EXPORTS.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Find `tilewright.name` in the module that defines it, and keep it for the next use."""
    home = "tilewright.ir.types" if _DTYPE.fullmatch(name) else _HOME.get(name)
    try:
        if name in _MODULES:
            found = importlib.import_module(_MODULES[name])
        elif home is not None:
            found = getattr(importlib.import_module(home), name)
        else:
            raise AttributeError(name)
    except (AttributeError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith(
            "tilewright"
        ):
            raise  # a missing dependency is named as such
        raise AttributeError(f"tilewright has no name {name!r}", name=name) from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME, *_MODULES])
