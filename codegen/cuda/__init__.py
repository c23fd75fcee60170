"""tilewright.codegen.cuda"""
