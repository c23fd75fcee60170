"""The virtual machine: runs PTX on NumPy, with checks, a race detector and counters. No GPU, no
torch needed.
"""

from __future__ import annotations

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.launch import run
from tilewright.runtime.vm.occupancy import Occupancy, find_occupancy
from tilewright.runtime.vm.report import Report
from tilewright.runtime.vm.roofline import Roofline
from tilewright.runtime.vm.tensor_map import TensorMap

__all__ = [
    "Fault",
    "Occupancy",
    "Report",
    "Roofline",
    "TensorMap",
    "find_occupancy",
    "run",
]
