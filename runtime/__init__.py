"""Everything between generated source and a running kernel.

Sources become binaries (`nvrtc`, `cxx`), binaries live in one content-addressed disk cache
(`cache`), devices load and launch them (`cuda`, `cpu`), and the command line (`cli`) shows what
happened. torch, the CUDA bindings and optional extras are imported late, each in one module.
"""
