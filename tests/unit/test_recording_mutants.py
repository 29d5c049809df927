"""Two thousand recordings that were changed at random, plain and compressed, as files and as pipes.

Each goes through what replay does with it: source, models, a look back, and what panes make of the models. None may
raise, none may hang, and none may take much memory. tests/screens/test_mutants_on_screen.py shows some on the screen.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebpftop.core import format
from ebpftop.core.format import bars
from ebpftop.core.source import Source, SourceError
from ebpftop.models.base import Model, rebuild
from ebpftop.models.callers import callers, calls_of
from ebpftop.models.execlog import ExecLog
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.heat import columns_of_ticks, heat
from ebpftop.models.overview import Overview
from ebpftop.models.program_fields import EXECS
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.tracelog import TraceLog
from ebpftop.models.tree import grow
from ebpftop.models.users import UsersModel
from ebpftop.probes.registry import registry
from ebpftop.recording.timeline import Timeline
from ebpftop.sources.history import HistorySource
from ebpftop.sources.pipe import PipeSource
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.panes.exec_columns import COLUMNS
from ebpftop.ui.panes.tree_columns import TREE_COLUMNS
from ebpftop.ui.widgets.columns import layout_cell, value_of
from tests.unit.mutants import mutant
from tests.unit.test_time_travel import fresh

SEEDS = 2000
AT_ONCE = 50
GROWTH_MB = 200
"""A source and its models; the screen around them takes 70 more."""

HUNG_S = 60.0


def peak_mb() -> int:
    """The largest memory of this process since `forget_peak`, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def forget_peak() -> int:
    """Measure anew (proc(5), clear_refs); return what is used now, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def draw(models: dict[str, Model], overview: Overview) -> Iterator[object]:
    """Make of the models what panes make of them."""
    execs, users, calls, trace = models["execs"], models["users"], models["syscalls"], models["trace"]
    assert isinstance(execs, ExecLog)
    assert isinstance(users, UsersModel)
    assert isinstance(calls, SyscallsModel)
    assert isinstance(trace, TraceLog)
    yield format.count(overview.total_lost), format.per_second(overview.events_per_second)
    if overview.cost and overview.cost.kernel is not None:
        yield format.share(overview.cost.kernel), format.share(overview.cost.user)
    execs.apply_filter(ViewFilter(), EXECS.parse("job|a+"))
    while execs.view.scan(1000):
        pass
    for row in execs.ring.slice(execs.ring.first, execs.ring.end)[-40:]:
        yield [(layout_cell(c.cell(row, overview.time), c.width), value_of(c, row, overview.time)) for c in COLUMNS]
        yield execs.parent(row)
    for branch in grow(execs.processes, overview.time)[:40]:
        yield [layout_cell(c.cell(branch, overview.time), c.width) for c in TREE_COLUMNS]
    for user in (users.shown_total, *users.shown[:40]):
        yield user.name, format.count(user.row.execs), format.per_second(user.rate), user.row.last
        yield format.sparkline(user.history, 20)
        yield users.processes_of(user.row.uid)
    for call in list(calls.calls.values())[:40]:
        for last in (True, False):
            yield format.nanoseconds(call.quantile(0.99, last=last)), format.nanoseconds(call.longest(last=last))
            yield format.share(call.failure_rate(last=last))
        yield format.sparkline(list(call.history), 20), heat(columns_of_ticks(calls.ticks(call), 60), 20), call.errnos()
        yield callers(calls.latest, call.key), calls.families
    for total in calls.latest.process_totals[:20] if calls.latest else ():
        yield calls_of(calls.latest, (total.pid, total.start_ns))
    for line in trace.ring.slice(trace.ring.first, trace.ring.end)[-40:]:
        yield TraceLog().searchable(line)


def drawn(models: dict[str, Model], overview: Overview) -> None:
    """Draw all of it; what a record says must be fit for a terminal."""
    for one in draw(models, overview):
        assert all(map(str.isprintable, (text for text in str(one).split("\n"))))


def play(source: Source, timeline: Timeline, finished: Callable[[], bool]) -> None:
    """Let models have all that *source* has until it is *finished*, look back to its middle, and draw both."""
    models, takers = fresh()
    overview = Overview()
    until_s = time.monotonic() + HUNG_S
    while not finished():
        assert time.monotonic() < until_s, "the source does not come to its end"
        for probe in registry().names:
            batch = source.poll(probe, 0.001)
            if batch is not None:
                overview.feed(batch)
                for model in takers.get(probe, ()):
                    model.feed(batch)
    drawn(models, overview)
    first, last = timeline.span
    models, takers = fresh()
    drawn(models, rebuild(timeline.snapshot_at((first + last) / 2), takers))
    bars(timeline.rates(80))


def try_file(data: bytes, path: Path) -> str:
    """Replay *data* as a file; return what is said of it."""
    path.write_bytes(data)
    try:
        source = ReplaySource(str(path), speed=0)
    except SourceError as error:
        return str(error)
    try:
        play(source, source.timeline, lambda: source.finished)
    finally:
        source.close()
    return "\n".join(source.damage.report())


def try_pipe(data: bytes) -> str:
    """Replay *data* as it comes through a pipe; return what is said of it."""
    read, write = os.pipe()

    def send() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(write, "wb") as file:
            file.write(data)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        pipe = PipeSource(read)
    except SourceError as error:
        return str(error)
    else:
        source = HistorySource(pipe)
        try:
            play(source, source.timeline, lambda: pipe.finished)
        finally:
            source.close()
    finally:
        sender.join()
    return "\n".join(pipe.damage.report())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("begin", range(0, SEEDS, AT_ONCE))
def test_no_mutant_raises_or_hangs_or_takes_much_memory(
    begin: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda thread: died.append(thread.exc_value))
    for seed in range(begin, begin + AT_ONCE):
        data, suffix = mutant(seed)
        before = forget_peak()
        try:
            # Both ways by turns; suffixes change with each seed.
            said = try_file(data, tmp_path / f"mutant{suffix}") if seed // 2 % 2 else try_pipe(data)
        except Exception as error:
            raise AssertionError(f"mutant {seed}") from error
        assert died == [], seed
        grown = peak_mb() - before
        assert grown < GROWTH_MB, (seed, grown)
        assert all(map(str.isprintable, said.split("\n"))), seed
