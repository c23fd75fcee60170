"""Runs PTX on a GPU with the arguments of `vm.run`: arrays are copied there and back."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch

from tilewright.runtime.bindings import checked, driver


def run(
    ptx: str, entry: str, grid: Any, block: Any, args: Any, *, shared: int = 0, checks: str = ""
) -> None:
    """`vm.run` without a report (`checks` means nothing here); array arguments only."""
    torch.zeros(1, device="cuda")  # makes torch's context the current one
    library = driver()
    major, minor = torch.cuda.get_device_capability()
    suffix = "a" if (major, minor) == (9, 0) else ""
    text = ptx.replace(".target sm_90a", f".target sm_{major}{minor}{suffix}")
    error, module = library.cuModuleLoadData(text.encode() + b"\0")
    if int(error):
        pytest.skip(f"the driver does not take this PTX for sm_{major}{minor} ({error.name})")
    try:
        function = checked(library.cuModuleGetFunction(module, entry.encode()), "finding the entry")
        _launch(library, function, (_triple(grid), _triple(block)), args, shared)
    finally:
        checked(library.cuModuleUnload(module), "unloading")


def _triple(value: Any) -> tuple[int, int, int]:
    values = (value,) if isinstance(value, int) else tuple(value)
    x, y, z = (*values, 1, 1)[:3]
    return x, y, z


def _launch(library: Any, function: Any, shape: Any, args: Any, shared: int) -> None:
    hosts = [np.ascontiguousarray(arg) for arg in args]
    copies = [torch.from_numpy(host.view(np.uint8).reshape(-1).copy()).cuda() for host in hosts]
    pointers = tuple(copy.data_ptr() for copy in copies)
    parameters = (pointers, (ctypes.c_void_p,) * len(pointers))
    checked(library.cuLaunchKernel(function, *shape[0], *shape[1], shared, 0, parameters, 0), "")
    torch.cuda.synchronize()
    for arg, host, copy in zip(args, hosts, copies, strict=True):
        arg[...] = copy.cpu().numpy().view(host.dtype).reshape(host.shape)
