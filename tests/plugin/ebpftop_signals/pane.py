"""The pane of signals, and its row."""

from __future__ import annotations

from ebpftop.ui.panes.common import clock, moment
from ebpftop.ui.panes.log import LogPane
from ebpftop.ui.registry import PaneRow
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop_signals.model import Signal, SignalLog

PANE = PaneRow(pane="ebpftop_signals.pane:SignalsPane", log=True, heights=(5, 6, 2))


class SignalsPane(LogPane[Signal]):
    """Signals, one a line."""

    probe = "signals"
    label = "Signals"
    empty_text = "No signal was sent"
    counted_as = "signal"
    about = "Each signal that a process sends to another one."
    model_type = SignalLog
    columns = (
        Column(
            "time",
            "TIME",
            12,
            lambda s, now: clock(s.time, now),
            rank=2,
            value=lambda s, _: moment(s.time),
            about="When it was sent.",
        ),
        Column(
            "pid", "PID", 7, lambda s, _: (Span(str(s.pid)),), right=True, rank=3, about="Process id of the sender."
        ),
        Column("comm", "PROCESS", 15, lambda s, _: (Span(s.comm, "accent"),), rank=1, about="Its name."),
        Column("signal", "SIGNAL", 9, lambda s, _: (Span(s.signal, "signal"),), about="The signal."),
        Column(
            "target",
            "TO PID",
            7,
            lambda s, _: (Span(str(s.target)),),
            flexible=True,
            about="Process id of whom it was sent to.",
        ),
    )
