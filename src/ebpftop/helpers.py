"""The child processes of ebpftop: every one is forked here, so that they are known where ebpftop leaves itself out."""

from __future__ import annotations

import os

HELPERS_MAX = 3
"""How many there can be: bpf/ebpftop.h has room for them and for ebpftop itself, OWN_PROCESSES."""

pids: list[int] = []
"""Those that were forked."""


def fork() -> int:
    """Fork a helper; return 0 in it and its pid in ebpftop. Raises OSError. Call it before there are threads."""
    if len(pids) >= HELPERS_MAX:
        raise RuntimeError(f"more than {HELPERS_MAX} helpers: make OWN_PROCESSES larger")
    pid = os.fork()
    if pid:
        pids.append(pid)
    return pid


def forget(pid: int) -> None:
    """Leave out *pid*, which has ended and been waited for: the number may become another process's."""
    pids.remove(pid)
