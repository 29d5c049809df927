"""How long the loading of a file may take, and how it is ended.

The verifier may walk a program for minutes. It ends with EAGAIN if a signal is pending for its thread (do_check of
kernel/bpf/verifier.c). So the thread gets one, SIGURG, which does nothing and is ignored by default.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOAD_S = 20
"""For all that loading a file is, on a machine where the compiler has `limits.CPU_S`."""

_AGAIN_S = 0.01
_SIGNAL = signal.SIGURG


class Ended(Exception):
    """The loading was ended before it was done: it took too long, or it was abandoned.

    *has_begun*: the kernel was at it.
    """

    def __init__(self, *, has_begun: bool = True) -> None:
        super().__init__()
        self.has_begun = has_begun


def prepare() -> None:
    """Let the signal interrupt a system call, and do nothing else. Elsewhere than in the main thread it is not done."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(_SIGNAL, _interrupt)


def _interrupt(_number: int, _frame: object) -> None:
    """Nothing is to be done: that it came is enough."""


class Deadline:
    """The time that one thread has for loading a file; any other may end it before."""

    def __init__(self, seconds: float = LOAD_S) -> None:
        """It begins now."""
        self.seconds = self._usual_s = seconds
        self._began_s = time.monotonic()
        self._changed = threading.Condition()
        self._abandoned = False
        self._closed = False
        self._in_kernel: int | None = None
        self._watch: threading.Thread | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether somebody ended it."""
        return self._abandoned

    @property
    def is_over(self) -> bool:
        """Whether it is time to stop."""
        return self._abandoned or self.left_s() <= 0

    def left_s(self) -> float:
        """Return how much time is left; below 0 if it took too long."""
        return self._began_s + self.seconds - time.monotonic()

    def check(self) -> None:
        """Raise Ended if it is time to stop."""
        if self.is_over:
            raise Ended

    def scale(self, factor: float) -> None:
        """Let it take *factor* times as long in all: the machine is slower than others."""
        with self._changed:
            self.seconds = self._usual_s * factor
            self._changed.notify_all()

    def abandon(self) -> None:
        """End it now. Any thread may."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    @contextmanager
    def in_kernel(self) -> Iterator[None]:
        """Meanwhile the kernel works for this thread, in a call that a signal ends. Raises Ended if it is too late."""
        if self.is_over:
            raise Ended(has_begun=False)
        with self._changed:
            if self._watch is None:
                self._watch = threading.Thread(target=self._interrupt_when_over, name="deadline", daemon=True)
                self._watch.start()
            self._in_kernel = threading.get_ident()
        try:
            yield
        finally:
            with self._changed:
                self._in_kernel = None

    def _interrupt_when_over(self) -> None:
        with self._changed:
            while not self._closed:
                if not self.is_over:
                    self._changed.wait(self.left_s())
                    continue
                # Again and again: a signal that comes before the call begins does not end it.
                if self._in_kernel is not None:
                    signal.pthread_kill(self._in_kernel, _SIGNAL)
                self._changed.wait(_AGAIN_S)

    def close(self) -> None:
        """The loading is done; the thread that waited for its end is ended. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._watch is not None:
            self._watch.join()
            self._watch = None
