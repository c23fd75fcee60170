"""Quantized weights: any format of 1 to 8 bits, group scales, and the linear layer on them.

>>> from tilewright.ops.quant import QSpec, quantize, quant_linear
>>> q = quantize(weight, QSpec(dtype="u4", group=128))
>>> y = quant_linear(x, q, bias)
"""

from tilewright.ops.quant.linear import quant_linear
from tilewright.ops.quant.module import QuantLinear, quantize_
from tilewright.ops.quant.spec import QSpec
from tilewright.ops.quant.tensor import QuantizedTensor, dequantize, quantize

__all__ = [
    "QSpec",
    "QuantLinear",
    "QuantizedTensor",
    "dequantize",
    "quant_linear",
    "quantize",
    "quantize_",
]
