"""tilewright.ops"""
