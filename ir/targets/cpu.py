"""The cpu target: C++ for x86-64; instruction sets are chosen at run time, not here."""

from __future__ import annotations

from tilewright.ir.targets.record import Device, Target

CPU = Target("cpu", "cpu", frozenset(("simd",)), lanes=1, max_warps=1)

HOST = Device(name="host", target="cpu", shared_bytes_per_block=1 << 20, multiprocessors=1)
"""This machine. Buffers of a kernel are local arrays: 1 MiB is about half of a core's L2 cache."""
