"""How the live kernel is watched."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

from ebpftop.core.escape import printable
from ebpftop.core.records import ProbeName
from ebpftop.core.syscall_records import Abi
from ebpftop.filters.spec import Filter
from ebpftop.kernel.event_buffer import Buffer
from ebpftop.probes.load_request import LoadRequest
from ebpftop.probes.registry import registry
from ebpftop.syscalls.trace_limit import DEFAULT_TRACE_LIMIT
from ebpftop.syscalls.tracing import TracedCall

INTERVAL_S = 1.0
PAIRS_EVERY_S = 5.0
PAIRS_CALM_S = 60.0
"""How often it is read who makes which call, if nobody looks at that: the most expensive part of a reading. And how
often while there are few calls, in a stream or recording: a whole reading is written so often anyway."""


@dataclass(frozen=True)
class Options:
    """How to watch the kernel: *probes* are attached from the start, those that are *off* can be attached later."""

    probes: tuple[ProbeName, ...] = field(default_factory=lambda: registry().on)
    off: tuple[ProbeName, ...] = ()
    interval_s: float = INTERVAL_S
    filter: Filter = field(default_factory=Filter)
    buffer: Buffer | None = None  # None: the ring if the kernel has it
    attach: Mapping[str, str] = field(default_factory=dict)
    failures: bool = True
    exec_events: bool = True  # False: of the exec log only how processes ended, counted
    latency: bool = True
    processes: bool = True
    pairs_every_s: float = PAIRS_EVERY_S
    pairs_calm_s: float = PAIRS_EVERY_S
    in_flight: bool = True  # which calls are in progress
    waits_of_all: bool = True  # False: of the first calls in flight, until somebody looks at all of them
    printk: bool = False
    env: tuple[str, ...] = ()  # variables of the environment whose values are in records: "PATH", "LC_*", "all"
    env_names: bool = True  # the names of all of them, and which differ from the parent's
    ignore: tuple[tuple[Abi, int], ...] = ()
    trace: tuple[TracedCall, ...] = ()
    trace_limit: int = DEFAULT_TRACE_LIMIT  # traced calls that each CPU reports a second
    own_programs: bool = False  # what is loaded of each probe is recorded, when it is attached and at the end
    btf: bool = False  # our programs have their types and lines, for bpftool
    stacks: bool = False  # traced calls have their stacks
    load: LoadRequest | None = None  # the C file of the probe "load"
    host: str = field(default_factory=lambda: printable(platform.node()))
    measures: bool = False  # what places to attach cost, also if nothing depends on it: for `check`
