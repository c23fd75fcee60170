"""`@tw.kernel`: a Python function that launches on tensors.

The first call with some combination of dtypes, specialization classes and statics captures and
compiles the kernel. A call with shapes that were seen before runs from a *plan*: everything but
pointers and scalar values is already packed, so a launch costs microseconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from tilewright.frontend.capture import capture
from tilewright.ir.kernel import Kernel
from tilewright.ir.types import i32, i64
from tilewright.runtime.arguments import Bound, bind, flatten, read_signature, specialize
from tilewright.runtime.bindings import torch
from tilewright.runtime.compile import Compiled, compile_kernel, list_words
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.inspect import show
from tilewright.runtime.keys import class_key, fits_i32, plan_key, watch_globals
from tilewright.runtime.launch_checks import (
    check_devices,
    check_statics,
    choose_way,
    report_spills,
)
from tilewright.runtime.overlap import check_overlap, find_written
from tilewright.runtime.plans import Plan, Prepared, choose_machine, find_fetch, launch_plan
from tilewright.runtime.profile import Profile, make_profile
from tilewright.runtime.tensors import byte_span

RESERVED = ("warps", "stages")
PLAN_LIMIT = 4096
Config = Mapping[str, Any]


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
        self._globals: tuple[tuple[dict[str, Any], str, Any], ...] = ()

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
        self._forget_if_stale()
        try:
            key = plan_key(args, kwargs, target, self.kinds)
            plan = self._plans.get(key)
        except (TypeError, RuntimeError):  # unhashable, or a tensor without memory: say which
            self._plan(args, kwargs, target)
            raise
        if plan is None:
            plan = self._plan(args, kwargs, target)
            if len(self._plans) >= PLAN_LIMIT:
                self._plans.clear()
            self._plans[key] = plan
        return launch_plan(plan, args, kwargs)

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

    def profile(self, *args: Any, target: str = "vm:sm_80", **kwargs: Any) -> Profile:
        """Run on the virtual machine; what every line of the kernel did, and its report.

        Of the keywords, `seed` (the order of asynchronous events) and `checks` ("all", "late",
        "early", "off") are the virtual machine's, unless the kernel has parameters of these names.
        """
        if not target.startswith("vm:"):
            raise LaunchError("profile runs on the virtual machine", 'target="vm:sm_80"')
        if len(args) == 1 and isinstance(args[0], tuple):  # profile((a, b, c)), too
            args = args[0]
        options = {
            name: kwargs.pop(name)
            for name in ("seed", "checks")
            if name in kwargs and name not in self.signature.names
        }
        plan = self._plan(args, kwargs, target)
        report = launch_plan(choose_machine(plan, **options), args, kwargs)
        if report is None:
            raise LaunchError(f"{self.name} has an empty grid: nothing ran", "give larger tensors")
        return make_profile(self.function, report, target, plan.compiled.files)

    def _bind(self, args: Any, kwargs: Any, target: str | None) -> tuple[Bound, str]:
        statics = {
            k: v for k, v in kwargs.items() if k not in RESERVED or k in self.signature.names
        }
        values = bind(self.signature, args, statics)
        way = choose_way(flatten(self.signature, values).tensors, target)
        defaults = self._defaults(way)
        given = {p.name for p, _ in zip(self.signature.parameters, args, strict=False)} | set(
            kwargs
        )
        for name, value in defaults.items():
            if name in values and name not in given:
                values[name] = value
        bound = flatten(self.signature, values)
        reserved = {k: v for k, v in {**defaults, **kwargs}.items() if k in RESERVED}
        _check_config(self.name, reserved)
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
        index = i32 if all(fits_i32(t) for t in bound.tensors.values()) else i64
        values = {k: v for k, v in bound.values.items() if not k.startswith("config:")}
        specs = specialize(self.signature, values, index)
        return capture(self.function, specs, index_dtype=index, name=self.name)

    def _forget_if_stale(self) -> None:
        """A global that the kernel reads and that has another value now is compiled in anew."""
        for space, name, value in self._globals:
            if space.get(name) is not value:
                self._plans.clear()
                self._compiled.clear()
                self._globals = ()
                return

    def _compile(self, bound: Bound, way: str) -> Compiled:
        self._forget_if_stale()
        kinds = self.kinds
        key = (way, *((k, class_key(v, kinds.get(k))) for k, v in bound.values.items()))
        found = self._compiled.get(key)
        if found is None:
            config = self._config(way, bound)
            tile = self._capture(bound, config)
            found = compile_kernel(tile, way, config=config)
            report_spills(self.name, found, self.spills)
            self._compiled[key] = found
            self._globals = watch_globals(self.function)
        return found

    def _plan(self, args: Any, kwargs: Any, target: str | None) -> Plan:
        bound, way = self._bind(args, kwargs, target)
        check_devices(self.name, bound.tensors, way)
        check_statics(self.name, bound.values)
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
                (i, p.argument, find_fetch(self.signature, params[p.argument], args, kwargs))
                for i, p in indexed
                if p.kind == "pointer"
            ),
            tuple(
                (i, find_fetch(self.signature, params[p.argument], args, kwargs))
                for i, p in indexed
                if p.kind == "scalar"
            ),
            written,
            tuple(0 if t is None else byte_span(t) for t in tensors),
        )


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
    values of `Static` parameters, and the reserved `warps` and `stages` (of every pipelined loop
    that does not say `tw.exactly`). The first is the default; a call's keywords override it.
    `spills` says what happens where the assembler runs out of registers: "warn" (once per
    compilation), or "raise" a ResourceError.
    """
    if function is None:
        return lambda f: KernelFunction(f, configs, spills=spills)
    return KernelFunction(function, configs, spills=spills)


def _check_config(name: str, config: Config) -> None:
    for key, value in config.items():
        if type(value) is not int or value < 1:
            raise LaunchError(
                f"{key}={value!r} of {name} is no count", f"give a whole number: {key}=4"
            )


def _by_family(configs: Any) -> dict[str, Sequence[Config]]:
    if configs is None:
        return {}
    if isinstance(configs, Mapping):
        return dict(configs)
    return {"cuda": list(configs), "cpu": list(configs)}
