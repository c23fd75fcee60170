"""Operators for PyTorch, written in the language: `from tilewright.ops import matmul, softmax`."""

from tilewright.ops.matmul import matmul
from tilewright.ops.rms_norm import rms_norm
from tilewright.ops.softmax import softmax

__all__ = ["matmul", "rms_norm", "softmax"]
