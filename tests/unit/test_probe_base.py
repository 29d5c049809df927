"""What all probes do alike: losses are told as totals, once each time they grow."""

from __future__ import annotations

from typing import ClassVar

import pytest

pytest.importorskip("bcc")

from ebpftop.core.records import Lost, ProbeName, Record, Where
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import KernelProbe


class Losing(KernelProbe):
    """Loses what the test says."""

    name: ProbeName = "trace"
    file: ClassVar[str] = ""

    def __init__(self) -> None:
        self._lost_reported = {}
        self.losses: dict[Where, int] = {"ring": 0, "pipe": 3}

    def attach(self, module: Module) -> str:
        raise NotImplementedError

    def read_events(self, now: float, *, everything: bool = False) -> list[Record]:
        return []

    def lost_now(self) -> dict[Where, int]:
        return dict(self.losses)


def test_a_loss_is_told_as_a_total_each_time_that_it_grows() -> None:
    probe = Losing()
    assert probe.lost(1.0) == [Lost(time=1.0, probe="trace", where="pipe", count=3)]
    assert probe.lost(2.0) == []
    probe.losses = {"ring": 2, "pipe": 10}
    assert probe.lost(3.0) == [
        Lost(time=3.0, probe="trace", where="ring", count=2),
        Lost(time=3.0, probe="trace", where="pipe", count=10),
    ]
    probe.losses["pipe"] = 4  # a figure that could not be read any more
    assert probe.lost(4.0) == []
