"""What there is to serve at one moment: immutable, so that any thread may read it."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

By: TypeAlias = Literal["unit", "container"]

BUCKETS = 44
"""Of a histogram: the one at k counts what took at least 2**k ns and less than 2**(k+1); the last, what took longer."""
OTHER = "other"
"""The label of all that has none of its own."""
NO_GROUP = "(none)"
"""The label of processes that are in no unit, or in no container."""


class UserTotals(NamedTuple):
    """execve calls of one user, and those of them that failed. `uid` is "other" for all users without a row."""

    uid: str
    user: str
    execs: int
    failed: int


class CallTotals(NamedTuple):
    """One system call. `histogram_ns` has at most `BUCKETS` counts; without latency it is empty."""

    abi: str
    call: str
    total: int
    total_ns: int
    histogram_ns: tuple[int, ...]


class CallErrors(NamedTuple):
    """How often one system call failed with one error."""

    abi: str
    call: str
    errno: str
    total: int


class Ends(NamedTuple):
    """How many processes ended so; `signal` is empty unless it ended them."""

    reason: str
    signal: str
    total: int


class LostTotal(NamedTuple):
    """What a probe lost, by where."""

    probe: str
    where: str
    total: int


class ProbeState(NamedTuple):
    """Whether a probe is attached, and where."""

    probe: str
    up: bool
    via: str


class GroupTotals(NamedTuple):
    """What the processes of one unit or container asked of the kernel."""

    name: str
    execs: int
    failed: int
    calls: int
    errors: int
    total_ns: int


class Own(NamedTuple):
    """What ebpftop itself costs. `kernel_s` is None if this kernel does not measure it."""

    cpu_s: float
    memory_bytes: int
    kernel_s: float | None


class TotalsReading(NamedTuple):
    """Totals since the start of this process; `time` is Unix seconds.

    `timed` is whether calls are timed and their errors counted; `by` is what `groups` are.
    """

    time: float
    started: float
    version: str
    kernel: str
    timed: bool
    users: tuple[UserTotals, ...]
    exec_errors: tuple[tuple[str, int], ...]
    ends: tuple[Ends, ...]
    calls: tuple[CallTotals, ...]
    call_errors: tuple[CallErrors, ...]
    lost: tuple[LostTotal, ...]
    probes: tuple[ProbeState, ...]
    by: By | None
    groups: tuple[GroupTotals, ...]
    own: Own
