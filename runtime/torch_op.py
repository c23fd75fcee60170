"""`tw.torch_op`: any kernel as an operator of torch's, so that `torch.compile` can trace it.

The operator takes the kernel's arguments except the outputs, which `outputs` allocates, and the
statics, which are fixed here:

    scale_op = tw.torch_op(scale, "mylib::scale", outputs={"y": lambda x, s: torch.empty_like(x)})
    y = scale_op(x, 2.0)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tilewright.runtime.bindings import torch
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.kernel import KernelFunction

_SCHEMA_TYPES = {"tensor": "Tensor", "scalar": "Scalar"}


class TorchOp:
    """The operator; call it, or give it a derivative with `register_autograd`."""

    def __init__(self, name: str, operator: Any, library: Any) -> None:
        self.name = name
        self.operator = operator
        self._library = library

    def __call__(self, *args: Any) -> Any:
        return self.operator(*args)

    def register_autograd(
        self, backward: Callable[..., Any], *, setup_context: Callable[..., None] | None = None
    ) -> None:
        """As `torch.library.register_autograd`."""
        torch().library.register_autograd(
            self.name, backward, setup_context=setup_context, lib=self._library
        )


def torch_op(
    kernel: KernelFunction,
    name: str,
    *,
    outputs: Mapping[str, Callable[..., Any]],
    **statics: Any,
) -> TorchOp:
    """Register `kernel` as `name` ("namespace::op").

    `outputs` maps each output parameter of the kernel to a function that allocates it, given the
    operator's arguments; the operator returns the outputs (one alone, or a tuple in that order).
    `torch.compile` traces these functions for shapes, so they may only allocate. Further keywords
    fix statics. Raises LaunchError for names that the kernel does not have.
    """
    if "::" not in name:
        raise LaunchError(f"{name!r} has no namespace", f'write "mylib::{name}"')
    space, _, short = name.partition("::")
    names = list(outputs)
    _check_names(kernel, [*outputs, *statics])
    inputs = [p for p in kernel.signature.parameters if p.kind != "static" and p.name not in names]
    for parameter in inputs:
        if parameter.kind not in _SCHEMA_TYPES:
            raise LaunchError(f"{kernel.name}: torch_op cannot pass the dataclass {parameter.name}")
    schema = ", ".join(_declare(p) for p in inputs)
    result = "Tensor" if len(names) == 1 else f"({', '.join(['Tensor'] * len(names))})"

    def run(*args: Any) -> Any:
        made = {name: make(*args) for name, make in outputs.items()}
        given = {p.name: a for p, a in zip(inputs, args, strict=True)}
        kernel(**given, **made, **statics)
        return _pack(list(made.values()))

    def fake(*args: Any) -> Any:
        return _pack([make(*args) for make in outputs.values()])

    library = torch().library.Library(space, "FRAGMENT")
    library.define(f"{short}({schema}) -> {result}")
    for device in ("CPU", "CUDA"):
        library.impl(short, run, device)
    torch().library.register_fake(name, fake, lib=library)
    return TorchOp(name, getattr(getattr(torch().ops, space), short), library)


def _declare(parameter: Any) -> str:
    kind = _SCHEMA_TYPES[parameter.kind]
    if not parameter.required and parameter.default is None:
        return f"{kind}? {parameter.name}=None"
    return f"{kind} {parameter.name}"


def _check_names(kernel: KernelFunction, names: list[str]) -> None:
    for name in names:
        if name not in kernel.signature.names:
            known = ", ".join(p.name for p in kernel.signature.parameters)
            raise LaunchError(f"{kernel.name} has no parameter {name}", f"it has {known}")


def _pack(made: list[Any]) -> Any:
    return made[0] if len(made) == 1 else tuple(made)
