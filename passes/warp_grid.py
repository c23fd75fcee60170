"""How many warps a product gets and how they stand: a cost model of one step along k.

Per unit of k the multiprocessor multiplies `m * n` pairs at a rate that only four or more warps
reach, and reads `columns * m + rows * n` operand elements from shared memory, because every warp
reads its own rows of x and columns of y. The slower of the two counts fully, the other by half
(it overlaps, not perfectly). A grid whose accumulator and operands do not fit in registers is out.
"""

from __future__ import annotations

from tilewright.ir.targets.fragments import fragment_layouts, padded_shape, registers_per_lane
from tilewright.ir.targets.record import Atom

WARPS = (1, 2, 4, 8, 16)
REGISTERS = 208
"""Of 255 per lane, what accumulator and two steps of operands may take."""
SCHEDULERS = 4
"""Warp schedulers, each with its own matrix unit, of one multiprocessor."""
SHARED_BYTES_PER_CLOCK = 128
RATES = {"mma": {16: 1024, 32: 512, 8: 2048}, "simt": {32: 128, 64: 64, 16: 128, 8: 128}}
"""Multiply-adds per clock and multiprocessor (A100 and H100 white papers), by operand bits."""


def choose_warps(atom: Atom, shape: tuple[int, int, int]) -> int:
    """The number of warps of the cheapest grid for a product of `shape` (m, n, k)."""
    return min(WARPS, key=lambda warps: (_best(atom, shape, warps)[0], warps))


def choose_grid(
    atom: Atom, shape: tuple[int, int, int], warps: int, *, rows: bool = False
) -> tuple[int, int]:
    """The cheapest arrangement (rows, columns) of `warps` warps; `rows`: rows before columns."""
    if rows:
        most = -(-shape[0] // atom.shape[0])
        high = max(r for r in range(1, warps + 1) if warps % r == 0 and r <= most)
        return high, warps // high
    return _best(atom, shape, warps)[1]


def operand_step(atom: Atom) -> int:
    """Elements of k per step: what is held in registers at once."""
    if not atom.name.startswith("simt"):
        return atom.shape[2]
    return max(1, 128 // atom.operand.bits)  # 16-byte reads along k


def block_step(atom: Atom, depth: int) -> int | None:
    """Elements of k that one turn of a loop over blocks multiplies; None: steps stand in a row.

    On the lanes a step is hundreds of instructions: more than a few in a row outgrow the
    instruction cache, and compile slowly.
    """
    block = 64 * 8 // atom.operand.bits
    fits = atom.name.startswith("simt") and depth % block == 0 and depth > block
    return block if fits else None


def _best(atom: Atom, shape: tuple[int, int, int], warps: int) -> tuple[float, tuple[int, int]]:
    grids = [(rows, warps // rows) for rows in range(1, warps + 1) if warps % rows == 0]
    return min((_cost(atom, shape, grid), grid) for grid in grids)


def _cost(atom: Atom, shape: tuple[int, int, int], grid: tuple[int, int]) -> float:
    """Clocks per unit of k; a large number is added where registers do not suffice."""
    rows, columns = grid
    m, n, _ = padded_shape(shape, atom, grid)
    bits = atom.x.bits
    family = "mma" if atom.name.startswith("mma") else "simt"
    busy = min(rows * columns, SCHEDULERS) / SCHEDULERS
    multiply = m * n / (RATES[family][bits] * busy)
    if family == "mma":
        wavefronts = (columns * m + rows * n) * bits / 8 / SHARED_BYTES_PER_CLOCK
    else:  # every lane reads its own rows and columns; equal ones are broadcast
        per_lane = m / (rows * atom.shape[0]) + n / (columns * atom.shape[1])
        wavefronts = rows * columns * per_lane
    excess = max(0, _registers(atom, (m, n), grid) - REGISTERS)
    return max(multiply, wavefronts) + min(multiply, wavefronts) / 2 + 1000 * excess


def _registers(atom: Atom, shape: tuple[int, int], grid: tuple[int, int]) -> int:
    k = operand_step(atom)
    x, y, acc = fragment_layouts(atom, (*shape, k), grid)
    steps = 2 if atom.name.startswith("mma") else 1
    return registers_per_lane(acc) + steps * (registers_per_lane(x) + registers_per_lane(y))
