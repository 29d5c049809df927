"""Totals as metrics of OTLP: their fields as the specification has them, and the same values as Prometheus gets."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ebpftop.serving.buckets import Histograms
from ebpftop.serving.otlp.metrics import MetricsRequest
from ebpftop.serving.prometheus import exposition
from ebpftop.serving.reading import TotalsReading
from tests.collector import plain
from tests.unit.test_serving_text import HOSTILE, READING, samples

START, TIME = "1764428600250000000", "1764428662500000000"
SUFFIXES = {"s": "_seconds", "By": "_bytes"}


def made(reading: TotalsReading = READING, histograms: Histograms = "coarse") -> dict[str, Any]:
    """Return the metrics of *reading* by name."""
    body = json.loads(MetricsRequest({"host.name": "web-1"}, "1.2", histograms).body(reading))
    (resource,) = body["resourceMetrics"]
    assert plain(resource["resource"]["attributes"]) == {"host.name": "web-1"}
    (scope,) = resource["scopeMetrics"]
    assert scope["scope"] == {"name": "ebpftop", "version": "1.2"}
    metrics = {metric["name"]: metric for metric in scope["metrics"]}
    assert len(metrics) == len(scope["metrics"])
    return metrics


def test_a_total_is_a_cumulative_sum() -> None:
    assert made()["ebpftop.syscall.errors"] == {
        "name": "ebpftop.syscall.errors",
        "description": "System calls that failed, by error.",
        "unit": "{call}",
        "sum": {
            "aggregationTemporality": 2,
            "isMonotonic": True,
            "dataPoints": [
                {
                    "attributes": [
                        {"key": "abi", "value": {"stringValue": "x86_64"}},
                        {"key": "syscall", "value": {"stringValue": "read"}},
                        {"key": "errno", "value": {"stringValue": "EAGAIN"}},
                    ],
                    "startTimeUnixNano": START,
                    "timeUnixNano": TIME,
                    "asInt": "9",
                }
            ],
        },
    }


def test_a_gauge_and_a_sum_that_is_no_integer() -> None:
    memory, cpu = made()["ebpftop.memory"], made()["ebpftop.cpu"]
    assert (memory["unit"], memory["gauge"]["dataPoints"][0]["asInt"]) == ("By", str(40 << 20))
    assert (cpu["unit"], cpu["sum"]["dataPoints"][0]["asDouble"]) == ("s", 1.5)
    assert "sum" not in memory
    assert "asInt" not in cpu["sum"]["dataPoints"][0]


def test_durations_are_an_explicit_histogram() -> None:
    histogram = made()["ebpftop.syscall.duration"]["histogram"]
    assert histogram["aggregationTemporality"] == 2
    one, other = histogram["dataPoints"]  # the third call has none
    bounds = [2**power / 1e9 for power in (10, 14, 18, 22, 26, 30, 34)]
    assert one["explicitBounds"] == other["explicitBounds"] == bounds
    # 2**k ns has k + 1 calls: those of less than 2**10 ns are 1 + .. + 10.
    assert one["bucketCounts"] == ["55", "50", "66", "82", "98", "114", "130", "395"]
    assert (one["count"], one["sum"]) == ("990", 1.5)
    assert other["bucketCounts"] == ["3", "0", "0", "0", "0", "0", "0", "0"]
    assert (one["startTimeUnixNano"], one["timeUnixNano"]) == (START, TIME)
    assert plain(one["attributes"]) == {"abi": "x86_64", "syscall": "read"}
    full = made(histograms="full")["ebpftop.syscall.duration"]["histogram"]["dataPoints"][0]
    assert full["bucketCounts"] == list(map(str, range(1, 45)))
    assert len(full["explicitBounds"]) == 43
    assert "ebpftop.syscall.duration" not in made(histograms="none")


def as_prometheus(metrics: dict[str, Any]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the series that a collector makes of *metrics*, as the specification of the two says."""
    series = {}
    for metric in metrics.values():
        name = metric["name"].replace(".", "_") + SUFFIXES.get(metric["unit"], "")
        assert re.fullmatch(r"s|By||\{\w+\}", metric["unit"])
        for kind, suffix in (("sum", "_total"), ("gauge", ""), ("histogram", "")):
            for point in metric.get(kind, {}).get("dataPoints", ()):
                labels = tuple(plain(point["attributes"]).items())
                if kind != "histogram":
                    series[name + suffix, labels] = float(point.get("asInt", point.get("asDouble")))
                    continue
                up_to = 0
                for bound, count in zip((*point["explicitBounds"], "+Inf"), point["bucketCounts"], strict=True):
                    up_to += int(count)
                    le = "+Inf" if bound == "+Inf" else repr(bound)
                    series[f"{name}_bucket", (*labels, ("le", le))] = float(up_to)
                series[f"{name}_count", labels], series[f"{name}_sum", labels] = float(point["count"]), point["sum"]
    return series


@pytest.mark.parametrize("histograms", ["none", "coarse", "full"])
@pytest.mark.parametrize("reading", [READING, READING._replace(timed=False, by=None, groups=(), call_errors=())])
def test_the_series_are_those_that_prometheus_scrapes(reading: TotalsReading, histograms: Histograms) -> None:
    if not reading.timed:
        reading = reading._replace(
            calls=tuple(call._replace(histogram_ns=()) for call in reading.calls), exec_errors=()
        )
    expected = samples(exposition(reading, histograms))
    assert as_prometheus(made(reading, histograms)) == expected
    assert any(HOSTILE in dict(labels).values() for _, labels in expected)


def test_what_has_no_points_is_left_out() -> None:
    names = made(READING._replace(users=(), calls=(), call_errors=(), exec_errors=(), by=None)).keys()
    assert not {name for name in names if "exec" in name or "syscall" in name or "unit" in name}
    assert {"ebpftop.lost", "ebpftop.probe.up", "ebpftop.build.info"} <= names
