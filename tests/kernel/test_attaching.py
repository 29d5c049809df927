"""The screen opens before the probes are attached; whatever happens meanwhile, nothing of them stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from ebpftop.core.records import Probe
from ebpftop.core.source import SourceError
from ebpftop.filters.spec import Filter
from ebpftop.kernel.loader import Module
from ebpftop.probes.base import KernelProbe
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import needs_root
from tests.kernel.test_probes import assert_gone, programs_of

pytestmark = needs_root

OPTIONS = Options(filter=Filter(pids=(os.getpid(),)))


class Gate:
    """Holds up each attachment to the kernel until it is opened; `reached` is set when the first one waits."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, attach = Gate(), Module.attach

    def held(self: Module, *where: object) -> object:
        link = attach(self, *where)  # type: ignore[arg-type]  # as it was called
        if self.file != "filter.c":
            gate.reached.set()
            assert gate.open.wait(60)
        return link

    monkeypatch.setattr(Module, "attach", held)
    yield gate
    gate.open.set()


def states(source: KernelSource) -> dict[str, str]:
    """Return the states that the probes have reported, by probe."""
    batches = [source.poll(name, 0) for name in source.options.probes]
    return {
        record.probe: record.state
        for batch in batches
        if batch is not None
        for record in batch.records
        if isinstance(record, Probe)
    }


def test_a_probe_counts_as_on_from_the_start_and_reports_its_state_when_it_is_attached(gate: Gate) -> None:
    source = KernelSource(OPTIONS, attach=False)
    try:
        source.attach_soon()
        assert gate.reached.wait(60)
        assert all(source.is_on(name) for name in OPTIONS.probes)
        gate.open.set()
        assert states(source) == dict.fromkeys(OPTIONS.probes, "on")
    finally:
        source.close()


def test_closing_while_probes_are_attached_leaves_nothing_in_the_kernel(gate: Gate) -> None:
    source = KernelSource(OPTIONS, attach=False)
    source.attach_soon()
    assert gate.reached.wait(60)
    closing = threading.Thread(target=source.close)
    closing.start()
    programs = programs_of(os.getpid())
    assert programs
    gate.open.set()
    closing.join(60)
    assert not closing.is_alive()
    assert programs_of(os.getpid()) == set()
    assert_gone(programs)
    assert not any(probe.on for probe in source._probes.values())


def test_one_that_was_not_begun_is_not_attached_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(KernelProbe, "start", lambda self: begun.append(self.name))
    source = KernelSource(OPTIONS, attach=False)
    source.close()
    source.attach_soon()
    assert source._attaching is not None
    source._attaching.join(60)
    assert begun == []


@pytest.mark.parametrize("error", [SourceError("no folder", "make one"), RuntimeError("a bug")])
def test_whatever_one_raises_while_the_screen_is_open_is_its_own_failure(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: KernelProbe) -> None:
        raise error

    monkeypatch.setattr("ebpftop.probes.users.UsersProbe.start", fail)
    source = KernelSource(OPTIONS, attach=False)
    try:
        source.attach_soon()
        assert source._attaching is not None
        source._attaching.join(60)
        assert [state.reason for state in source.failed] == [
            str(error) if isinstance(error, SourceError) else repr(error)
        ]
        assert states(source) == {**dict.fromkeys(OPTIONS.probes, "on"), "users": "failed"}
    finally:
        source.close()
