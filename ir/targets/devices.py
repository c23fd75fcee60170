"""The GPUs that configs are filtered and kernels planned for, with the source of each number.

Shared memory per block (opt-in maximum) and registers per multiprocessor: CUDA C++ Programming
Guide, "Technical Specifications per Compute Capability" (163 KB on 8.0, 99 KB on 8.6 and 8.9,
227 KB on 9.0). Multiprocessors, clocks, bandwidth, dense 16-bit matrix rates: NVIDIA's data sheets
(A100 80GB SXM, L40S, GeForce RTX 4090, H100 SXM, H200 SXM) and architecture white papers (GA100,
AD102, GH100).
"""

from __future__ import annotations

from tilewright.ir.targets.record import Device

_KIB = 1024

_ALL = (
    Device(
        name="A100",
        target="sm_80",
        shared_bytes_per_block=163 * _KIB,
        multiprocessors=108,
        bandwidth_bytes_per_second=2.039e12,
        clock_hertz=1.41e9,
        matrix_flops_per_second=312e12,
    ),
    Device(
        name="L40S",
        target="sm_80",
        shared_bytes_per_block=99 * _KIB,
        multiprocessors=142,
        bandwidth_bytes_per_second=0.864e12,
        clock_hertz=2.52e9,
        matrix_flops_per_second=362e12,
        capabilities=frozenset(("mma_f8",)),
    ),
    Device(
        name="RTX 4090",
        target="sm_80",
        shared_bytes_per_block=99 * _KIB,
        multiprocessors=128,
        bandwidth_bytes_per_second=1.008e12,
        clock_hertz=2.52e9,
        matrix_flops_per_second=165e12,
        capabilities=frozenset(("mma_f8",)),
    ),
    Device(
        name="H100",
        target="sm_90a",
        shared_bytes_per_block=227 * _KIB,
        multiprocessors=132,
        bandwidth_bytes_per_second=3.35e12,
        clock_hertz=1.83e9,
        matrix_flops_per_second=989e12,
        capabilities=frozenset(("mma_f8",)),
    ),
    Device(
        name="H200",
        target="sm_90a",
        shared_bytes_per_block=227 * _KIB,
        multiprocessors=132,
        bandwidth_bytes_per_second=4.8e12,
        clock_hertz=1.83e9,
        matrix_flops_per_second=989e12,
        capabilities=frozenset(("mma_f8",)),
    ),
)
DEVICES: dict[str, Device] = {device.name: device for device in _ALL}
