"""Loads cubins on a GPU and launches them on torch's current stream.

A `CudaKernel` holds the function handle of one device and a packed argument buffer per thread
(the driver copies arguments during the call and releases Python's lock meanwhile, so threads must
not share one). Nothing here synchronizes or allocates device memory: launches are legal while a
CUDA graph is captured. Clusters have fixed sizes (`__cluster_dims__`), so one launch call serves.
"""

from __future__ import annotations

import ctypes
import functools
import re
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.runtime.bindings import checked, driver, torch
from tilewright.runtime.errors import LaunchError, ResourceError
from tilewright.runtime.nvrtc import CudaBinary

_ARCH = re.compile(r"sm_(\d+)(\d)([af]?)")
_PTX_VERSION = re.compile(r"^\.version (\d+)\.(\d+)", re.MULTILINE)
_PTX_BEHIND_CUDA = 4  # PTX 9.0 came with CUDA 13.0, 8.0 with 12.0, 7.0 with 11.0


@dataclass(frozen=True)
class DeviceInfo:
    """What the driver says about one GPU; sizes in bytes, clocks in kHz, bus width in bits."""

    ordinal: int
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    shared_per_block: int
    shared_per_multiprocessor: int
    registers_per_block: int
    l2_bytes: int
    memory_bytes: int
    clock: int
    memory_clock: int
    memory_bus: int


def driver_version() -> tuple[int, int]:
    """The newest CUDA version that the driver supports, such as (13, 0)."""
    version = int(checked(driver().cuDriverGetVersion(), "reading the driver's version"))
    return version // 1000, version % 1000 // 10


def device_count() -> int:
    """How many GPUs the driver shows; raises `LaunchError` without a driver."""
    return int(checked(driver().cuDeviceGetCount(), "counting GPUs"))


