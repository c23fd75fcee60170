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
class MatrixRates:
    """Dense multiplications and additions per second of a whole device, by operand type.

    `f16` and `f8` are for 16-bit and 8-bit floats with f32 sums, `f16_f16` and `f8_f16` with f16
    sums. 0: the device has no such unit, or nobody has published its rate.
    """

    f64: float = 0.0
    tf32: float = 0.0
    f16: float = 0.0
    f16_f16: float = 0.0
    f8: float = 0.0
    f8_f16: float = 0.0
    s8: float = 0.0
    s4: float = 0.0
    b1: float = 0.0


@dataclass(frozen=True)
class LaneRates:
    """Results per clock of one multiprocessor; a warp's instruction makes 32.

    `f16x2` are packed pairs, `alu` logic, shifts, comparisons and selections, `multiply` integer
    products, `special` reciprocals, roots, exponentials and slow conversions, `memory` addresses
    of loads and stores, `issue` instructions of all kinds.
    """

    f32: int
    f16x2: int
    f64: int
    alu: int = 64
    multiply: int = 64
    special: int = 16
    memory: int = 32
    issue: int = 128


@dataclass(frozen=True)
class Residency:
    """What the blocks that run on one multiprocessor at a time share: amounts and granules.

    Registers are 32 bits wide and handed to warps in granules; shared memory is handed to blocks
    in granules, with `reserved_shared` bytes for the system in each. 0 barriers: no limit.
    """

    warps: int
    blocks: int
    shared_bytes: int
    registers: int = 65536
    barriers: int = 0
    partitions: int = 4
    register_granule: int = 256
    shared_granule: int = 128
    reserved_shared: int = 1024


@dataclass(frozen=True)
class Device:
    """One machine's amounts, with units in the names; the source of the numbers is cited beside.

    `capability` is the architecture that an assembler knows ("sm_89"). Shared memory and the L2
    cache move bytes per clock: of one multiprocessor, of the port between one and the L2 cache,
    and of the whole cache (0: unpublished). `lanes`, `matrix` and `residency` are absent where no
    roofline is drawn.
    """

    name: str
    target: str
    shared_bytes_per_block: int
    multiprocessors: int
    capability: str = ""
    bandwidth_bytes_per_second: float = 0.0
    clock_hertz: float = 0.0
    shared_bytes_per_clock: int = 128
    l2_port_bytes_per_clock: int = 64
    l2_bytes_per_clock: int = 0
    matrix: MatrixRates | None = None
    lanes: LaneRates | None = None
    residency: Residency | None = None
    capabilities: frozenset[str] = frozenset()
