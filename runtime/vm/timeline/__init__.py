"""What happened during a run, in virtual steps: recorded (`recorder`), kept (`recording`), counted
(`counting`), turned into spans (`spans`, `timeline`) and drawn (`chart`, `page`).
"""

from __future__ import annotations

from tilewright.runtime.vm.timeline.spans import Span
from tilewright.runtime.vm.timeline.timeline import Timeline

__all__ = ["Span", "Timeline"]
