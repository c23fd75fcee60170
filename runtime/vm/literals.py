"""Words that mean something without a declaration: numbers and special registers."""

from __future__ import annotations

import re
import struct

from tilewright.runtime.vm.records import Immediate, Operand, Special, Vector

_SPECIALS = (
    "%tid %ntid %ctaid %nctaid %laneid %warpid %nwarpid %smid %nsmid %gridid "
    "%clock %clock64 %clock_hi %lanemask_eq %lanemask_le %lanemask_lt %lanemask_ge "
    "%lanemask_gt %globaltimer %globaltimer_lo %globaltimer_hi %clusterid "
    "%nclusterid %cluster_ctaid %cluster_nctaid %cluster_ctarank "
    "%cluster_nctarank %is_explicit_cluster %dynamic_smem_size %total_smem_size %aggr_smem_size "
    "%reserved_smem_offset_begin %reserved_smem_offset_end %reserved_smem_offset_cap "
    "%reserved_smem_offset_0 %reserved_smem_offset_1 %current_graph_exec"
).split()
_NUMBERED = re.compile(r"%(envreg\d+|pm\d+(_64)?)")
_TRIPLES = frozenset(
    "%tid %ntid %ctaid %nctaid %clusterid %nclusterid %cluster_ctaid %cluster_nctaid".split()
)


def find_special(text: str) -> Operand | None:
    """A special register, as a vector where it stands without its axis (`%tid`)."""
    if text in _TRIPLES:
        return Vector((*(Special(f"{text}.{axis}") for axis in "xyz"), Immediate(0)))
    base, _, last = text.rpartition(".")
    if (base or last) in _SPECIALS or _NUMBERED.fullmatch(text):
        return Special(text)
    return None


def number(text: str) -> Immediate:
    """The value of a literal, `0f3F800000` and `0d…` included."""
    low = text.lower()
    if low.startswith("0f") and len(low) == 10:
        return (
            Immediate(struct.unpack("<f", int(low[2:], 16).to_bytes(4, "little"))[0], True)
            if not _is_nan32(int(low[2:], 16))
            else Immediate(_nan32(int(low[2:], 16)), True)
        )
    if low.startswith("0d") and len(low) == 18:
        return Immediate(struct.unpack("<d", int(low[2:], 16).to_bytes(8, "little"))[0], True)
    low = low.rstrip("u")
    if low.startswith("0x"):
        return Immediate(int(low, 16))
    if low.startswith("0b"):
        return Immediate(int(low, 2))
    if "." in low or "e" in low:
        return Immediate(float(low), True)
    return Immediate(int(low, 8) if len(low) > 1 and low[0] == "0" else int(low))


def _is_nan32(bits: int) -> bool:
    return bits & 0x7F800000 == 0x7F800000 and bits & 0x7FFFFF != 0


def _nan32(bits: int) -> float:
    """A NaN of 32 bits widened by hand, so that its payload survives."""
    wide = (bits >> 31) << 63 | 0x7FF << 52 | (bits & 0x7FFFFF) << 29
    return float(struct.unpack("<d", wide.to_bytes(8, "little"))[0])
