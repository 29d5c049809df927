"""The text that Prometheus scrapes (exposition format 0.0.4), written by hand: a scrape of a host costs a millisecond.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from ebpftop.serving.buckets import Histograms, counts_up_to, powers_of
from ebpftop.serving.reading import CallTotals, GroupTotals, TotalsReading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def exposition(reading: TotalsReading, histograms: Histograms = "coarse") -> bytes:
    """Return all metrics of *reading*."""
    return "".join((*_of_programs(reading), *_of_calls(reading, histograms), *_of_ebpftop(reading))).encode()


def _of_programs(reading: TotalsReading) -> Iterator[str]:
    users = [(_label("uid", one.uid) + "," + _label("user", one.user), one) for one in reading.users]
    yield _head("execs_total", "counter", "Calls of execve and execveat, by user, failed ones included.")
    yield from (f"ebpftop_execs_total{{{labels}}} {one.execs}\n" for labels, one in users)
    yield _head("exec_failures_total", "counter", "Those of them that failed.")
    yield from (f"ebpftop_exec_failures_total{{{labels}}} {one.failed}\n" for labels, one in users)
    if reading.timed:
        yield _head("exec_errors_total", "counter", "Calls of execve and execveat that failed, by error.")
        yield from (
            f"ebpftop_exec_errors_total{{{_label('errno', errno)}}} {count}\n" for errno, count in reading.exec_errors
        )
    yield _head("process_exits_total", "counter", "Processes that ended: with status 0, with another, or by a signal.")
    yield from (
        f"ebpftop_process_exits_total{{{_label('reason', one.reason)},{_label('signal', one.signal)}}} {one.total}\n"
        for one in reading.ends
    )


def _of_calls(reading: TotalsReading, histograms: Histograms) -> Iterator[str]:
    calls = [(_call(one.abi, one.call), one) for one in reading.calls]
    yield _head("syscalls_total", "counter", "System calls that were made.")
    yield from (f"ebpftop_syscalls_total{{{labels}}} {one.total}\n" for labels, one in calls)
    if reading.timed:
        yield _head("syscall_errors_total", "counter", "System calls that failed, by error.")
        yield from (
            f"ebpftop_syscall_errors_total{{{_call(one.abi, one.call)},{_label('errno', one.errno)}}} {one.total}\n"
            for one in reading.call_errors
        )
    if reading.timed and histograms != "none":
        yield _head("syscall_duration_seconds", "histogram", "How long system calls took that have returned.")
        powers = powers_of(histograms)
        yield from (_histogram(labels, one, powers) for labels, one in calls)
    if reading.by is not None:
        yield from _of_groups(reading.by, reading.groups)


def _of_groups(by: str, groups: Iterable[GroupTotals]) -> Iterator[str]:
    labelled = [(_label(by, one.name), one) for one in groups]
    for name, about, figure in (
        ("execs_total", "Calls of execve and execveat", 1),
        ("exec_failures_total", "Those of them that failed", 2),
        ("syscalls_total", "System calls that have returned", 3),
        ("syscall_errors_total", "Those of them that failed", 4),
    ):
        yield _head(f"{by}_{name}", "counter", f"{about}, by {by}.")
        yield from (f"ebpftop_{by}_{name}{{{label}}} {one[figure]}\n" for label, one in labelled)
    about = f"The time that system calls took, waiting included, by {by}."
    yield _head(f"{by}_syscall_seconds_total", "counter", about)
    yield from (f"ebpftop_{by}_syscall_seconds_total{{{label}}} {_seconds(one.total_ns)}\n" for label, one in labelled)


def _of_ebpftop(reading: TotalsReading) -> Iterator[str]:
    yield _head("lost_total", "counter", "What a probe did not see or could not deliver, by where it was lost.")
    yield from (
        f"ebpftop_lost_total{{{_label('probe', one.probe)},{_label('where', one.where)}}} {one.total}\n"
        for one in reading.lost
    )
    yield _head("probe_up", "gauge", "1 if a probe is attached, 0 if it could not be, or is off.")
    yield from (f"ebpftop_probe_up{{{_label('probe', one.probe)}}} {int(one.up)}\n" for one in reading.probes)
    yield _head("probe_info", "gauge", "Where a probe is attached, or was.")
    yield from (
        f"ebpftop_probe_info{{{_label('probe', one.probe)},{_label('via', one.via)}}} 1\n" for one in reading.probes
    )
    own = reading.own
    yield _one("cpu_seconds_total", "counter", "CPU time of ebpftop's own process.", repr(own.cpu_s))
    yield _one("memory_bytes", "gauge", "Resident memory of ebpftop's own process.", str(own.memory_bytes))
    if own.kernel_s is not None:
        about = "CPU time of ebpftop's programs in the kernel, estimated from samples."
        yield _one("kernel_seconds_total", "counter", about, repr(own.kernel_s))
    about = "When the kernel's counters were read last, Unix seconds."
    yield _one("reading_timestamp_seconds", "gauge", about, repr(reading.time))
    yield _one("start_timestamp_seconds", "gauge", "When all counters were 0, Unix seconds.", repr(reading.started))
    yield _head("build_info", "gauge", "The versions of ebpftop and of the kernel.")
    yield f"ebpftop_build_info{{{_label('version', reading.version)},{_label('kernel', reading.kernel)}}} 1\n"


@lru_cache(4096)
def _label(name: str, value: str) -> str:
    return f'{name}="{value.translate(_ESCAPED)}"'


@lru_cache(1024)
def _call(abi: str, call: str) -> str:
    return f"{_label('abi', abi)},{_label('syscall', call)}"


def _head(name: str, kind: str, about: str) -> str:
    return f"# HELP ebpftop_{name} {about}\n# TYPE ebpftop_{name} {kind}\n"


def _one(name: str, kind: str, about: str, value: str) -> str:
    return f"{_head(name, kind, about)}ebpftop_{name} {value}\n"


def _seconds(ns: int) -> str:
    return repr(ns / 1e9)


@lru_cache(2048)
def _form(labels: str, powers: range) -> str:
    """Return the lines of a histogram, with a place for each number."""
    name, labels = "ebpftop_syscall_duration_seconds", labels.replace("%", "%%")
    buckets = [f'{name}_bucket{{{labels},le="{2**power / 1e9!r}"}} %d\n' for power in powers]
    return "".join(
        (
            *buckets,
            f'{name}_bucket{{{labels},le="+Inf"}} %d\n',
            f"{name}_sum{{{labels}}} %s\n{name}_count{{{labels}}} %d\n",
        )
    )


def _histogram(labels: str, call: CallTotals, powers: range) -> str:
    if not call.histogram_ns:
        return ""
    buckets = counts_up_to(call.histogram_ns, powers)
    return _form(labels, powers) % (*buckets, _seconds(call.total_ns), buckets[-1])
