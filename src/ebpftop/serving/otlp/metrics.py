"""The totals of a reading as metrics (opentelemetry/proto/metrics/v1): cumulative sums, gauges, explicit histograms.

Where a collector gives them to Prometheus, they get the names that `ebpftop.serving.prometheus` has: dots become
underscores, the unit and `_total` are appended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from ebpftop.serving.buckets import Histograms, counts_between, powers_of
from ebpftop.serving.otlp.values import (
    SCHEMA_URL,
    SCOPE,
    KeyValue,
    Message,
    Resource,
    Scope,
    encode,
    resource_of,
    text,
    unix_ns,
)
from ebpftop.serving.reading import CallTotals, TotalsReading

_CUMULATIVE = 2


class _Point(Message, frozen=True, gc=False, omit_defaults=True):
    attributes: list[KeyValue]
    start_time_unix_nano: str
    time_unix_nano: str
    as_int: str | None = None
    as_double: float | None = None


class _HistogramPoint(Message, frozen=True, gc=False):
    attributes: list[KeyValue]
    start_time_unix_nano: str
    time_unix_nano: str
    count: str
    sum: float
    bucket_counts: list[str]
    explicit_bounds: list[float]


class _Sum(Message, frozen=True, gc=False):
    data_points: list[_Point]
    aggregation_temporality: int = _CUMULATIVE
    is_monotonic: bool = True


class _Gauge(Message, frozen=True, gc=False):
    data_points: list[_Point]


class _Histogram(Message, frozen=True, gc=False):
    data_points: list[_HistogramPoint]
    aggregation_temporality: int = _CUMULATIVE


class _Metric(Message, frozen=True, gc=False, omit_defaults=True):
    name: str
    description: str
    unit: str
    sum: _Sum | None = None
    gauge: _Gauge | None = None
    histogram: _Histogram | None = None


class _ScopeMetrics(Message, frozen=True, gc=False):
    scope: Scope
    metrics: list[_Metric]
    schema_url: str


class _ResourceMetrics(Message, frozen=True, gc=False):
    resource: Resource
    scope_metrics: list[_ScopeMetrics]
    schema_url: str


class _Metrics(Message, frozen=True, gc=False):
    resource_metrics: list[_ResourceMetrics]


_Points = Iterable[tuple[list[KeyValue], int | float]]


class MetricsRequest:
    """Makes the body of a request (ExportMetricsServiceRequest) of a reading."""

    def __init__(self, resource: Mapping[str, str], version: str, histograms: Histograms) -> None:
        self._resource = resource_of(resource)
        self._scope = Scope(SCOPE, version)
        self._histograms: Histograms = histograms

    def body(self, reading: TotalsReading) -> bytes:
        """Return the body of a request with all metrics of *reading*."""
        metrics = [metric for metric in _Made(reading, self._histograms).metrics() if _points(metric)]
        scoped = _ScopeMetrics(self._scope, metrics, SCHEMA_URL)
        return encode(_Metrics([_ResourceMetrics(self._resource, [scoped], SCHEMA_URL)]))


def _points(metric: _Metric) -> bool:
    kind = metric.sum or metric.gauge or metric.histogram
    return kind is not None and bool(kind.data_points)


class _Made:
    """The metrics of one reading."""

    def __init__(self, reading: TotalsReading, histograms: Histograms) -> None:
        self._reading = reading
        self._histograms: Histograms = histograms
        self._start, self._time = unix_ns(reading.started), unix_ns(reading.time)

    def metrics(self) -> Iterator[_Metric]:
        """Yield all of them; some have no points."""
        yield from self._of_programs()
        yield from self._of_calls()
        yield from self._of_ebpftop()

    def _point(self, attributes: list[KeyValue], value: int | float) -> _Point:
        if isinstance(value, int):
            return _Point(attributes, self._start, self._time, as_int=str(value))
        return _Point(attributes, self._start, self._time, as_double=value)

    def _sum(self, name: str, unit: str, about: str, points: _Points) -> _Metric:
        made = [self._point(*point) for point in points]
        return _Metric(f"ebpftop.{name}", about, unit, sum=_Sum(made))

    def _gauge(self, name: str, unit: str, about: str, points: _Points) -> _Metric:
        made = [self._point(*point) for point in points]
        return _Metric(f"ebpftop.{name}", about, unit, gauge=_Gauge(made))

    def _of_programs(self) -> Iterator[_Metric]:
        reading = self._reading
        users = [([text("uid", one.uid), text("user", one.user)], one) for one in reading.users]
        about = "Calls of execve and execveat, by user, failed ones included."
        yield self._sum("execs", "{call}", about, [(labels, one.execs) for labels, one in users])
        failed = [(labels, one.failed) for labels, one in users]
        yield self._sum("exec.failures", "{call}", "Those of them that failed.", failed)
        errors = [([text("errno", errno)], count) for errno, count in reading.exec_errors]
        yield self._sum("exec.errors", "{call}", "Calls of execve and execveat that failed, by error.", errors)
        about = "Processes that ended: with status 0, with another, or by a signal."
        ends = [([text("reason", one.reason), text("signal", one.signal)], one.total) for one in reading.ends]
        yield self._sum("process.exits", "{process}", about, ends)

    def _of_calls(self) -> Iterator[_Metric]:
        reading = self._reading
        totals = [(list(_call(one.abi, one.call)), one.total) for one in reading.calls]
        yield self._sum("syscalls", "{call}", "System calls that were made.", totals)
        errors = [([*_call(one.abi, one.call), text("errno", one.errno)], one.total) for one in reading.call_errors]
        yield self._sum("syscall.errors", "{call}", "System calls that failed, by error.", errors)
        if reading.timed and self._histograms != "none":
            powers = powers_of(self._histograms)
            points = [self._histogram(one, powers) for one in reading.calls if one.histogram_ns]
            about = "How long system calls took that have returned."
            yield _Metric("ebpftop.syscall.duration", about, "s", histogram=_Histogram(points))
        if reading.by is not None:
            yield from self._of_groups(reading.by)

    def _histogram(self, call: CallTotals, powers: range) -> _HistogramPoint:
        counts = counts_between(call.histogram_ns, powers)
        return _HistogramPoint(
            list(_call(call.abi, call.call)),
            self._start,
            self._time,
            str(sum(counts)),
            call.total_ns / 1e9,
            list(map(str, counts)),
            _seconds(powers),
        )

    def _of_groups(self, by: str) -> Iterator[_Metric]:
        groups = [([text(by, one.name)], one) for one in self._reading.groups]
        for name, about, figure in (
            ("execs", "Calls of execve and execveat", 1),
            ("exec.failures", "Those of them that failed", 2),
            ("syscalls", "System calls that have returned", 3),
            ("syscall.errors", "Those of them that failed", 4),
        ):
            points = [(label, int(one[figure])) for label, one in groups]
            yield self._sum(f"{by}.{name}", "{call}", f"{about}, by {by}.", points)
        about = f"The time that system calls took, waiting included, by {by}."
        yield self._sum(f"{by}.syscall", "s", about, [(label, one.total_ns / 1e9) for label, one in groups])

    def _of_ebpftop(self) -> Iterator[_Metric]:
        reading, own = self._reading, self._reading.own
        about = "What a probe did not see or could not deliver, by where it was lost."
        lost = [([text("probe", one.probe), text("where", one.where)], one.total) for one in reading.lost]
        yield self._sum("lost", "{event}", about, lost)
        up = [([text("probe", one.probe)], int(one.up)) for one in reading.probes]
        yield self._gauge("probe.up", "", "1 if a probe is attached, 0 if it could not be, or is off.", up)
        info = [([text("probe", one.probe), text("via", one.via)], 1) for one in reading.probes]
        yield self._gauge("probe.info", "", "Where a probe is attached, or was.", info)
        yield self._sum("cpu", "s", "CPU time of ebpftop's own process.", [([], own.cpu_s)])
        yield self._gauge("memory", "By", "Resident memory of ebpftop's own process.", [([], own.memory_bytes)])
        if own.kernel_s is not None:
            about = "CPU time of ebpftop's programs in the kernel, estimated from samples."
            yield self._sum("kernel", "s", about, [([], own.kernel_s)])
        about = "When the kernel's counters were read last, Unix seconds."
        yield self._gauge("reading.timestamp", "s", about, [([], reading.time)])
        about = "When all counters were 0, Unix seconds."
        yield self._gauge("start.timestamp", "s", about, [([], reading.started)])
        build = [text("version", reading.version), text("kernel", reading.kernel)]
        yield self._gauge("build.info", "", "The versions of ebpftop and of the kernel.", [(build, 1)])


@lru_cache(1024)
def _call(abi: str, call: str) -> tuple[KeyValue, KeyValue]:
    return text("abi", abi), text("syscall", call)


@lru_cache(2)
def _seconds(powers: range) -> list[float]:
    return [2**power / 1e9 for power in powers]
