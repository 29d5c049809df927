"""What ebpftop itself costs: its programs in the kernel, and its own process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from ebpftop.core.records import Cost
from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.root_work import RootWork

_EVERY_S = 2.0
_SAMPLE_S = 0.1


class OverheadSampler:
    """Measures for a tenth of a second every two seconds.

    Run statistics cost every BPF program of the machine two clock reads per run, so they are not always on.
    """

    def __init__(self, root: RootWork) -> None:
        """*root* enables the statistics."""
        self._root = root
        self._lock = threading.Lock()
        self._stats_fd: int | None = None
        self._sampling = False
        self._began_s = 0.0
        self._next_s = time.monotonic()
        self._before: dict[int, bpf_syscall.Runs] = {}
        self._process_s = time.process_time()
        self._wall_s = time.monotonic()

    def poll(self, now: float, program_fds: Iterable[int]) -> Cost | None:
        """Begin or end a sample if it is time; return the result of a sample that ended."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            monotonic = time.monotonic()
            if not self._sampling:
                if monotonic >= self._next_s:
                    self._begin(monotonic, program_fds)
                return None
            if monotonic < self._began_s + _SAMPLE_S:
                return None
            return self._end(now, monotonic)
        finally:
            self._lock.release()

    def _begin(self, monotonic: float, program_fds: Iterable[int]) -> None:
        self._sampling = True
        with suppress(OSError):
            self._stats_fd = self._root.enable_stats()
        self._next_s = monotonic + _EVERY_S
        self._before = {fd: bpf_syscall.runs(fd) for fd in program_fds}
        self._began_s = monotonic

    def _end(self, now: float, monotonic: float) -> Cost:
        self._sampling = False
        measured = self._stats_fd is not None
        run_time_ns = run_count = 0
        for fd, before in self._before.items():
            after = bpf_syscall.runs(fd)
            # A descriptor may have been closed and given to another program meanwhile.
            run_time_ns += max(0, after.run_time_ns - before.run_time_ns)
            run_count += max(0, after.run_count - before.run_count)
        if self._stats_fd is not None:
            bpf_syscall.close_stats(self._stats_fd)
            self._stats_fd = None
        seconds = monotonic - self._began_s
        process_s = time.process_time()
        user = (process_s - self._process_s) / max(monotonic - self._wall_s, 1e-9)
        self._process_s, self._wall_s = process_s, monotonic
        return Cost(
            time=now,
            kernel=run_time_ns / 1e9 / seconds if measured else None,
            user=user,
            runs=round(run_count / seconds) if measured else None,
        )

    def close(self) -> None:
        """End the current sample."""
        with self._lock:
            if self._stats_fd is not None:
                bpf_syscall.close_stats(self._stats_fd)
                self._stats_fd = None
