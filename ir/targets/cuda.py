"""Code targets of the CUDA family: which instructions exist.

Capabilities: `cp_async` (asynchronous copies of 4, 8 or 16 bytes per lane, with zero fill),
`ldmatrix` (8 x 8 matrices of 16-bit elements, plain and transposed), `mma` (warp-level matrix
instructions), `cvt_f16x2` and `cvt_tf32` (packed and tf32 rounding), `stmatrix`, `mbarrier`, `tma`,
`wgmma`, `setmaxnreg`, `cluster`.
"""

from __future__ import annotations

from tilewright.ir.targets.atoms import mma_half, mma_int8, mma_tf32, simt
from tilewright.ir.targets.record import Target

_AMPERE = frozenset(("cp_async", "ldmatrix", "mma", "cvt_f16x2", "cvt_tf32"))
_HOPPER = frozenset(("stmatrix", "mbarrier", "tma", "wgmma", "setmaxnreg", "cluster"))
_WARP_ATOMS = (*mma_half.ATOMS, *mma_tf32.ATOMS, *mma_int8.ATOMS, *simt.ATOMS)

SM_80 = Target("sm_80", "cuda", _AMPERE, _WARP_ATOMS)
SM_90A = Target("sm_90a", "cuda", _AMPERE | _HOPPER, _WARP_ATOMS)
