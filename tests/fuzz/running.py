"""Arguments of random programs, and what each way of running leaves in them."""

from __future__ import annotations

import linecache
from contextlib import nullcontext
from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch

import tilewright as tw
from tilewright.ir.packing import pack_bits, unpack_bits
from tilewright.ir.types import DType
from tilewright.runtime.tensors import TORCH_NAMES, PackedTensor

FORMS = ("plain", "plain", "turned", "gaps", "shifted", "expanded", "flat")


@dataclass(frozen=True)
class Argument:
    """A tensor of a program. `data`: "small" and "random" numbers, "wild" codes, "zero"."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    data: str
    form: str = "plain"
    output: bool = False


def numbers(argument: Argument, rng: np.random.Generator) -> np.ndarray:
    """Decoded values."""
    dtype, shape = argument.dtype, argument.shape
    if argument.data == "zero":
        return np.zeros(shape)
    if argument.data == "wild":
        high = (1 << dtype.bits) - 1
        codes = rng.integers(0, high, shape, dtype=np.uint64, endpoint=True)
        return np.asarray(dtype.decode(codes.astype(dtype.container)))
    if argument.data == "small":
        low, high = small_range(dtype)
        return rng.integers(low, high + 1, shape)
    return np.asarray(np.clip(rng.standard_normal(shape), -4, 4))


def small_range(dtype: DType) -> tuple[int, int]:
    """Small whole numbers that `dtype` has."""
    if dtype.kind == "bool":
        return 0, 1
    most = 2 ** (dtype.mantissa + 1) if dtype.is_float else int(dtype.max)
    most = min(4, most, int(dtype.max))
    return (-most if dtype.signed else 0), most


def make(argument: Argument, rng: np.random.Generator) -> torch.Tensor | PackedTensor:
    """The tensor in its memory form; outputs are poisoned."""
    dtype = argument.dtype
    codes = np.asarray(dtype.encode(numbers(argument, rng)))
    if dtype.bits < 8:
        packed = torch.from_numpy(np.ascontiguousarray(pack_bits(codes, dtype.bits)))
        return tw.as_tensor(packed, dtype, argument.shape)
    name = TORCH_NAMES.get(dtype.name)
    if name is None:
        raw = np.ascontiguousarray(codes)
        rows = raw.view(np.uint8).reshape(*argument.shape[:-1], argument.shape[-1] * raw.itemsize)
        return tw.as_tensor(torch.from_numpy(rows.copy()), dtype, argument.shape)
    signed = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}[codes.itemsize]
    flat = torch.from_numpy(np.ascontiguousarray(codes).view(signed).copy())
    return _place(flat, argument.form).view(getattr(torch, name))


def _place(values: torch.Tensor, form: str) -> torch.Tensor:
    """`values` with other strides or another start."""
    if form == "turned" and values.dim() > 1:
        return values.transpose(-1, -2).contiguous().transpose(-1, -2)
    if form == "gaps":
        wide = torch.full([2 * e for e in values.shape], 77, dtype=values.dtype)
        view = wide[tuple(slice(None, None, 2) for _ in values.shape)]
        return view.copy_(values)
    if form == "shifted":
        base = torch.full((values.numel() + 3,), 77, dtype=values.dtype)
        return base[3:].view(values.shape).copy_(values)
    if form == "expanded" and values.dim() > 1:
        return values[:1].expand(values.shape)
    if form == "flat":
        return values[..., :1].expand(values.shape)
    return values


def read(tensor: torch.Tensor | PackedTensor, dtype: DType) -> np.ndarray:
    """Decoded values."""
    if isinstance(tensor, PackedTensor):
        raw = tensor.storage.numpy()
        if dtype.bits < 8:
            codes = unpack_bits(raw, dtype.bits, tensor.shape[-1])
        else:
            codes = np.ascontiguousarray(raw).view(dtype.container).reshape(tensor.shape)
    else:
        signed = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}[tensor.element_size()]
        plain = tensor.contiguous().view(getattr(torch, signed)).numpy()
        codes = plain.view(dtype.container)
    return np.asarray(dtype.decode(codes))


def compiled(text: str, name: str):
    """The kernel function that `text` defines."""
    file = f"/random/{name}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    scope = {"tw": tw}
    exec(compile(text, file, "exec"), scope)
    return scope["program"]


def wide_indices():
    """Indices are i64, as for tensors that 31 bits do not reach."""
    return mock.patch("tilewright.runtime.kernel.fits_i32", return_value=False)


def run(program, target: str):
    """What `program` leaves in its outputs, by name, and the report of a virtual machine."""
    kernel = compiled(program.text, f"program_{program.seed}")
    rng = np.random.default_rng(program.seed)
    tensors = {a.name: make(a, rng) for a in program.arguments}
    config = program.config if target.startswith("vm:") else {}
    with wide_indices() if program.wide else nullcontext():
        report = kernel(**tensors, **program.scalars, **config, target=target)
    return {a.name: read(tensors[a.name], a.dtype) for a in program.arguments}, report


def differences(program, target: str, expected) -> list[str]:
    """What is wrong with `target`: outputs that differ from `expected`, and races."""
    found, report = run(program, target)
    wrong = []
    for argument in program.arguments:
        have, want = found[argument.name], expected[argument.name]
        message = compare(have, want, program.errors.get(argument.name, 0.0))
        if message:
            wrong.append(f"{argument.name} ({argument.dtype.name}) on {target}: {message}")
    if report is not None and report.races:
        wrong.append(f"races on {target}: {report.races[0]}")
    return wrong


def compare(have: np.ndarray, want: np.ndarray, error: float) -> str:
    """Where two arrays differ by more than `error`, NaN included; empty if nowhere."""
    if error == 0.0:
        same = (have == want) | ((have != have) & (want != want))
    else:
        with np.errstate(all="ignore"):
            same = np.abs(have - want) <= error
        same |= (have == want) | ((have != have) & (want != want))
    if same.all():
        return ""
    at = tuple(int(i) for i in np.argwhere(~same)[0])
    count = int((~same).sum())
    return f"{count} of {same.size} differ, first at {at}: {have[at]} for {want[at]} ± {error}"
