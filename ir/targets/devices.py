"""The GPUs that configs are filtered and kernels planned for, with the source of each number.

From NVIDIA's data sheets (A100 80GB SXM, L40S, GeForce RTX 4090, H100 SXM, H200 SXM) and
architecture white papers (GA100, AD102, GH100): multiprocessors, memory bandwidth, boost clocks,
and dense matrix rates (half of what is printed "with sparsity"). H100 and H200 have two boost
clocks: 1.98 GHz, with which the vector rates are stated (132 x 256 x 1.98 GHz = 66.9 Tflop/s in
f32), and 1.83 GHz for 8- and 16-bit matrix work (132 x 4,096 x 1.83 GHz = 989.4). The data sheet of
the L40S prints 362.05 and, with sparsity, 733 for 16 bits; the second agrees with its clock (142 x
1,024 x 2.52 GHz = 366.4). A GeForce adds f16 products in f32 at half of its rate in f16. Hopper has
no matrix units for 4 and 1 bits.

`LaneRates`: CUDA C++ Programming Guide, "Arithmetic Instructions", results per clock and
multiprocessor for capabilities 8.0, 8.9 and 9.0 (a packed pair counts as one result here); 32
load/store units and four issue slots per multiprocessor: white papers, figure of the
multiprocessor.

`Residency`: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability" (warps,
blocks, registers and shared memory per multiprocessor and block); granules, the reserved KiB, four
partitions, and two barriers per block slot on 9.0: `cuda_occupancy.h` of the CUDA toolkit.

L2: 5,120 bytes per clock on GA100 (white paper, "A100 L2 cache"); taken for GH100 too, whose white
paper says nothing and where less is measured. 64 bytes per clock between the cache and one
multiprocessor. Shared memory: 32 banks of 4 bytes.
"""

from __future__ import annotations

from tilewright.ir.targets.record import Device, LaneRates, MatrixRates, Residency

_KIB = 1024
_TERA = 1e12

_AMPERE = Residency(warps=64, blocks=32, shared_bytes=164 * _KIB)
_ADA = Residency(warps=48, blocks=24, shared_bytes=100 * _KIB)
_HOPPER = Residency(warps=64, blocks=32, shared_bytes=228 * _KIB, barriers=64)
_ADA_LANES = LaneRates(f32=128, f16x2=64, f64=2)
_HOPPER_LANES = LaneRates(f32=128, f16x2=128, f64=64)
_GH100 = MatrixRates(
    f64=66.9 * _TERA,
    tf32=494.7 * _TERA,
    f16=989.4 * _TERA,
    f16_f16=989.4 * _TERA,
    f8=1978.9 * _TERA,
    f8_f16=1978.9 * _TERA,
    s8=1978.9 * _TERA,
)

_ALL = (
    Device(
        name="A100",
        target="sm_80",
        capability="sm_80",
        shared_bytes_per_block=163 * _KIB,
        multiprocessors=108,
        bandwidth_bytes_per_second=2.039e12,
        clock_hertz=1.41e9,
        l2_bytes_per_clock=5120,
        matrix=MatrixRates(
            f64=19.5 * _TERA,
            tf32=156 * _TERA,
            f16=312 * _TERA,
            f16_f16=312 * _TERA,
            s8=624 * _TERA,
            s4=1248 * _TERA,
            b1=4992 * _TERA,
        ),
        lanes=LaneRates(f32=64, f16x2=128, f64=32),
        residency=_AMPERE,
    ),
    Device(
        name="L40S",
        target="sm_80",
        capability="sm_89",
        shared_bytes_per_block=99 * _KIB,
        multiprocessors=142,
        bandwidth_bytes_per_second=0.864e12,
        clock_hertz=2.52e9,
        matrix=MatrixRates(
            tf32=183.2 * _TERA,
            f16=366.4 * _TERA,
            f16_f16=366.4 * _TERA,
            f8=732.9 * _TERA,
            f8_f16=732.9 * _TERA,
            s8=732.9 * _TERA,
            s4=1465.7 * _TERA,
        ),
        lanes=_ADA_LANES,
        residency=_ADA,
        capabilities=frozenset(("mma_f8",)),
    ),
    Device(
        name="RTX 4090",
        target="sm_80",
        capability="sm_89",
        shared_bytes_per_block=99 * _KIB,
        multiprocessors=128,
        bandwidth_bytes_per_second=1.008e12,
        clock_hertz=2.52e9,
        matrix=MatrixRates(
            tf32=82.6 * _TERA,
            f16=165.2 * _TERA,
            f16_f16=330.3 * _TERA,
            f8=330.3 * _TERA,
            f8_f16=660.6 * _TERA,
            s8=660.6 * _TERA,
            s4=1321.2 * _TERA,
        ),
        lanes=_ADA_LANES,
        residency=_ADA,
        capabilities=frozenset(("mma_f8",)),
    ),
    Device(
        name="H100",
        target="sm_90a",
        capability="sm_90",
        shared_bytes_per_block=227 * _KIB,
        multiprocessors=132,
        bandwidth_bytes_per_second=3.35e12,
        clock_hertz=1.98e9,
        l2_bytes_per_clock=5120,
        matrix=_GH100,
        lanes=_HOPPER_LANES,
        residency=_HOPPER,
        capabilities=frozenset(("mma_f8",)),
    ),
    Device(
        name="H200",
        target="sm_90a",
        capability="sm_90",
        shared_bytes_per_block=227 * _KIB,
        multiprocessors=132,
        bandwidth_bytes_per_second=4.8e12,
        clock_hertz=1.98e9,
        l2_bytes_per_clock=5120,
        matrix=_GH100,
        lanes=_HOPPER_LANES,
        residency=_HOPPER,
        capabilities=frozenset(("mma_f8",)),
    ),
)
DEVICES: dict[str, Device] = {device.name: device for device in _ALL}
