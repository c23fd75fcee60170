"""Lower bounds of a launch's time on a device, one per resource, and which of them binds.

Multiprocessors work on whole blocks, so the busiest one has ceil(blocks / multiprocessors) of them;
blocks are taken as equal. What a multiprocessor does by itself costs that many times the block's
share, at its own rates; global memory and the L2 cache are shared by all:

    memory   different 32-byte sectors read, plus those written, over the memory's bandwidth
    l2       sectors of all requests, over the cache's bandwidth and over the blocks' own ports
    shared   wavefronts, operand bytes of wgmma and bytes of bulk copies / 128, one per clock
    matrix   operations over the peak rate of their operand type
    fma half f64 alu special lsu    warp instructions x 32 / results per clock
    issue    warp instructions that leave machine code / 4 per clock
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tilewright.runtime.vm.advice import advise, count_of
from tilewright.runtime.vm.devices import DeviceRecord, Lanes
from tilewright.runtime.vm.occupancy import Occupancy
from tilewright.runtime.vm.work import Work

SECTOR = 32
SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Limit:
    """The least time that one resource needs, in microseconds, and how much of it is used.

    `estimated` marks what may be less on hardware: PTX instructions, of which the assembler may
    merge some, and sectors asked for again, which may lie in a multiprocessor's own cache.
    """

    name: str
    us: float
    amount: str
    estimated: bool = False


@dataclass(frozen=True)
class Roofline:
    """A launch's lower bounds on one device, longest first.

    `blocks` are spread over `multiprocessors`, of which each holds `occupancy.blocks` at a time.
    `intensity` is in operations per byte of global memory, `ridge` where the device is in balance
    (None without matrix work or memory traffic). `notes` say what is missing, `advice` what to do.
    """

    entry: str
    device: str
    limits: tuple[Limit, ...]
    blocks: int
    multiprocessors: int
    occupancy: Occupancy
    intensity: float | None
    ridge: float | None
    notes: tuple[str, ...] = ()
    advice: str = ""

    @property
    def binding(self) -> Limit:
        """The limit that needs the longest."""
        return self.limits[0]

    @property
    def time_us(self) -> float:
        """The lower bound of the whole launch, in microseconds."""
        return self.binding.us

    @property
    def waves(self) -> int:
        """How often all multiprocessors are filled; 0 if not even one block fits."""
        held = self.multiprocessors * self.occupancy.blocks
        return -(-self.blocks // held) if held else 0

    @property
    def balance(self) -> float:
        """Blocks over what as many rounds of one block per multiprocessor would take: the tail."""
        rounds = -(-self.blocks // self.multiprocessors)
        return self.blocks / (rounds * self.multiprocessors)

    def find(self, name: str) -> Limit | None:
        """The limit called `name`, where the launch uses that resource at all."""
        return next((limit for limit in self.limits if limit.name == name), None)

    def to_json(self) -> str:
        """Everything as JSON."""
        limits = [vars(limit) | {"binds": limit is self.binding} for limit in self.limits]
        return json.dumps(
            {
                "entry": self.entry,
                "device": self.device,
                "time_us": self.time_us,
                "binding": self.binding.name,
                "limits": limits,
                "blocks": self.blocks,
                "waves": self.waves,
                "balance": self.balance,
                "intensity": self.intensity,
                "ridge": self.ridge,
                "occupancy": self.occupancy.to_dict(),
                "notes": list(self.notes),
                "advice": self.advice,
            }
        )

    def __str__(self) -> str:
        name = self.binding.name
        lines = [f"{self.entry} on {self.device}: at least {_time(self.time_us)}, {name} binds"]
        for limit in self.limits:
            share = limit.us / self.time_us if self.time_us else 0.0
            mark = "~" if limit.estimated else " "
            lines.append(
                f"  {limit.name:<8}{mark}{_time(limit.us):>11} {share:>5.0%}  {limit.amount}"
            )
        lines.append(
            f"  {count_of(self.blocks, 'block')} on {self.multiprocessors} multiprocessors: "
            f"{count_of(self.waves, 'wave')}, {self.balance:.0%} balanced"
        )
        lines.append(f"  {self.occupancy}")
        if self.intensity is not None:
            ridge = f"; in balance at {self.ridge:,.0f}" if self.ridge else ""
            lines.append(f"  {self.intensity:,.2f} operations per byte of memory{ridge}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, f"  {self.advice}"])


def draw_roofline(
    entry: str,
    device: DeviceRecord,
    work: Work,
    counters: Mapping[str, Any],
    blocks: int,
    occupancy: Occupancy,
) -> Roofline:
    """The roofline of a run that did `work`, counted `counters`, and was launched with `blocks`."""
    made = _Bounds(device, work, counters, blocks)
    limits = sorted(made.limits(), key=lambda limit: -limit.us)
    if not limits:
        limits = [Limit("issue", 0.0, "no instructions", estimated=True)]
    roofline = Roofline(
        entry,
        device.name,
        tuple(limits),
        blocks,
        device.multiprocessors,
        occupancy,
        made.intensity(),
        made.ridge(),
        tuple(made.notes),
    )
    return _with_advice(roofline, counters)


def _with_advice(roofline: Roofline, counters: Mapping[str, Any]) -> Roofline:
    fields = vars(roofline) | {
        "advice": advise(roofline.binding.name, counters, roofline.blocks, roofline.multiprocessors)
    }
    return Roofline(**fields)


class _Bounds:
    """The limits of one run on one device."""

    def __init__(
        self, device: DeviceRecord, work: Work, counters: Mapping[str, Any], blocks: int
    ) -> None:
        if device.lanes is None or device.matrix is None or not device.clock_hertz:
            raise ValueError(f"the record of {device.name} lacks what a roofline needs")
        self.device, self.work, self.counters = device, work, counters
        self.lanes: Lanes = device.lanes
        rounds = -(-blocks // device.multiprocessors)
        self.share = rounds / blocks  # of the whole work, on the busiest multiprocessor
        self.used = min(blocks, device.multiprocessors)
        self.notes: list[str] = []

    def limits(self) -> Iterator[Limit]:
        """Every limit of a resource that the run uses."""
        if "global" in self.counters:
            yield from self._memory()
        else:
            self.notes.append('memory is not counted with checks="off"')
        yield from self._matrix()
        yield from self._instructions()

    def _alone(self, clocks: float) -> float:
        """Microseconds of the busiest multiprocessor for `clocks` of the whole launch."""
        return clocks * self.share / self.device.clock_hertz * 1e6

    def _memory(self) -> Iterator[Limit]:
        device, traffic, shared = self.device, self.counters["global"], self.counters["shared"]
        moved = traffic["read_sectors"] + traffic["written_sectors"]
        if moved and device.bandwidth_bytes_per_second:
            rate = device.bandwidth_bytes_per_second
            amount = f"{moved:,} sectors, each moved once, at {_scaled(rate)}B/s"
            yield Limit("memory", moved * SECTOR / rate * 1e6, amount)
        sectors = traffic["sectors"]
        if sectors:
            ports = self._alone(sectors * SECTOR / device.l2_port_bytes_per_clock)
            whole = device.l2_bytes_per_clock * device.clock_hertz
            cache = sectors * SECTOR / whole * 1e6 if whole else 0.0
            where = "of all requests" if cache >= ports else f"through {self.used} of the ports"
            repeats = sectors > moved  # which a cache of the multiprocessor may have answered
            yield Limit("l2", max(ports, cache), f"{sectors:,} sectors {where}", repeats)
        streamed = self.work.operand_bytes + self.counters["bytes"]["bulk"]
        waves = shared["wavefronts"] + streamed / device.shared_bytes_per_clock
        if waves:
            conflicts = shared["bank_conflicts"]
            amount = f"{round(waves):,} wavefronts, {conflicts:,} of them bank conflicts"
            yield Limit("shared", self._alone(waves), amount)

    def _matrix(self) -> Iterator[Limit]:
        seconds, names = 0.0, []
        for name, flops in self.work.matrix.items():
            rate = getattr(self.device.matrix, name)
            if not rate:
                self.notes.append(f"{self.device.name} has no published matrix rate for {name}")
                continue
            seconds += flops * self.share * self.device.multiprocessors / rate
            names.append(f"{_scaled(flops)}op of {name} at {_scaled(rate)}op/s")
        if names:
            yield Limit("matrix", seconds * 1e6, ", ".join(names))

    def _instructions(self) -> Iterator[Limit]:
        units, lanes = self.work.units, self.lanes
        both = units["f32"] + units["multiply"]
        fma = max(both / lanes.f32, units["multiply"] / lanes.multiply)
        rows = [("fma", both, fma, True)]
        rates = {
            "half": lanes.f16x2, "f64": lanes.f64, "alu": lanes.alu, "special": lanes.special,
            "memory": lanes.memory,
        }  # fmt: skip
        for unit, rate in rates.items():
            name = "lsu" if unit == "memory" else unit
            exact = unit in ("special", "memory")
            rows.append((name, units[unit], units[unit] / rate if rate else 0.0, not exact))
        issued = units.total() - units["none"]
        rows.append(("issue", issued, issued / lanes.issue, True))
        for name, count, per_lane, estimated in rows:
            if count:
                amount = f"{count:,} warp instructions"
                yield Limit(name, self._alone(32 * per_lane), amount, estimated)

    def intensity(self) -> float | None:
        """Operations per byte of global memory."""
        traffic = self.counters.get("global", {})
        moved = SECTOR * (traffic.get("read_sectors", 0) + traffic.get("written_sectors", 0))
        done = self.work.matrix.total() + self.work.vector_flops
        return done / moved if moved else None

    def ridge(self) -> float | None:
        """The intensity at which the run's own mix of matrix work takes as long as memory."""
        done = self.work.matrix.total()
        rates = {name: getattr(self.device.matrix, name) for name in self.work.matrix}
        rate, memory = min(rates.values(), default=0.0), self.device.bandwidth_bytes_per_second
        if not done or not rate or not memory:
            return None
        seconds = sum(flops / rates[name] for name, flops in self.work.matrix.items())
        return float(done / seconds / memory)


def _scaled(value: float) -> str:
    """A number with an SI prefix: "4.8 T"."""
    for scale, prefix in SCALES:
        if value >= scale:
            return f"{value / scale:.4g} {prefix}"
    return f"{value:.4g} "


def _time(us: float) -> str:
    if us >= 1000:
        return f"{us / 1000:,.3f} ms"
    return f"{us:.3f} µs" if us >= 0.1 else f"{us * 1000:.2f} ns"
