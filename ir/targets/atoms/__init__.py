"""Matrix atoms of the CUDA family: fragment layouts, one small file per instruction family."""
