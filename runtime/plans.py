"""Plans: launches with everything decided except addresses and scalar values.

A plan is made once per combination of shapes, strides and statics; launching it fills in a few
machine words, which is what keeps a cached launch at microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tilewright.runtime.arguments import Signature
from tilewright.runtime.compile import Compiled
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.overlap import check_overlap, may_share
from tilewright.runtime.programs import CpuProgram, VmProgram
from tilewright.runtime.vm.shapes import CHECKS

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


class Prepared:
    """A launch on the cpu of which only the addresses of the tensors are missing."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        program = plan.compiled.program
        assert isinstance(program, CpuProgram)
        self._program = program
        self._places = tuple(word for word, _, _ in plan.pointers)
        self._words = program.pack(plan.words)

    def __call__(self, *addresses: int) -> None:
        """Run it on tensors at `addresses`, in the order of the kernel's parameters."""
        if self.plan.blocks == 0:
            return
        words = type(self._words).from_buffer_copy(self._words)
        for place, address in zip(self._places, addresses, strict=True):
            words[place] = address
        self._program.run(words, self.plan.blocks)


def launch_plan(plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Fill in addresses and scalars, look for overlap, and run."""
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


def choose_machine(plan: Plan, *, seed: Any = 0, checks: Any = "all") -> Plan:
    """The same launch on a virtual machine with other options."""
    if type(seed) is not int or seed < 0:
        raise LaunchError(f"seed={seed!r}", "give a whole number, 0 or more")
    if checks not in CHECKS:
        raise LaunchError(f"checks={checks!r}", f"choose one of {', '.join(CHECKS)}")
    assert isinstance(plan.compiled.program, VmProgram)
    program = replace(plan.compiled.program, seed=seed, checks=checks)
    return replace(plan, compiled=replace(plan.compiled, program=program))


def find_fetch(
    signature: Signature, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Fetch:
    """How to find flattened argument `name` in calls that look like this one."""
    for position, parameter in enumerate(signature.parameters):
        if name != parameter.name and not name.startswith(parameter.name + "_"):
            continue
        fields = _find_fields(name, parameter.name, _value(signature, position, args, kwargs))
        if fields is None:
            continue
        return _reader(signature, position, (args, kwargs), fields)
    raise AssertionError(f"{name} is no argument of {signature.name}")


def _value(
    signature: Signature, position: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    parameter = signature.parameters[position]
    return args[position] if position < len(args) else kwargs.get(parameter.name, parameter.default)


def _reader(
    signature: Signature,
    position: int,
    call: tuple[tuple[Any, ...], Mapping[str, Any]],
    fields: tuple[str, ...],
) -> Fetch:
    args, kwargs = call
    key = signature.parameters[position].name
    if position < len(args):
        if not fields:
            return lambda args, _: args[position]
        return lambda args, _: _follow(args[position], fields)
    if key in kwargs:
        return lambda _, kwargs: _follow(kwargs[key], fields)
    default = _follow(signature.parameters[position].default, fields)
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
