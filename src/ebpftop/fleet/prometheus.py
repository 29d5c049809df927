"""A fleet as Prometheus knows it, from `ebpftop serve` on each host: asked in PromQL, while somebody looks."""

from __future__ import annotations

import http.client
import math
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from ebpftop.core.escape import escape
from ebpftop.core.source import SourceError
from ebpftop.fleet.rows import HOSTS_MAX, HostRow, HostState, News

EVERY_S = 15.0
"""Seconds between two rounds of questions: Prometheus scrapes no more often, mostly."""
LATE_S = 60.0
"""A reading of `serve` that is older is late: it reads every five seconds."""
_TIMEOUT_S = 10.0
_ANSWER_BYTES = 32 << 20
_SAID_MAX = 300
_RANGE = "2m"

HOSTS = "last_over_time(ebpftop_build_info[1h])"
"""All that was there in the last hour, with version and kernel."""
FIGURES: Mapping[str, str] = {
    "up": "up and on (instance, job) last_over_time(ebpftop_build_info[1h])",
    "execs": f"sum by (instance) (rate(ebpftop_execs_total[{_RANGE}]))",
    "failures": f"sum by (instance) (rate(ebpftop_exec_failures_total[{_RANGE}]))",
    "calls": f"sum by (instance) (rate(ebpftop_syscalls_total[{_RANGE}]))",
    "errors": f"sum by (instance) (rate(ebpftop_syscall_errors_total[{_RANGE}]))",
    "lost": "sum by (instance) (ebpftop_lost_total)",
    "cost": f"rate(ebpftop_cpu_seconds_total[{_RANGE}]) + rate(ebpftop_kernel_seconds_total[{_RANGE}])",
    "age": "time() - ebpftop_reading_timestamp_seconds",
    "off": "count by (instance) (ebpftop_probe_up == 0)",
}
"""The questions of the list of hosts, each of all hosts."""

OF_HOST: Mapping[str, str] = {
    "Calls each second": "topk(10, sum by (syscall) (rate(ebpftop_syscalls_total{%s}[2m])) > 0)",
    "99th percentile of calls, in seconds": "topk(10, histogram_quantile(0.99, sum by (syscall, le) "
    "(rate(ebpftop_syscall_duration_seconds_bucket{%s}[2m]))) >= 0)",
    "Errors each second": "topk(10, sum by (syscall, errno) (rate(ebpftop_syscall_errors_total{%s}[2m])) > 0)",
    "Execs each second": "topk(10, sum by (user) (rate(ebpftop_execs_total{%s}[2m])) > 0)",
    "Execs that fail each second": "topk(10, sum by (errno) (rate(ebpftop_exec_errors_total{%s}[2m])) > 0)",
    "Processes that end each second": "sum by (reason, signal) (rate(ebpftop_process_exits_total{%s}[2m])) > 0",
    "Lost so far": "ebpftop_lost_total{%s} > 0",
}
"""The questions about one host."""


class Sample(NamedTuple):
    """One series of an answer; texts are safe to show."""

    labels: dict[str, str]
    value: float


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    result: list[_Series] = []


class _Answer(msgspec.Struct):
    status: str = ""
    error: str = ""
    data: _Data = msgspec.field(default_factory=_Data)


class Prometheus:
    """Asks the Prometheus at *url*, as http://host:9090."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def ask(self, query: str) -> list[Sample]:
        """Return the answer to *query*, at this moment. Raises SourceError, in words."""
        asked = urllib.parse.urlencode({"query": query}).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query", asked, timeout=_TIMEOUT_S) as reply:
                body = reply.read(_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as error:
            raise self._refused(error.code, error.read(1 << 16)) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            words = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
            raise SourceError(
                f"{self.url} does not answer: {words}"[:_SAID_MAX], "is Prometheus running there?"
            ) from None
        if len(body) > _ANSWER_BYTES:
            raise SourceError(f"{self.url}: an answer of more than {_ANSWER_BYTES >> 20} MiB")
        answer = _decoded(body)
        if answer is None or answer.status != "success":
            raise SourceError(f"what answers at {self.url} is not a Prometheus", "name its address: http://HOST:9090")
        return [
            Sample({escape(name): escape(text)[:_SAID_MAX] for name, text in one.metric.items()}, value)
            for one in answer.data.result
            if math.isfinite(value := _number(one.value[1]))
        ]

    def _refused(self, code: int, body: bytes) -> SourceError:
        answer = _decoded(body)
        if answer is not None and answer.error:
            return SourceError(f"{self.url} refuses a query: {answer.error}"[:_SAID_MAX])
        if code in (401, 403):
            return SourceError(f"{self.url} wants a login ({code})", "a proxy that adds it, or an ssh tunnel")
        return SourceError(f"{self.url} answers {code}: it is not a Prometheus", "name its address: http://HOST:9090")


def _decoded(body: bytes) -> _Answer | None:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


class PrometheusReading:
    """The list of hosts by questions. `ask` is for a thread, one at a time; the rest for that of the screen."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.prometheus = prometheus
        self.has_ended = False
        self._lock = threading.Lock()
        self._waiting: list[News] = []

    def ask(self) -> None:
        """Ask for all figures of the list, once."""
        try:
            hosts = {row.labels.get("instance", ""): row.labels for row in self.prometheus.ask(HOSTS)}
            answers = {
                name: {row.labels.get("instance", ""): row.value for row in self.prometheus.ask(query)}
                for name, query in FIGURES.items()
            }
        except SourceError as error:
            news = News(trouble=str(error))
        else:
            now_s = time.monotonic()
            rows = [_row(name, hosts[name], answers, now_s) for name in sorted(hosts)[:HOSTS_MAX] if name]
            none = "" if rows else "Prometheus has no metrics of ebpftop: let it scrape `ebpftop serve` (docs/serve.md)"
            news = News(hosts=tuple(rows), trouble=none)
        with self._lock:
            self._waiting = [news]

    def news(self) -> list[News]:
        """Return what was answered since the last call."""
        with self._lock:
            news, self._waiting = self._waiting, []
        return news

    def ask_host(self, name: str) -> list[tuple[str, Sequence[Sample]]]:
        """Return the answers about one host, each with its heading. Raises SourceError."""
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        matcher = f'instance="{quoted}"'
        return [(heading, self.prometheus.ask(query % matcher)) for heading, query in OF_HOST.items()]


def _row(name: str, labels: Mapping[str, str], answers: Mapping[str, Mapping[str, float]], now_s: float) -> HostRow:
    figures = {figure: values.get(name) for figure, values in answers.items()}
    age_s, off = figures["age"], figures["off"]
    state: HostState = "up"
    said = remedy = ""
    if figures["up"] != 1:
        state, said, remedy = "gone", "Prometheus cannot scrape it", "is `ebpftop serve` running there? (docs/serve.md)"
    elif age_s is not None and age_s > LATE_S:
        state, said, remedy = "stale", "its `ebpftop serve` reads no counters", "its /healthz says more"
    elif off:
        said, remedy = "a probe is not attached", "ebpftop_probe_up has its name; `ebpftop check` there says why"
    last_s = None if age_s is None else now_s - max(0.0, age_s)
    return HostRow(
        name,
        state,
        since_s=now_s if last_s is None else last_s,
        said=said,
        remedy=remedy,
        last_s=last_s,
        execs=figures["execs"],
        failures=figures["failures"],
        calls=figures["calls"],
        errors=figures["errors"],
        lost=round(figures["lost"] or 0.0),
        cost=figures["cost"],
        kernel=labels.get("kernel", ""),
        version=labels.get("version", ""),
        opens=True,
    )
