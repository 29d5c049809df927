"""The row of the probe. Every command of ebpftop imports this, so it imports nothing else."""

from __future__ import annotations

from ebpftop.probes.registry import ProbeRow

PROBE = ProbeRow(
    name="signals",
    about="who sends which signal to whom",
    probe="ebpftop_signals.probe:SignalsProbe",
    records=("ebpftop_signals.model:Signal",),
    on=False,
)
