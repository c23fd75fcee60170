"""tilewright.ops.quant"""
