"""What a code target and a device are: records of data that passes ask for capabilities.

A *target* says which instructions exist (sm_80, sm_90a, cpu); a *device* how much of everything one
machine has. No pass asks for an architecture by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tilewright.ir.layout import Layout
from tilewright.ir.types import DType


@dataclass(frozen=True)
class Atom:
    """One hardware matrix instruction: result[m, n] += x[m, k] · y[k, n], with its fragments.

    `x`, `y`, `acc` are the register layouts of one warp's operands (axes `lane` and `reg`), over
    tiles of shapes (m, k), (k, n), (m, n).
    """

    name: str
    shape: tuple[int, int, int]
    operand: DType
    accumulator: DType
    x: Layout
    y: Layout
    acc: Layout


@dataclass(frozen=True)
class Target:
    """A code target: its family picks the code generator, the rest picks instructions."""

    name: str
    family: Literal["cuda", "cpu"]
    capabilities: frozenset[str] = frozenset()
    atoms: tuple[Atom, ...] = ()
    lanes: int = 32
    max_warps: int = 32

    def has(self, capability: str) -> bool:
        """Whether the target has `capability`, such as "cp_async", "ldmatrix", "mma", "tma"."""
        return capability in self.capabilities

    def find_atom(self, name: str) -> Atom:
        """The atom called `name`."""
        return next(atom for atom in self.atoms if atom.name == name)


@dataclass(frozen=True)
class Device:
    """One machine's amounts, with units in the names; the source of the numbers is cited beside.

    `matrix_flops_per_second` is the dense rate of 16-bit products with 32-bit sums.
    """

    name: str
    target: str
    shared_bytes_per_block: int
    multiprocessors: int
    registers_per_multiprocessor: int = 65536
    bandwidth_bytes_per_second: float = 0.0
    clock_hertz: float = 0.0
    matrix_flops_per_second: float = 0.0
    capabilities: frozenset[str] = frozenset()
