"""Kernel → Kernel, one file per pass; `order.py` lists them per target."""
