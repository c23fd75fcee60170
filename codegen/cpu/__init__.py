"""tilewright.codegen.cpu"""
