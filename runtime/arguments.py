"""Binding a call's arguments to a kernel's parameters, and what they specialize it to.

`read_signature` looks at the Python function once: which parameters are tensors, scalars, statics,
dataclasses of these. `bind` sorts one call's values accordingly and flattens dataclasses in
signature order, as the frontend does: `q.codes` becomes the tensor `q_codes`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tilewright.frontend.language import Scalar, Static, Tensor
from tilewright.ir.types import DType, bool_, f32, i32, i64
from tilewright.ir.values import ScalarType
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.tensors import classify, is_tensor

Spec = Any
"""What the frontend's `capture` takes per parameter: a type, a static value, or a mapping."""


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter of the Python function."""

    name: str
    kind: str
    default: Any
    required: bool


@dataclass(frozen=True)
class Signature:
    """A kernel function's parameters, in order."""

    name: str
    parameters: tuple[ParameterInfo, ...]
    names: frozenset[str]
    places: int
    """How many arguments may come without their name; the others follow a `*`."""

    @property
    def positional(self) -> tuple[ParameterInfo, ...]:
        return tuple(p for p in self.parameters if p.kind != "static")


@dataclass(frozen=True)
class Bound:
    """One call, sorted: tensors and scalars in launch order, all values by parameter name."""

    values: dict[str, Any]
    tensors: dict[str, Any]
    scalars: dict[str, Any]


def read_signature(function: Callable[..., Any]) -> Signature:
    """The parameters of `function`, classified by their annotations."""
    hints = _hints(function)
    found = []
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        kind = _kind(hints.get(parameter.name), parameter.name, function)
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        found.append(ParameterInfo(parameter.name, kind, default, required))
    places = sum(p.kind is not p.KEYWORD_ONLY for p in parameters)
    return Signature(function.__name__, tuple(found), frozenset(p.name for p in found), places)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError as error:
        raise LaunchError(
            f"an annotation of kernel {function.__name__} cannot be read: {error}",
            "annotate with tw.Tensor, tw.Scalar, tw.Static or a dataclass known at module level",
        ) from None


def _kind(annotation: Any, name: str, function: Callable[..., Any]) -> str:
    for choice in _choices(annotation):
        if choice is Tensor:
            return "tensor"
        if choice is Scalar:
            return "scalar"
        if choice is Static:
            return "static"
        if dataclasses.is_dataclass(choice):
            return "dataclass"
    raise LaunchError(
        f"parameter {name} of kernel {function.__name__} has no annotation of ours",
        "annotate it with tw.Tensor, tw.Scalar, tw.Static or a dataclass",
    )


def bind(signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter name → value for one call; LaunchError names what is missing or unknown."""
    parameters = signature.parameters
    if len(args) > signature.places:
        rest = ", ".join(p.name for p in parameters[signature.places :])
        raise LaunchError(
            f"{signature.name} takes {signature.places} arguments by place, got {len(args)}",
            f"pass by name: {rest}" if rest else None,
        )
    values = {p.name: v for p, v in zip(parameters, args, strict=False)}
    for name, value in kwargs.items():
        if name not in signature.names:
            known = ", ".join(p.name for p in parameters)
            raise LaunchError(f"{signature.name} has no parameter {name}", f"it has {known}")
        if name in values:
            raise LaunchError(f"{signature.name} got {name} twice")
        values[name] = value
    for parameter in parameters:
        if parameter.name not in values:
            if parameter.required:
                raise LaunchError(f"{signature.name} misses its argument {parameter.name}")
            values[parameter.name] = parameter.default
    return {p.name: values[p.name] for p in parameters}


def flatten(signature: Signature, values: Mapping[str, Any]) -> Bound:
    """`values` with dataclasses taken apart; checks that each value fits its annotation."""
    bound = Bound(dict(values), {}, {})
    for parameter in signature.parameters:
        _flatten_one(parameter.name, parameter.kind, values[parameter.name], bound)
    return bound


def _flatten_one(name: str, kind: str, value: Any, bound: Bound) -> None:
    if kind == "static" or value is None:
        return
    if dataclasses.is_dataclass(value) and not is_tensor(value):
        for field, kind in field_kinds(type(value)).items():
            held, flat = getattr(value, field), f"{name}_{field}"
            if is_tensor(held) or dataclasses.is_dataclass(held) or kind in ("tensor", "scalar"):
                if flat in bound.values:
                    raise LaunchError(f"{flat} and {name}.{field} have one name", "rename one")
                _flatten_one(flat, kind or "tensor", held, bound)
        return
    if kind == "tensor":
        if not is_tensor(value):
            raise LaunchError(
                f"{name} is a {type(value).__name__}, want a tensor", "torch.as_tensor it first"
            )
        bound.tensors[name] = value
        return
    if kind == "scalar":
        if not isinstance(value, (bool, int, float)):
            raise LaunchError(
                f"{name} is a {type(value).__name__}, want a number", "pass .item() of a tensor"
            )
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise LaunchError(f"{name} is {value}, beyond 64 bits", "pass an i64, or a float")
        bound.scalars[name] = value
        return
    raise LaunchError(f"{name} is a {type(value).__name__}, want a dataclass instance")


def specialize(signature: Signature, values: Mapping[str, Any], index: DType) -> dict[str, Spec]:
    """What `capture` is told about each parameter."""
    return {p.name: _spec(p.kind, values[p.name], index) for p in signature.parameters}


def _spec(kind: str, value: Any, index: DType) -> Spec:
    if kind == "static" or value is None:
        return value
    if is_tensor(value):
        return classify(value)
    if dataclasses.is_dataclass(value):
        return {
            field: _spec(kind if kind or _is_nested(held) else "static", held, index)
            for field, kind in field_kinds(type(value)).items()
            for held in (getattr(value, field),)
        }
    return scalar_spec(value)


def _is_nested(value: Any) -> bool:
    return is_tensor(value) or (dataclasses.is_dataclass(value) and not isinstance(value, DType))


def field_kinds(kind: Any) -> Mapping[str, str]:
    """Field → "tensor", "scalar", "static" as a dataclass says; "" where the value decides."""
    return _read_fields(kind)


@functools.cache
def _read_fields(kind: Any) -> Mapping[str, str]:
    try:
        hints = typing.get_type_hints(kind)
    except NameError:  # annotations that only a type checker reads
        hints = {}
    names = {Tensor: "tensor", Scalar: "scalar", Static: "static"}
    return {
        field.name: next((names[c] for c in _choices(hints.get(field.name)) if c in names), "")
        for field in dataclasses.fields(kind)
    }


def _choices(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of `X | None`."""
    return typing.get_args(annotation) or (annotation,)


def scalar_spec(value: bool | int | float) -> Spec:
    """The type of a scalar argument; the ints 0 and 1 are compiled in."""
    if isinstance(value, bool):
        return ScalarType(bool_)
    if isinstance(value, int):
        if value in (0, 1):
            return value
        return ScalarType(i32 if -(2**31) <= value < 2**31 else i64)
    return ScalarType(f32)
