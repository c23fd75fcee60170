"""`@tw.kernel`: a Python function that launches on tensors.

The first call with some combination of dtypes, specialization classes and statics captures and
compiles the kernel. A call with shapes that were seen before runs from a *plan*: everything but
pointers and scalar values is already packed, so a launch costs microseconds.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from tilewright.frontend.capture import capture
from tilewright.ir.kernel import Kernel
from tilewright.ir.types import i32, i64
from tilewright.runtime.arguments import (
    Bound,
    bind,
    flatten,
    read_signature,
    scalar_spec,
    specialize,
)
from tilewright.runtime.bindings import torch
from tilewright.runtime.compile import Compiled, check_way, compile_kernel, list_words
from tilewright.runtime.errors import LaunchError, ResourceError
from tilewright.runtime.inspect import show
from tilewright.runtime.overlap import check_overlap, find_written, may_share
from tilewright.runtime.tensors import byte_span, classify, storage_of

RESERVED = ("warps", "stages", "schedule")
PLAN_LIMIT = 4096
Config = Mapping[str, Any]
Fetch = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]
"""Finds one argument's value in a call's positional and keyword arguments."""


@dataclass(frozen=True)
class Plan:
    """A launch with everything decided except addresses and scalar values."""

    compiled: Compiled
    blocks: int
    words: tuple[Any, ...]
    pointers: tuple[tuple[int, int, Fetch], ...]
    scalars: tuple[tuple[int, Fetch], ...]
    written: tuple[int, ...]
    spans: tuple[int, ...]


@dataclass(frozen=True)
class Prepared:
    """A launch on the cpu of which only the addresses of the tensors are missing."""

    plan: Plan

    def __call__(self, *addresses: int) -> None:
        """Run it on tensors at `addresses`, in the order of the kernel's parameters."""
        plan = self.plan
        words = list(plan.words)
        for (word, _, _), address in zip(plan.pointers, addresses, strict=True):
            words[word] = address
        if plan.blocks:
            plan.compiled.program.launch(plan.blocks, words, {})


