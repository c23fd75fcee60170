"""Watching memory costs memory only where it is touched."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
import numpy as np
from tilewright.runtime import vm
ptx = '''
.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 x, .param .u64 y) {
  .reg .b32 %t; .reg .b64 %p, %q; .reg .b16 %v;
  mov.u32 %t, %tid.x; ld.param.u64 %p, [x]; ld.param.u64 %q, [y];
  mad.wide.u32 %p, %t, 1, %p; mad.wide.u32 %q, %t, 1, %q;
  ld.global.u8 %v, [%p]; st.global.u8 [%q], %v;
  ret; }'''
x, y = np.ones((2, 48 << 20), np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
vm.run(ptx, "k", 1, 1024, [x, y])
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown * 1024 / (x.nbytes + y.nbytes))
"""


def test_untouched_memory_is_watched_for_nothing() -> None:
    """The virtual machine has a copy of the arguments; records come page by page (by bytes, each
    takes 8, so all of them would be 8 to 16 times as much).
    """
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert float(result.stdout) < 2.5
