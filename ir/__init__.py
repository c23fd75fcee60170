"""The tile IR: types, layouts, instructions with their meaning, text form, verifier, interpreter.

This package is the bottom layer: it imports nothing else of tilewright. One instruction set serves
every phase of a kernel's life; `ir.phases` says which instructions are legal when.
"""
