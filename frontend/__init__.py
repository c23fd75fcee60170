"""tilewright.frontend"""
