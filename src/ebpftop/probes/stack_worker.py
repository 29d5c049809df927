"""Gives traced calls the names of their stacks in a thread of its own: large files do not delay who reads events."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable

import msgspec

from ebpftop.core.syscall_records import Syscall
from ebpftop.kernel.root_work import RootWork
from ebpftop.lifecycle.guard import END_S
from ebpftop.probes.stack_names import StackNames
from ebpftop.probes.traced_calls import RawStacks

_log = logging.getLogger(__name__)

PATIENCE_S = 0.05
"""How long a reading waits for the names: they mostly are there at once."""
LAST_PATIENCE_S = 0.4 * END_S
"""The same for the last reading: all of it must be over before the process is late (lifecycle/process.py)."""
BEHIND_MAX = 20_000
"""So many calls wait; more come with `LATE` for their stacks."""
LATE = ("[its names were not known in time]",)


class StackWorker:
    """Takes calls with raw stacks and returns them, in the same order, with names."""

    def __init__(self, root: RootWork) -> None:
        self._names = StackNames(root)
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Syscall, RawStacks | None]] = deque()
        self._done: list[Syscall] = []
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="stacks", daemon=True)
        self._thread.start()

    def pass_through(self, calls: Iterable[tuple[Syscall, RawStacks | None]], *, everything: bool) -> list[Syscall]:
        """Return the calls whose stacks have names by now; with *everything* all, if need be with `LATE`."""
        with self._changed:
            self._waiting += calls
            if self._waiting:
                self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting, LAST_PATIENCE_S if everything else PATIENCE_S)
            done, self._done = self._done, []
            if everything or len(self._waiting) > BEHIND_MAX:
                done += (_late(*one) for one in self._waiting)
                self._waiting.clear()
        return done

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    break
                first = self._waiting[0]
            named = self._named(*first)
            with self._changed:
                if self._waiting and self._waiting[0] is first:  # else it was handed out without names meanwhile
                    self._waiting.popleft()
                    self._done.append(named)
        self._names.close()

    def _named(self, call: Syscall, stacks: RawStacks | None) -> Syscall:
        if stacks is None:
            return call
        try:
            return msgspec.structs.replace(
                call,
                stack=self._names.user(stacks) if stacks.user else None,
                kernel_stack=self._names.kernel(stacks.kernel) if stacks.kernel else None,
            )
        except Exception as error:  # noqa: BLE001  the call itself is worth more than its stack
            _log.error("a stack could not be read", exc_info=error)
            return call


def _late(call: Syscall, stacks: RawStacks | None) -> Syscall:
    if stacks is None:
        return call
    return msgspec.structs.replace(
        call, stack=LATE if stacks.user else None, kernel_stack=LATE if stacks.kernel else None
    )
