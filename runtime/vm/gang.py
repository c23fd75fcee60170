"""A gang: the blocks that execute together, as one long row of lanes.

All blocks of a cluster share a gang; ordinary blocks are ganged too, because a NumPy step over four
blocks costs little more than over one. Lanes are numbered block by block, each block padded to
whole warps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.vm.checks import Checks
from tilewright.runtime.vm.copies import Copies
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import STORAGE, Frame
from tilewright.runtime.vm.matrix_queues import MatrixQueues
from tilewright.runtime.vm.mbarriers import Mbarriers
from tilewright.runtime.vm.memory import RANK_BIT, SHARED_START, Array, Space
from tilewright.runtime.vm.program import Program, place
from tilewright.runtime.vm.records import Instruction, Symbol
from tilewright.runtime.vm.timeline.recorder import Recorder
from tilewright.runtime.vm.transfers import Transfers

if TYPE_CHECKING:
    from tilewright.runtime.vm.launch import Launch

_AXES = "xyz"


class Gang:
    """Registers, memories and constants of the blocks that run together."""

    def __init__(self, launch: Launch, count: int) -> None:
        self.launch, self.count = launch, count
        self.program: Program = launch.program
        self.threads = int(np.prod(launch.block))
        self.block_lanes = (self.threads + 31) // 32 * 32
        self.n = count * self.block_lanes
        self.files = {
            bits: np.zeros((rows, self.n), STORAGE[bits])
            for bits, rows in self.program.counts.items()
        }
        self.carry: Array = np.zeros(self.n, np.bool_)
        self.lane_block: Array = np.repeat(np.arange(count), self.block_lanes)
        self.alive: Array = np.zeros(self.n, np.bool_)
        self.cluster_pending: Array = np.zeros(self.n, np.bool_)
        self.cluster_arrived: Array = np.zeros(self.n, np.bool_)  # … and not waited since
        self.cluster_clocks: dict[int, Array | None] = {}  # what the last phase passed on
        self.exists: Array = np.tile(np.arange(self.block_lanes) < self.threads, count)
        self._specials: dict[str, Array] = {}
        self._constants: dict[tuple[str, bytes], Array] = {}
        self._scratch: dict[tuple[Any, int | str], Array] = {}
        self._buffers: dict[tuple[str, tuple[int, ...], str], Array] = {}
        self._symbols: dict[Symbol, Array] = {}
        self.frames: dict[tuple[int, int], Frame] = {}
        self.clock = 0
        self.polled = False  # a strong load or atomic ran since the scheduler last looked
        self.events = 0  # stores and atomics that may release a spinning lane
        self.first_block = 0
        self._make_memories()
        self._make_specials()
        self.copies = Copies(self)
        self.mbarriers = Mbarriers(self)
        self.transfers = Transfers(self)
        self.matrix_queues = MatrixQueues(self)
        self.checks = Checks(self, launch.ledger) if launch.checks != "off" else None
        self.recorder = Recorder(self) if launch.checks != "off" else None

    # -- memories ----------------------------------------------------------------------------

    def _make_memories(self) -> None:
        launch = self.launch
        self.shared_end = launch.shared_end
        self.segment = (launch.shared_end + 1023) // 1024 * 1024
        self.shared = Space(self.segment * self.count)
        self.local_size = max((launch.local_size + 15) // 16 * 16, 16)
        self.local = Space(self.local_size * self.n if launch.local_size else 0)
        self.local_base: Array = np.arange(self.n, dtype=np.int64) * self.local_size
        self.cluster_blocks = int(np.prod(launch.cluster))
        self.is_cluster = self.cluster_blocks > 1
        # Physical shared byte = base + offset; in a cluster the address holds the block's rank.
        self.shared_base: Array = self.lane_block.astype(np.int64) * self.segment
        self.rank: Array = self.lane_block % self.cluster_blocks
        self.cluster_base: Array = (self.lane_block - self.rank).astype(np.int64) * self.segment

    def start(self, first_block: int) -> None:
        """Places the gang at a block of the grid and clears its memories."""
        self.first_block, self.clock = first_block, 0
        for file in self.files.values():
            file[:] = 0
        self.shared.data[:] = self.launch.garbage
        self.local.data[:] = 0
        self.cluster_arrived[:] = False
        self.copies.reset()
        self.mbarriers.reset()
        self.transfers.reset()
        self.matrix_queues.reset()
        self._place_blocks()
        if self.checks is not None:
            self.checks.start(first_block)
        if self.recorder is not None:
            self.recorder.start()

    # -- special registers -------------------------------------------------------------------

    def block_index(self, block: int) -> tuple[int, int, int]:
        """The grid coordinates of a block of the gang."""
        index = self.first_block + block
        if self.is_cluster:
            return self._cluster_index(index)
        x, y, _ = self.launch.grid
        return index % x, index // x % y, index // (x * y)

    def _cluster_index(self, index: int) -> tuple[int, int, int]:
        """Blocks are numbered cluster by cluster, so that a cluster always lies in one gang."""
        cluster, rank = divmod(index, self.cluster_blocks)
        shape = self.launch.cluster
        clusters = [g // c for g, c in zip(self.launch.grid, shape, strict=True)]
        outer = (
            cluster % clusters[0],
            cluster // clusters[0] % clusters[1],
            cluster // (clusters[0] * clusters[1]),
        )
        inner = (rank % shape[0], rank // shape[0] % shape[1], rank // (shape[0] * shape[1]))
        x, y, z = (o * s + i for o, s, i in zip(outer, shape, inner, strict=True))
        return x, y, z

    def _place_blocks(self) -> None:
        for block in range(self.count):
            lanes = slice(block * self.block_lanes, (block + 1) * self.block_lanes)
            place = self.block_index(block)
            for axis in range(3):
                size = self.launch.cluster[axis]
                self._specials[f"%ctaid.{_AXES[axis]}"][lanes] = place[axis]
                self._specials[f"%cluster_ctaid.{_AXES[axis]}"][lanes] = place[axis] % size
                self._specials[f"%clusterid.{_AXES[axis]}"][lanes] = place[axis] // size

    def _make_specials(self) -> None:
        launch = self.launch
        within = np.tile(np.arange(self.block_lanes), self.count)
        x, y, _ = launch.block
        lane = within % 32
        rows: dict[str, Any] = {
            "%tid.x": within % x, "%tid.y": within // x % y, "%tid.z": within // (x * y),
            "%laneid": lane, "%warpid": within // 32, "%nwarpid": self.block_lanes // 32,
            "%smid": self.lane_block, "%nsmid": 132, "%gridid": 0,
            "%lanemask_eq": 1 << lane, "%lanemask_lt": (1 << lane) - 1,
            "%lanemask_le": (2 << lane) - 1, "%lanemask_gt": 0xFFFFFFFF & ~((2 << lane) - 1),
            "%lanemask_ge": 0xFFFFFFFF & ~((1 << lane) - 1),
            "%cluster_ctarank": self.rank, "%cluster_nctarank": self.cluster_blocks,
            "%is_explicit_cluster": int(self.is_cluster),
            "%dynamic_smem_size": launch.dynamic_shared,
            "%total_smem_size": launch.shared_end - SHARED_START,
            "%aggr_smem_size": launch.shared_end - SHARED_START,
        }  # fmt: skip
        for axis, name in enumerate(_AXES):
            size = launch.cluster[axis]
            rows |= {
                f"%ntid.{name}": launch.block[axis], f"%nctaid.{name}": launch.grid[axis],
                f"%nclusterid.{name}": launch.grid[axis] // size, f"%cluster_nctaid.{name}": size,
                f"%ctaid.{name}": 0, f"%cluster_ctaid.{name}": 0, f"%clusterid.{name}": 0,
            }  # fmt: skip
        for name, value in rows.items():
            row = np.empty(self.n, np.uint32)
            row[:] = value
            self._specials[name] = row

    def special(self, name: str) -> Array:
        """The row of a special register."""
        row = self._specials.get(name)
        if row is None:
            raise Fault("unsupported", f"special register {name}")
        return row

    def symbol(self, symbol: Symbol) -> Array:
        """The address of a variable, as a row of 64 bits."""
        row = self._symbols.get(symbol)
        if row is None:
            row = np.full(self.n, self.launch.address(symbol), np.uint64)
            variable = self.launch.variable(symbol.name)
            if variable is not None and variable.space == "shared" and self.is_cluster:
                row += self.rank.astype(np.uint64) << np.uint64(RANK_BIT)
            self._symbols[symbol] = row
        return row

    # -- rows --------------------------------------------------------------------------------

    def constant(self, value: Any) -> Array:
        """A row full of one scalar, made once."""
        key = (value.dtype.str, value.tobytes())
        row = self._constants.get(key)
        if row is None:
            row = np.full(self.n, value, value.dtype)
            row.flags.writeable = False
            self._constants[key] = row
        return row

    def scratch(self, dtype: Any, key: int | str) -> Array:
        """A temporary row of the gang's length."""
        row = self._scratch.get((dtype, key))
        if row is None:
            row = self._scratch[dtype, key] = np.empty(self.n, dtype)
        return row

    def buffer(self, key: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """A temporary of any shape."""
        place = (key, shape, np.dtype(dtype).str)
        found = self._buffers.get(place)
        if found is None:
            found = self._buffers[place] = np.empty(shape, dtype)
        return found

    def frame(self, low: int, high: int) -> Frame:
        """The frame of a range of lanes."""
        found = self.frames.get((low, high))
        if found is None:
            found = self.frames[low, high] = Frame(self, low, high)
        return found

    def who(self, lane: int) -> tuple[tuple[int, int, int], int, int]:
        """Block coordinates, warp and lane of a lane of the gang."""
        block, within = divmod(int(lane), self.block_lanes)
        return self.block_index(block), within // 32, within % 32

    def fault(
        self,
        kind: str,
        message: str,
        ins: Instruction,
        frame: Frame,
        mask: Array | None,
        address: int | None = None,
    ) -> Fault:
        """A fault of an instruction by (the first warp of) the lanes of a frame-relative mask."""
        places = (
            np.arange(frame.low, frame.high) if mask is None else np.flatnonzero(mask) + frame.low
        )
        block, warp, _ = self.who(places[0])
        same = places[places // 32 == places[0] // 32] % 32
        return Fault(
            kind, message, place=place(self.program.module, ins), block=block, warp=warp,
            lanes=tuple(int(x) for x in same), address=address,
        )  # fmt: skip
