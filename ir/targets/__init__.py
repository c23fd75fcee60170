"""tilewright.ir.targets"""