@functools.cache
def query_device(ordinal: int) -> DeviceInfo:
    """The record of GPU `ordinal`."""
    library = driver()
    device = checked(library.cuDeviceGet(ordinal), f"opening GPU {ordinal}")
    names = library.CUdevice_attribute

    def ask(name: str) -> int:
        attribute = getattr(names, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(checked(library.cuDeviceGetAttribute(attribute, device), f"reading {name}"))

    raw_name = checked(library.cuDeviceGetName(256, device), "reading the GPU's name")
    return DeviceInfo(
        ordinal=ordinal,
        name=raw_name.partition(b"\0")[0].decode(),
        capability=(ask("COMPUTE_CAPABILITY_MAJOR"), ask("COMPUTE_CAPABILITY_MINOR")),
        multiprocessors=ask("MULTIPROCESSOR_COUNT"),
        shared_per_block=ask("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"),
        shared_per_multiprocessor=ask("MAX_SHARED_MEMORY_PER_MULTIPROCESSOR"),
        registers_per_block=ask("MAX_REGISTERS_PER_BLOCK"),
        l2_bytes=ask("L2_CACHE_SIZE"),
        memory_bytes=int(checked(library.cuDeviceTotalMem(device), "reading the memory's size")),
        clock=ask("CLOCK_RATE"),
        memory_clock=ask("MEMORY_CLOCK_RATE"),
        memory_bus=ask("GLOBAL_MEMORY_BUS_WIDTH"),
    )


def choose_image(
    binary: CudaBinary, capability: tuple[int, int], supported: tuple[int, int]
) -> bytes:
    """The cubin where the GPU runs it, else PTX if the driver (`supported`: its CUDA) reads it.

    A cubin runs on its own major architecture from its minor version on, one for sm_90a on 9.0
    alone; PTX without a suffix runs on every later architecture.
    """
    match = _ARCH.fullmatch(binary.arch)
    assert match is not None, binary.arch
    arch, suffix = (int(match[1]), int(match[2])), match[3]
    if arch == capability or (not suffix and arch[0] == capability[0] and arch <= capability):
        return binary.cubin
    wanted = f"code for {binary.arch} does not run on a GPU of compute capability "
    wanted += f"{capability[0]}.{capability[1]}"
    if suffix or arch > capability:
        raise LaunchError(wanted, hint="compile for the target of this GPU")
    version = _PTX_VERSION.search(binary.ptx)
    if version is None or (int(version[1]) + _PTX_BEHIND_CUDA, int(version[2])) > supported:
        raise LaunchError(
            f"{wanted}, and its PTX is newer than the driver (CUDA {supported[0]}.{supported[1]})",
            hint="update the driver, or compile for the target of this GPU",
        )
    return binary.ptx.encode() + b"\0"


class CudaKernel:
    """One entry function, loaded on one GPU, with its launch shape."""

    def __init__(
        self,
        binary: CudaBinary,
        entry: str,
        parameters: Sequence[str],
        *,
        threads: int,
        shared: int = 0,
        device: int = 0,
    ) -> None:
        """Load `entry`; `shared` is its dynamic shared memory in bytes, `threads` those of a block.

        `parameters` are `struct` codes in the order of the entry's arguments: "P" pointer, "i"
        i32, "q" i64, "f" f32, "128s" a TMA descriptor.
        """
        info = query_device(device)
        static = binary.resources[entry].static_shared
        if shared + static > info.shared_per_block:
            raise ResourceError(
                f"{entry} needs {shared + static} bytes of shared memory per block ({shared} "
                f"planned, {static} static), {info.name} has {info.shared_per_block}",
                hint="use smaller tiles or fewer stages",
            )
        self.device, self.shared, self.threads = device, shared, threads
        self._packing = Packing.plan(parameters)
        self._threads_own = threading.local()
        image = choose_image(binary, info.capability, driver_version())
        self._make_current()
        self._module, self._function = _load(image, entry, shared)
        self._launch = driver().cuLaunchKernel

    def launch(self, grid: tuple[int, int, int], arguments: Sequence[Any]) -> None:
        """Run `grid` blocks on torch's current stream of the device; returns before they finish."""
        if 0 in grid:
            return
        cuda = torch().cuda
        if cuda.current_device() != self.device:
            with cuda.device(self.device):
                self._enqueue(grid, arguments)
        else:
            self._enqueue(grid, arguments)

    def _enqueue(self, grid: tuple[int, int, int], arguments: Sequence[Any]) -> None:
        own = self._threads_own
        if not hasattr(own, "arguments"):
            self._make_current()
            own.arguments = self._packing.allocate()
        buffer, pointers = own.arguments
        self._packing.struct.pack_into(buffer, 0, *arguments)
        # What torch's own generated code calls; the public Stream object costs a microsecond more.
        stream = torch()._C._cuda_getCurrentRawStream(self.device)
        (status,) = self._launch(
            self._function,
            *(*grid, self.threads, 1, 1, self.shared, stream, ctypes.addressof(pointers), 0),
        )
        if int(status) != 0:
            raise LaunchError(
                f"launching {grid} blocks of {self.threads} threads failed: {status.name}",
                hint="an earlier kernel may have failed; CUDA_LAUNCH_BLOCKING=1 shows which",
            )

    def _make_current(self) -> None:
        """Make the device's primary context, which torch uses too, current on this thread."""
        library = driver()
        device = checked(library.cuDeviceGet(self.device), f"opening GPU {self.device}")
        context = checked(library.cuDevicePrimaryCtxRetain(device), f"using GPU {self.device}")
        checked(library.cuCtxSetCurrent(context), f"using GPU {self.device}")


@dataclass(frozen=True)
class Packing:
    """Where each argument stands in the buffer; naturally aligned, as C would place them."""

    struct: struct.Struct
    offsets: tuple[int, ...]

    @staticmethod
    def plan(parameters: Sequence[str]) -> Packing:
        """The packing of arguments with these `struct` codes."""
        ends = (struct.calcsize("@" + "".join(parameters[: n + 1])) for n in range(len(parameters)))
        sizes = (struct.calcsize(f"@{code}") for code in parameters)
        offsets = tuple(end - size for end, size in zip(ends, sizes, strict=True))
        return Packing(struct.Struct("@" + "".join(parameters)), offsets)

    def allocate(self) -> tuple[ctypes.Array[ctypes.c_char], ctypes.Array[ctypes.c_void_p]]:
        """A buffer, and the array of pointers to its arguments that the driver reads."""
        buffer = ctypes.create_string_buffer(max(1, self.struct.size))
        base = ctypes.addressof(buffer)
        pointers = (ctypes.c_void_p * max(1, len(self.offsets)))(
            *(base + offset for offset in self.offsets)
        )
        return buffer, pointers


def _load(image: bytes, entry: str, shared: int) -> tuple[Any, Any]:
    library = driver()
    module = checked(library.cuModuleLoadData(image), f"loading {entry}")
    function = checked(library.cuModuleGetFunction(module, entry.encode()), f"finding {entry}")
    attribute = library.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    what = f"reserving {shared} bytes of shared memory for {entry}"
    checked(library.cuFuncSetAttribute(function, attribute, shared), what)
    return module, function
