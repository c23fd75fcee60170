"""Waiting: groups of asynchronous copies, barriers of a block, fences between proxies."""

from __future__ import annotations

import functools

from tilewright.codegen.cuda.emitter import Emitter, emits
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.ir.instructions.buffer import Copy
from tilewright.ir.instructions.sync import Commit, Fence, Pend, Sync, TokenDone, Wait
from tilewright.ir.kernel import Kernel

add_snippets(r"""
//@ tw_commit
__device__ __forceinline__ void tw_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
//@ tw_wait
template <int GROUPS> __device__ __forceinline__ void tw_wait() {
    asm volatile("cp.async.wait_group %0;" :: "n"(GROUPS) : "memory");
}
""")


@functools.lru_cache(maxsize=8)
def _has_groups(kernel: Kernel) -> bool:
    """Whether copies are asynchronous at all: plain ones are over when they have been issued."""
    return any(isinstance(item, Copy) and item.path == "cp_async" for item in kernel.walk())


@emits(Commit)
def emit_commit(item: Commit, e: Emitter) -> None:
    e.comment(item)
    e.alias(item.results[0], "")
    if _has_groups(e.kernel):
        e.line(e.call("tw_commit") + ";")


@emits(Wait)
def emit_wait(item: Wait, e: Emitter) -> None:
    e.comment(item)
    for result, pending in zip(item.results, item.pending, strict=True):
        e.alias(result, e.name(pending))
    if item.groups is not None and _has_groups(e.kernel):
        e.line(e.call(f"tw_wait<{item.groups}>") + ";")


@emits(TokenDone)
def emit_token_done(item: TokenDone, e: Emitter) -> None:
    e.alias(item.results[0], "")


@emits(Pend)
def emit_pend(item: Pend, e: Emitter) -> None:
    e.alias(item.results[0], e.name(item.operand))


@emits(Sync)
def emit_sync(item: Sync, e: Emitter) -> None:
    e.line("__syncwarp();" if item.scope == "warp" else e.barrier)


@emits(Fence)
def emit_fence(item: Fence, e: Emitter) -> None:
    e.comment(item)
    proxy = "async.shared::cta" if item.proxy == "async" else item.proxy
    e.line(f'asm volatile("fence.proxy.{proxy};" ::: "memory");')
