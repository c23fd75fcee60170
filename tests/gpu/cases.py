"""Where the cases of this folder run: on the GPU, or (dry) on the virtual machine."""

from __future__ import annotations

import os

import torch

DRY = bool(os.environ.get("TILEWRIGHT_DRY"))
HAS_GPU = torch.cuda.is_available()
DEVICE = "cpu" if DRY else "cuda"
TARGET = "vm:sm_80" if DRY else None
"""None: the launcher takes the GPU's own target."""

REASON = "no GPU here (run `make gpu` on a machine with one, or `make gpu-dry`)"
