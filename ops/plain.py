"""Whether a call on tensors may go past torch's dispatcher.

The dispatcher calls an operator that Python implements through two layers of Python, which costs
30 to 80 µs where caches are cold. Nothing needs them for plain tensors: no autograd, no subclass,
no mode, transform, tracer or profiler that wants to see the operator.
"""

from __future__ import annotations

import threading

import torch
from torch.autograd import forward_ad, profiler

_KINDS = (torch.Tensor, torch.nn.Parameter)


def _plain_keys() -> frozenset[int]:
    """The dispatch keys of tensors that are nothing but strided memory on a CPU or a GPU."""
    found = []
    for inference in (False, True):
        with torch.inference_mode(inference):
            usual = torch._C._dispatch_keys(torch.empty(0))
        gpu = usual
        for kind in ("", "Autograd", "Autocast"):
            own, other = (getattr(torch._C.DispatchKey, f"{kind}{d}") for d in ("CPU", "CUDA"))
            if usual.has(own):
                gpu = gpu.remove(own).add(other)
        found += [usual.raw_repr(), gpu.raw_repr()]
    return frozenset(found)


def _included() -> int:
    """What the modes and transforms of this thread make the dispatcher look at."""
    return torch._C._dispatch_tls_local_include_set().raw_repr()


def _plainly_included() -> frozenset[int]:
    """The same without modes, in and out of inference mode."""
    found: list[int] = []

    def find() -> None:
        for inference in (False, True):
            with torch.inference_mode(inference):
                found.append(_included())

    thread = threading.Thread(target=find)  # a new one: nobody's mode is active there
    thread.start()
    thread.join()
    return frozenset(found)


_KEYS, _INCLUDED = _plain_keys(), _plainly_included()


def runs_plainly(*tensors: torch.Tensor | None) -> bool:
    """Whether the function that implements an operator may be called on `tensors` itself."""
    if torch.compiler.is_dynamo_compiling():
        return False
    wants = torch.is_grad_enabled()
    for tensor in tensors:
        if tensor is None:
            continue
        if type(tensor) not in _KINDS or (wants and tensor.requires_grad):
            return False
        if torch._C._dispatch_keys(tensor).raw_repr() not in _KEYS:
            return False
    return (
        _included() in _INCLUDED
        and torch._C._len_torch_function_stack() == 0
        and forward_ad._current_level < 0
        and not profiler._is_profiler_enabled
    )
