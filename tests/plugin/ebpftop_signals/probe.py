"""Signals out of the kernel."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import ClassVar

from ebpftop.core.escape import c_string
from ebpftop.core.records import Record
from ebpftop.kernel import clocks
from ebpftop.kernel.attach import FREE, Attach, AttachOption
from ebpftop.kernel.event_buffer import Events
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import KernelProbe
from ebpftop.syscalls.errno_names import signal_name
from ebpftop_signals.model import Signal

_SENT = struct.Struct("=QIIII16s")  # struct sent of signals.c
_LADDER = (AttachOption(FREE, (Attach("raw_tracepoint", "signal_generate", "signals_on_signal_generate"),)),)


class SignalsProbe(KernelProbe):
    """A Signal record for each signal."""

    file: ClassVar[str] = str(Path(__file__).with_name("signals.c"))
    ring_bytes: int = 1 << 20
    _events: Events | None = None

    def prepare(self, module: Module) -> None:
        self._events = Events(module, self.context.buffer, 0)

    def attach(self, module: Module) -> str:
        return self.attach_first_or_fail(module, _LADDER, "signals")

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        if self._events is None:
            return []
        offset = clocks.unix_offset()
        return [_signal(raw, offset) for raw in self._events.drain(everything=everything)]

    def release(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = None


def _signal(raw: bytes, offset: float) -> Signal:
    time_ns, pid, target, number, _, comm = _SENT.unpack_from(raw)
    return Signal(time=time_ns / 1e9 + offset, pid=pid, comm=c_string(comm), signal=signal_name(number), target=target)