class KernelFunction:
    """A kernel that is called like a function; see `kernel`."""

    def __init__(
        self, function: Callable[..., Any], configs: Any = None, *, spills: str = "warn"
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.configs = _by_family(configs)
        self.name = function.__name__
        self.spills = spills
        self._torch = torch()  # an attribute, so that torch.compile can see through it
        self._compiled: dict[Any, Compiled] = {}
        self._plans: dict[Any, Plan] = {}

    @functools.cached_property
    def signature(self) -> Any:
        return read_signature(self.function)

    @functools.cached_property
    def kinds(self) -> dict[str, str]:
        """Parameter name → "tensor", "scalar", "static" or "dataclass", in order."""
        return {p.name: p.kind for p in self.signature.parameters}

    def __call__(self, *args: Any, target: str | None = None, **kwargs: Any) -> Any:
        """Launch on `args`; `target` is chosen by their device unless it is given."""
        if self._torch.compiler.is_compiling():
            raise RuntimeError(  # a class of Python's own: torch.compile shows its message
                f"kernel {self.name} is called directly under torch.compile: wrap it once with "
                f"{self.name}_op = tw.torch_op({self.name}, ...), and call that"
            )
        try:
            key = _plan_key(args, kwargs, target, self.kinds)
            plan = self._plans.get(key)
        except (TypeError, RuntimeError):  # unhashable, or a tensor without memory: say which
            self._plan(args, kwargs, target)
            raise
        if plan is None:
            plan = self._plan(args, kwargs, target)
            if len(self._plans) >= PLAN_LIMIT:
                self._plans.clear()
            self._plans[key] = plan
        return self._launch(plan, args, kwargs)

    def prepare(self, *args: Any, **kwargs: Any) -> Prepared:
        """The launch of these arguments on the cpu, for operators that run it often.

        The tensors whose addresses it is called with have dtype, shape and strides of these, and
        none overlaps what the kernel writes.
        """
        return Prepared(self._plan(args, kwargs, "cpu"))

    def compile(self, *args: Any, target: str | None = None, **kwargs: Any) -> Compiled:
        """The compiled kernel that a launch on these arguments would run; any device serves."""
        bound, way = self._bind(args, kwargs, target)
        return self._compile(bound, way)

    def capture(self, *args: Any, target: str | None = None, **kwargs: Any) -> Kernel:
        """The kernel in phase `tile` for these arguments."""
        bound, way = self._bind(args, kwargs, target)
        return self._capture(bound, self._config(way, bound))

    def inspect(self, *args: Any, stage: str = "tile", target: str | None = None, **kw: Any) -> str:
        """The kernel at one stage: tile, laid_out, scheduled, target, cuda, cpp, ptx, sass,
        resources."""
        return show(self.compile(*args, target=target or "sm_80", **kw), stage)

    def profile(self, *args: Any, target: str = "vm:sm_80", **kwargs: Any) -> Any:
        """Run on the virtual machine with all checks; gives its report."""
        if not target.startswith("vm:"):
            raise LaunchError("profile runs on the virtual machine", 'target="vm:sm_80"')
        return self(*args, target=target, **kwargs)

    def _bind(self, args: Any, kwargs: Any, target: str | None) -> tuple[Bound, str]:
        statics = {
            k: v for k, v in kwargs.items() if k not in RESERVED or k in self.signature.names
        }
        values = bind(self.signature, args, statics)
        way = _choose_way(flatten(self.signature, values).tensors, target)
        defaults = self._defaults(way)
        given = {p.name for p, _ in zip(self.signature.parameters, args, strict=False)} | set(
            kwargs
        )
        for name, value in defaults.items():
            if name in values and name not in given:
                values[name] = value
        bound = flatten(self.signature, values)
        reserved = {k: v for k, v in {**defaults, **kwargs}.items() if k in RESERVED}
        bound.values.update({f"config:{k}": v for k, v in reserved.items()})
        return bound, way

    def _defaults(self, way: str) -> Config:
        family = "cpu" if way == "cpu" else "cuda"
        found = self.configs.get(family, ())
        return found[0] if found else {}

    def _config(self, way: str, bound: Bound) -> dict[str, Any]:
        return {
            k.removeprefix("config:"): v for k, v in bound.values.items() if k.startswith("config:")
        }

    def _capture(self, bound: Bound, config: Config) -> Kernel:
        index = i32 if all(_fits_i32(t) for t in bound.tensors.values()) else i64
        values = {k: v for k, v in bound.values.items() if not k.startswith("config:")}
        specs = specialize(self.signature, values, index)
        return capture(self.function, specs, index_dtype=index, name=self.name)

    def _compile(self, bound: Bound, way: str) -> Compiled:
        kinds = self.kinds
        key = (way, *((k, _class_key(v, kinds.get(k))) for k, v in bound.values.items()))
        found = self._compiled.get(key)
        if found is None:
            config = self._config(way, bound)
            tile = self._capture(bound, config)
            found = compile_kernel(tile, way, config=config)
            _report_spills(self.name, found, self.spills)
            self._compiled[key] = found
        return found

    def _plan(self, args: Any, kwargs: Any, target: str | None) -> Plan:
        bound, way = self._bind(args, kwargs, target)
        _check_devices(self.name, bound.tensors, way)
        _check_statics(self.name, bound.values)
        compiled = self._compile(bound, way)
        params = [p.name for p in compiled.tile.params]
        tensors = [bound.tensors.get(name) for name in params]
        shapes = [() if t is None else tuple(t.shape) for t in tensors]
        strides = [() if t is None else tuple(t.stride()) for t in tensors]
        scalars = [bound.scalars.get(name, 0) for name in params]
        written = find_written(compiled.tile)
        check_overlap(compiled.tile, params, tensors, written)
        ordered = [s if t is None else t for t, s in zip(tensors, scalars, strict=True)]
        words = list_words(compiled.parameters, shapes, strides, ordered)
        indexed = list(enumerate(compiled.parameters))
        return Plan(
            compiled,
            compiled.grid(shapes, strides, scalars),
            tuple(words),
            tuple(
                (i, p.argument, self._fetch(params[p.argument], args, kwargs))
                for i, p in indexed
                if p.kind == "pointer"
            ),
            tuple(
                (i, self._fetch(params[p.argument], args, kwargs))
                for i, p in indexed
                if p.kind == "scalar"
            ),
            written,
            tuple(0 if t is None else byte_span(t) for t in tensors),
        )

    def _launch(self, plan: Plan, args: Any, kwargs: Any) -> Any:
        words = list(plan.words)
        tensors: dict[int, Any] = {}
        pointers: dict[int, int] = {}
        for word, argument, fetch in plan.pointers:
            tensor = tensors[argument] = fetch(args, kwargs)
            words[word] = pointers[argument] = tensor.data_ptr()
        for word, fetch in plan.scalars:
            words[word] = fetch(args, kwargs)
        if may_share(plan.spans, pointers, plan.written):
            tile = plan.compiled.tile
            names = [p.name for p in tile.params]
            check_overlap(tile, names, [tensors.get(i) for i in range(len(names))], plan.written)
        if plan.blocks == 0:
            return None
        return plan.compiled.program.launch(plan.blocks, words, tensors)

    def _fetch(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Fetch:
        """How to find flattened argument `name` in calls that look like this one."""
        for position, parameter in enumerate(self.signature.parameters):
            if name != parameter.name and not name.startswith(parameter.name + "_"):
                continue
            fields = _find_fields(name, parameter.name, self._value(position, args, kwargs))
            if fields is None:
                continue
            return self._reader(position, args, kwargs, fields)
        raise AssertionError(f"{name} is no argument of {self.name}")

    def _value(self, position: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        parameter = self.signature.parameters[position]
        return (
            args[position]
            if position < len(args)
            else kwargs.get(parameter.name, parameter.default)
        )

    def _reader(
        self, position: int, args: tuple[Any, ...], kwargs: Any, fields: tuple[str, ...]
    ) -> Fetch:
        key = self.signature.parameters[position].name
        if position < len(args):
            if not fields:
                return lambda args, _: args[position]
            return lambda args, _: _follow(args[position], fields)
        if key in kwargs:
            return lambda _, kwargs: _follow(kwargs[key], fields)
        default = _follow(self.signature.parameters[position].default, fields)
        return lambda _args, _kwargs: default


def _follow(value: Any, fields: tuple[str, ...]) -> Any:
    for field in fields:
        value = getattr(value, field)
    return value


def _find_fields(name: str, prefix: str, value: Any) -> tuple[str, ...] | None:
    """The chain of dataclass fields that flattened `name` stands for, None where there is none."""
    if name == prefix:
        return ()
    for field in getattr(value, "__dataclass_fields__", ()):
        found = _find_fields(name, f"{prefix}_{field}", getattr(value, field))
        if found is not None:
            return (field, *found)
    return None


@overload
def kernel(function: Callable[..., Any], *, spills: str = ...) -> KernelFunction: ...


@overload
def kernel(
    *, configs: Mapping[str, Sequence[Config]] | Sequence[Config] = ..., spills: str = ...
) -> Callable[[Callable[..., Any]], KernelFunction]: ...


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    configs: Mapping[str, Sequence[Config]] | Sequence[Config] | None = None,
    spills: str = "warn",
) -> Any:
    """Make a kernel of a Python function.

    `configs` lists tunable numbers, per target family ({"cuda": [...], "cpu": [...]}) or for all:
    values of `Static` parameters and the reserved `warps`, `stages`, `schedule`. The first that a
    call does not override is the default. `spills` says what happens where the assembler runs out
    of registers: "warn" (once per compilation), or "raise" a ResourceError.
    """
    if function is None:
        return lambda f: KernelFunction(f, configs, spills=spills)
    return KernelFunction(function, configs, spills=spills)


def _report_spills(name: str, compiled: Compiled, spills: str) -> None:
    found = compiled.resources
    if found is None or not found.spills:
        return
    message = (
        f"{name} on {compiled.target} spills registers: {found.spill_stores} bytes stored and "
        f"{found.spill_loads} loaded per lane"
    )
    if spills == "raise":
        raise ResourceError(message, "use smaller tiles, or more warps")
    warnings.warn(f"{message}; use smaller tiles, or more warps", stacklevel=5)


def _by_family(configs: Any) -> dict[str, Sequence[Config]]:
    if configs is None:
        return {}
    if isinstance(configs, Mapping):
        return dict(configs)
    return {"cuda": list(configs), "cpu": list(configs)}


def _plan_key(args: Any, kwargs: Mapping[str, Any], target: str | None, kinds: Any) -> Any:
    return (
        target,
        len(args),
        *[_value_key(v, k) for v, k in zip(args, kinds.values(), strict=False)],
        *[(n, _value_key(v, kinds.get(n))) for n, v in kwargs.items()],
    )


def _value_key(value: Any, kind: str | None) -> Any:
    """What of one argument a plan depends on: of a float scalar its type, of a static all."""
    pointer = getattr(value, "data_ptr", None)
    if pointer is not None:
        packing = getattr(value, "packing", None)
        return (value.dtype, value.shape, value.stride(), value.device, pointer() & 15, packing)
    if kind == "scalar" and type(value) is float:
        return float
    if kind == "dataclass" and hasattr(value, "__dataclass_fields__"):
        held = (getattr(value, name) for name in value.__dataclass_fields__)
        return (type(value), *(_value_key(v, "dataclass") for v in held))
    return _static_key(value)


def _static_key(value: Any) -> Any:
    """Equal only for statics that compile alike: 1, 1.0 and True differ, so do 0.0 and -0.0."""
    if type(value) is float:
        return (float, value.hex())
    if type(value) is tuple:
        return (tuple, *map(_static_key, value))
    return (type(value), value)


def _class_key(value: Any, kind: str | None) -> Any:
    """What of one argument a compilation depends on: of a scalar its type, and being 0 or 1."""
    if getattr(value, "data_ptr", None) is not None:
        return (classify(value), _fits_i32(value))
    if kind == "scalar" and value is not None:
        spec = scalar_spec(value)
        return (type(spec), spec)
    if kind == "dataclass" and hasattr(value, "__dataclass_fields__"):
        held = (getattr(value, name) for name in value.__dataclass_fields__)
        return (type(value), *(_class_key(v, "dataclass") for v in held))
    return _static_key(value)


def _fits_i32(tensor: Any) -> bool:
    """Whether every offset of `tensor`, a tile beyond its end included, fits 31 bits."""
    return byte_span(tensor) < 2**31 - 2**24 and all(e < 2**30 for e in tensor.shape)


def _choose_way(tensors: Mapping[str, Any], target: str | None) -> str:
    if target is not None:
        check_way(target)
        return target
    for tensor in tensors.values():
        if tensor.device.type == "cuda":
            major, minor = torch().cuda.get_device_capability(tensor.device)
            if major < 8:
                raise LaunchError(f"a GPU of compute capability {major}.{minor} is too old: 8.0")
            return "sm_90a" if (major, minor) == (9, 0) else "sm_80"
    return "cpu"


def _check_statics(name: str, values: Mapping[str, Any]) -> None:
    for label, value in values.items():
        try:
            hash(value)
        except TypeError:
            raise LaunchError(
                f"argument {label} of {name} is a {type(value).__name__}, which cannot be a static",
                "pass a number, dtype, tuple or @tw.inline function",
            ) from None


def _check_devices(name: str, tensors: Mapping[str, Any], way: str) -> None:
    wanted = "cuda" if way.startswith("sm_") else "cpu"
    for label, tensor in tensors.items():
        if storage_of(tensor).layout != torch().strided:
            raise LaunchError(
                f"argument {label} of {name} is {storage_of(tensor).layout}", "pass .to_dense()"
            )
        kind = storage_of(tensor).device.type
        if kind != wanted:
            raise LaunchError(
                f"argument {label} of {name} is on device {kind}, target {way} wants {wanted}",
                f"move it: {label}.to('{wanted}')",
            )
    if wanted == "cuda" and len({storage_of(t).device for t in tensors.values()}) > 1:
        raise LaunchError(f"the tensors of {name} are on different GPUs")
