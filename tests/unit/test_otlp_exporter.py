"""The thread that sends: retries, losses, hostile collectors, the end. Each event is accounted for in all of it."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from ebpftop.serving.otlp import answers, target
from ebpftop.serving.otlp.answers import Answer, Outcome, outcome_of, retry_after_s
from ebpftop.serving.otlp.connection import tls_context
from ebpftop.serving.otlp.exporter import Exporter
from ebpftop.serving.otlp.metrics import MetricsRequest
from ebpftop.serving.otlp.outbox import Counts
from ebpftop.serving.otlp.settings import read_settings
from tests.collector import LOGS, METRICS, Collector, Reply, Request, answers_once, plain, wait_until
from tests.unit.test_otlp_events import EXEC, FAILED
from tests.unit.test_serving_text import READING

LONG_S = 60.0
"""Much longer than anything takes here."""


class Sender:
    """An exporter, and what it reported."""

    def __init__(
        self, url: str, environment: Mapping[str, str] | None = None, *, limit_bytes: int = 1 << 24, tls: bool = False
    ) -> None:
        self.reports: list[str] = []
        settings = read_settings(url, environment or {}, {"host.name": "web-1"})
        self.exporter = Exporter(
            settings, tls_context(settings.certificates) if tls else None, "1.2", self.reports.append,
            metrics=MetricsRequest(settings.resource, "1.2", "coarse"), events="all", args="none",
            limit_bytes=limit_bytes,
        )  # fmt: skip
        self.exporter.start()

    def put(self, count: int, first: int = 0) -> None:
        """Send so many events, each with a pid of its own."""
        self.exporter.put([msgspec.structs.replace(EXEC, pid=pid) for pid in range(first + 1, first + count + 1)])

    @property
    def counts(self) -> Counts:
        counts = self.exporter.counts()
        assert counts.made == counts.acknowledged + counts.lost + counts.waiting
        return counts

    def end(self, within_s: float = LONG_S) -> Counts:
        """End it; no event waits any more."""
        until_s = time.monotonic() + within_s
        counts = self.exporter.flush(until_s)
        assert counts.made == counts.acknowledged + counts.lost
        self.exporter.finish(READING, until_s)
        return counts


def pids(collector: Collector) -> list[int]:
    return [plain(record["attributes"])["process.pid"] for record in collector.log_records()]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(target, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(target, "QUIET_S", 0.0)
    monkeypatch.setattr("ebpftop.serving.otlp.outbox.LATEST_S", 0.02)


def test_a_place_of_metrics_that_hangs_keeps_no_event() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging, Collector() as collector:
        places = {
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{collector.url}/v1/logs",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{hanging.getsockname()[1]}/v1/metrics",
        }
        sender = Sender("", places)
        sender.exporter.set_reading(READING)
        hanging.accept()  # the metrics wait for an answer, which may take ten seconds, and come back for another try
        sender.put(100)
        assert sender.end(5).acknowledged == 100
        assert pids(collector) == [*range(1, 101)]


def test_no_reading_is_sent_twice() -> None:
    with Collector() as collector:
        sender = Sender(collector.url, {"OTEL_METRIC_EXPORT_INTERVAL": "1"})
        sender.exporter.set_reading(READING)
        wait_until(lambda: collector.of(METRICS))
        time.sleep(0.2)
        assert len(collector.of(METRICS)) == 1
        sender.end()


def test_events_come_in_order_and_metrics_first_and_last() -> None:
    with Collector() as collector:
        sender = Sender(collector.url)
        sender.exporter.set_reading(READING)
        sender.exporter.put([EXEC, FAILED])
        wait_until(lambda: sender.counts.acknowledged == 2)
        sender.put(2000)
        assert sender.end() == Counts(2002, 2002, 0, 0, 0, 0)
        assert pids(collector) == [EXEC.pid, FAILED.pid, *range(1, 2001)]
        assert len(collector.of(METRICS)) == 2
        request = collector.of(LOGS)[0]
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Content-Encoding"] == "gzip"
        assert request.size < len(str(request.body)) / 2
        assert collector.of(METRICS)[0].metrics()["ebpftop.execs"]["sum"]["isMonotonic"]
    assert sender.reports == []


def test_without_compression_and_with_headers() -> None:
    with Collector() as collector:
        headers = "authorization=Bearer%20x,user-agent=y"
        variables = {"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_HEADERS": headers}
        sender = Sender(collector.url, variables)
        sender.put(1)
        assert sender.end().acknowledged == 1
        request = collector.of(LOGS)[0]
        assert "Content-Encoding" not in request.headers
        assert (request.headers["authorization"], request.headers["user-agent"]) == ("Bearer x", "y")
        assert "User-Agent" not in request.headers


def test_a_key_that_the_collector_says_back_is_not_shown() -> None:
    key = "s3cret-" + "k" * 300

    def reply(request: Request) -> Reply:
        return Reply(401, b'{"message":"bad key: %s"}' % request.headers["Authorization"].encode())

    with Collector(reply) as collector:
        sender = Sender(collector.url, {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{key}"})
        sender.put(1)
        wait_until(lambda: sender.reports)
        assert "it answers 401 Unauthorized: bad key: Bearer ..; what" in sender.reports[0]
        sender.end()


def test_metrics_are_sent_at_their_interval_with_the_last_reading() -> None:
    with Collector() as collector:
        sender = Sender(collector.url, {"OTEL_METRIC_EXPORT_INTERVAL": "50"})
        for count in (1, 2, 3):
            sender.exporter.set_reading(READING)
            wait_until(partial(lambda sent: len(collector.of(METRICS)) == sent, count))
        sender.exporter.set_reading(READING._replace(time=READING.time + 7))
        later = "1764428669500000000"

        def time_of(request: Request) -> str:
            return str(request.metrics()["ebpftop.cpu"]["sum"]["dataPoints"][0]["timeUnixNano"])

        wait_until(lambda: time_of(collector.of(METRICS)[-1]) == later)
        sender.end()


def test_a_collector_that_is_away_misses_nothing() -> None:
    with Collector() as collector:
        sender = Sender(collector.url)
        sender.put(10)
        wait_until(lambda: sender.counts.acknowledged == 10)
        collector.stop()
        for turn in range(30):
            sender.put(100, 10 + 100 * turn)
            time.sleep(0.01)
        wait_until(lambda: sender.reports)
        assert f"events to {collector.url}/v1/logs: " in sender.reports[0]
        assert sender.reports[0].endswith("; it is tried again")
        assert sender.counts.waiting == 3000
        collector.start()
        wait_until(lambda: not sender.counts.waiting)
        assert sender.end() == Counts(3010, 3010, 0, 0, 0, 0)
        # What was answered, but not heard, is sent twice.
        assert sorted(set(pids(collector))) == list(range(1, 3011))
        assert sender.reports[-1].endswith("they are taken again")


def test_a_queue_that_is_full_loses_and_counts() -> None:
    with Collector() as collector:
        collector.stop()
        sender = Sender(collector.url, limit_bytes=64_000)
        for turn in range(200):
            sender.put(50, 50 * turn)
        wait_until(lambda: sender.reports)
        full = sender.counts.full
        assert 0 < full < 10_000
        collector.start()
        counts = sender.end()
        assert (counts.acknowledged, counts.lost) == (10_000 - full, full)
        assert len(set(pids(collector))) == 10_000 - full


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_be_tried_again_is(status: int) -> None:
    left = [status, status, status]

    def reply(request: Request) -> Reply:
        return Reply(left.pop(), b'{"message":"busy \\u001b[31m"}') if left and request.path == LOGS else Reply()

    with Collector(reply) as collector:
        sender = Sender(collector.url)
        sender.put(3)
        wait_until(lambda: sender.counts.acknowledged == 3)
        assert sender.end().lost == 0
        assert pids(collector) == [1, 2, 3] * 4
        assert f"it answers {status} " in sender.reports[0]
        assert ": busy \x1b[31m; it is tried again" in sender.reports[0]  # what reports escapes it
        times_s = [request.time_s for request in collector.of(LOGS)]
        assert len(sender.reports) == 2
        # Each pause is at least half of what it may be.
        pauses_s = [later - earlier for earlier, later in pairwise(times_s)]
        assert all(pause_s >= least_s for pause_s, least_s in zip(pauses_s, (0.01, 0.02, 0.04), strict=True))


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 500, 501, 505, 599, 301, 302, 307, 308, 304])
def test_what_may_not_is_lost_at_once(status: int) -> None:
    with Collector() as collector:
        headers = (("Location", f"{collector.url}/elsewhere"),)
        collector.reply = lambda _: Reply(status, b"" if status == 304 else b"no {", "text/plain", headers)
        sender = Sender(collector.url)
        sender.put(3)
        wait_until(lambda: sender.counts.refused == 3)
        assert f"it answers {status}" in sender.reports[0]
        if status in (301, 302, 307, 308):
            assert "redirects are not followed" in sender.reports[0]
        collector.reply = lambda _: Reply()
        sender.put(2, 3)
        assert sender.end() == Counts(5, 2, 0, 3, 0, 0)
        assert {request.path for request in collector.requests} <= {LOGS, METRICS}
        assert pids(collector) == [1, 2, 3, 4, 5]


def test_a_time_to_wait_is_kept() -> None:
    left = [1]

    def reply(request: Request) -> Reply:
        return Reply(503, headers=(("Retry-After", "1"),)) if request.path == LOGS and left and left.pop() else Reply()

    with Collector(reply) as collector:
        sender = Sender(collector.url)
        sender.put(1)
        wait_until(lambda: sender.counts.acknowledged == 1)
        first, second = (request.time_s for request in collector.of(LOGS))
        assert second - first >= 0.95
        sender.end()


@pytest.mark.parametrize("header", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_to_be_asked_for_no_pause_at_all_is_no_reason_to_hurry(header: str) -> None:
    refusal = Reply(429, headers=(("Retry-After", header),))
    with Collector(lambda request: refusal if request.path == LOGS else Reply()) as collector:
        sender = Sender(collector.url)
        sender.put(1)
        wait_until(lambda: len(collector.of(LOGS)) >= 6)
        times_s = [request.time_s for request in collector.of(LOGS)]
        assert times_s[5] - times_s[0] >= 0.01 + 0.02 + 0.04 + 0.05 + 0.05
        sender.end(0.3)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *[("0", 0.0), ("7", 7.0), (" 7 ", 7.0), ("9" * 5000, answers.RETRY_AFTER_MAX_S), ("", None), ("soon", None)],
        *[("-1", None), ("1.5", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("²", None), ("nan", None)],
        ("Wed, 21 Oct 2985 07:28:00 GMT", answers.RETRY_AFTER_MAX_S),
        ("Wed, 99 Oct 99999 99:99:99 GMT", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        *[(200, b"", Outcome("taken")), (200, b" \n", Outcome("taken")), (202, b"{}", Outcome("taken"))],
        (200, b'{"partialSuccess":{}}', Outcome("taken")),
        (200, b'{"partialSuccess":{"rejectedLogRecords":null,"errorMessage":null}}', Outcome("taken")),
        (200, b'{"partialSuccess":{"rejectedLogRecords":"-5"}}', Outcome("taken")),
        (200, b'{"partialSuccess":null,"x":[{"y":1}]}', Outcome("taken")),
        (
            200,
            b'{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}',
            Outcome("taken", 2, reason="a part of what was sent is rejected: too old"),
        ),
        (
            200,
            b'{"partialSuccess":{"rejectedLogRecords":3}}',
            Outcome("taken", 3, reason="a part of what was sent is rejected"),
        ),
        (200, b'{"partialSuccess":{"errorMessage":"slower"}}', Outcome("taken", reason="it says: slower")),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, outcome: Outcome) -> None:
    assert outcome_of(Answer(status, "application/json", "", body)) == outcome


@pytest.mark.parametrize(
    "body",
    [
        *[b"<html>Log in</html>", b"{", b"[]", b"\xff\xfe", b'{"partialSuccess":7}', b"{}{}", b"[" * 60_000, b"null"],
        *[b'{"partialSuccess":{"rejectedLogRecords":"x"}}', b'{"partialSuccess":{"rejectedLogRecords":1e300}}'],
        b'{"x":' + b"[" * 60_000,
    ],
)
def test_an_answer_that_is_not_otlp_acknowledges_nothing(body: bytes) -> None:
    outcome = outcome_of(Answer(200, "text/html", "", body))
    assert outcome.verdict == "refused"
    assert "not OTLP as JSON but text/html: is it a collector?" in outcome.reason


def test_a_message_that_is_nested_too_deeply_is_left_out() -> None:
    outcome = outcome_of(Answer(503, "application/json", "", b'{"x":' + b'{"x":' * 10_000))
    assert outcome == Outcome("later", reason="it answers 503 Service Unavailable")


@pytest.mark.parametrize("rejected", ["2", "-5", "999999999999"])
def test_rejected_records_are_lost_and_not_sent_again(rejected: str) -> None:
    body = b'{"partialSuccess":{"rejectedLogRecords":%d}}' % int(rejected)
    with Collector(lambda request: Reply(body=body if request.path == LOGS else b"{}")) as collector:
        sender = Sender(collector.url)
        sender.put(5)
        wait_until(lambda: not sender.counts.waiting)
        lost = max(0, min(5, int(rejected)))
        assert sender.end() == Counts(5, 5 - lost, 0, lost, 0, 0)
        assert pids(collector) == [1, 2, 3, 4, 5]


# ---- collectors that are none ----

_JUNK = b"\x00\x16\x03\x01" * 1000
_HUGE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * (1 << 22)
HOSTILE: dict[str, bytes] = {
    "closes": b"",
    "junk": _JUNK,
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "long line": b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "wrong chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "no status": b"HTTP/1.1 xyz OK\r\n\r\n",
    "zero": b"HTTP/1.1 000 OK\r\n\r\n",
    "huge": _HUGE,
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\nabc",
}


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CUT: dict[str, bytes] = {
    "headers": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "between headers": _OK,
    "before the body": _OK + b"Content-Length: 21\r\n\r\n",
    "body": _OK + b'Content-Length: 21\r\n\r\n{"part',
    "chunk": _OK + b'Transfer-Encoding: chunked\r\n\r\n15\r\n{"part',
}


@contextmanager
def raw_server(text: bytes | Callable[[socket.socket], None]) -> Iterator[int]:
    yield from answers_once(text)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_answers_acknowledge_nothing_and_end_nothing(what: str) -> None:
    with raw_server(HOSTILE[what]) as port:
        sender = Sender(f"http://127.0.0.1:{port}")
        sender.put(5)
        wait_until(lambda: sender.reports)
        assert sender.end(0.3).acknowledged == 0
        assert sender.counts.lost == 5
        assert not [report for report in sender.reports if len(report) > 400]


@pytest.mark.parametrize("what", CUT)
def test_an_answer_that_is_cut_is_none_and_it_is_sent_again(what: str) -> None:
    left = [CUT[what]]

    def cut_once(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(left.pop() if left else _OK + b"Content-Length: 2\r\n\r\n{}")
        connection.close()

    with raw_server(cut_once) as port:
        sender = Sender(f"http://127.0.0.1:{port}")
        sender.put(5)
        wait_until(lambda: sender.counts.acknowledged == 5)
        assert "it closed the connection without a whole answer; it is tried again" in sender.reports[0]
        assert sender.end().lost == 0


def drip(connection: socket.socket) -> None:
    """Send a header that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"a")
        time.sleep(0.02)


def go_on(connection: socket.socket) -> None:
    """Say `100 Continue` without end."""
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"x" * 65536),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: b\r\n" * 5000),
    ],
    ids=["a chunk of -1", "trailers"],
)
def test_an_answer_without_end_is_not_read_on(begin: bytes, more: bytes) -> None:
    sent = [0]

    def flood(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + begin)
        while sent[0] < 1 << 26:
            sent[0] += connection.send(more)

    with raw_server(flood) as port:
        sender = Sender(f"http://127.0.0.1:{port}")
        sender.put(5)
        wait_until(lambda: sender.reports)
        assert "its answer does not end; it is tried again" in sender.reports[0]
        assert sent[0] < 1 << 26
        assert sender.end(0.3).acknowledged == 0


def be_silent(connection: socket.socket) -> None:
    """Read nothing, and say nothing."""
    time.sleep(3600)


@pytest.mark.parametrize("behaviour", [drip, go_on, be_silent])
def test_a_slow_collector_holds_up_nobody(behaviour: Callable[[socket.socket], None]) -> None:
    with raw_server(behaviour) as port:
        sender = Sender(f"http://127.0.0.1:{port}", {"OTEL_EXPORTER_OTLP_TIMEOUT": "200"})
        sender.put(5)
        wait_until(lambda: sender.reports)
        assert "no answer in 0.2 s; it is tried again" in sender.reports[0]
        began_s = time.monotonic()
        sender.put(2000)  # more than a socket takes
        sender.exporter.set_reading(READING)
        took_s = time.monotonic() - began_s
        assert took_s < 20  # and not an hour
        assert sender.end(0.3) == Counts(2005, 0, 0, 0, 2005, 0)


def test_the_end_does_not_wait_for_an_answer_that_does_not_come() -> None:
    with raw_server(be_silent) as port:
        sender = Sender(f"http://127.0.0.1:{port}", {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600000"})
        sender.put(5)
        time.sleep(0.1)
        began_s = time.monotonic()
        assert sender.end(0.3).left == 5
        assert time.monotonic() - began_s < 20
        assert sender.reports == []  # it is our time that is over


def test_that_there_is_no_time_for_an_answer_is_not_the_fault_of_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "FIRST_PAUSE_S", 3600.0)  # the second request is one of the end
    monkeypatch.setattr(target, "LONGEST_PAUSE_S", 3600.0)
    left = [1]

    def close_once(connection: socket.socket) -> None:
        if left and left.pop():
            connection.close()
        else:
            be_silent(connection)

    with raw_server(close_once) as port:
        sender = Sender(f"http://127.0.0.1:{port}")
        sender.put(1)
        wait_until(lambda: sender.reports)
        sender.exporter.flush(time.monotonic() + 0.3)
        sender.exporter.finish(READING, time.monotonic() + 0.3)
        assert len(sender.reports) == 1


def test_the_end_tries_at_once_what_it_would_have_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "FIRST_PAUSE_S", 3600.0)
    monkeypatch.setattr(target, "LONGEST_PAUSE_S", 3600.0)
    with Collector() as collector:
        collector.stop()
        sender = Sender(collector.url)
        sender.put(5)
        wait_until(lambda: sender.reports)
        collector.start()
        assert sender.end() == Counts(5, 5, 0, 0, 0, 0)
        assert len(collector.of(METRICS)) == 1


def test_a_connection_is_kept_and_opened_again_if_it_was_closed() -> None:
    with Collector() as collector:
        sender = Sender(collector.url)
        sender.put(1)
        wait_until(lambda: sender.counts.acknowledged == 1)
        collector.stop()
        collector.start()
        sender.put(1, 1)
        wait_until(lambda: sender.counts.acknowledged == 2)
        assert sender.end().lost == 0
        assert sorted(set(pids(collector))) == [1, 2]
        assert sender.reports == []  # nothing is wrong with the collector


def test_what_comes_before_a_request_is_not_its_answer() -> None:
    def give_up(connection: socket.socket) -> None:
        """Take one request, and say 408 to the silence behind it, as load balancers do."""
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        time.sleep(0.2)
        connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)

    with raw_server(give_up) as port:
        sender = Sender(f"http://127.0.0.1:{port}")
        sender.put(1)
        wait_until(lambda: sender.counts.acknowledged == 1)
        time.sleep(0.5)
        sender.put(1, 1)
        assert sender.end() == Counts(2, 2, 0, 0, 0, 0)
        assert sender.reports == []


def test_reports_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "QUIET_S", 3600.0)
    numbers = iter(range(10**6))
    with Collector(lambda _: Reply(400, b'{"message":"no %d"}' % next(numbers))) as collector:
        sender = Sender(collector.url)

        def refused(number: int) -> bool:
            return sender.counts.refused == number

        for turn in range(5):
            sender.put(1)
            wait_until(partial(refused, turn + 1))
        assert len(sender.reports) == 1
        sender.end()


def test_metrics_and_events_may_have_places_of_their_own() -> None:
    with Collector() as logs, Collector(lambda _: Reply(503)) as metrics:
        places = {
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{logs.url}/l",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{metrics.url}/m",
        }
        sender = Sender("", places)
        sender.exporter.set_reading(READING)
        wait_until(lambda: len(metrics.requests) >= 2)
        sender.put(5)
        wait_until(lambda: sender.counts.acknowledged == 5)  # what is wrong with one is not the other's
        assert {request.path for request in logs.requests} == {"/l"}
        assert {request.path for request in metrics.requests} == {"/m"}
        metrics.reply = lambda _: Reply()
        sender.end()


def test_a_thread_that_sends_events_alone_ends() -> None:
    with Collector() as collector:
        sender = Sender(collector.url, {"OTEL_METRICS_EXPORTER": "none"})
        sender.exporter.set_reading(READING)
        sender.put(5)
        assert sender.end().acknowledged == 5
        wait_until(lambda: "otlp" not in [thread.name for thread in threading.enumerate()])
        assert not collector.of(METRICS)


def test_the_wrong_port_says_which_is_right() -> None:
    endpoint = read_settings("http://127.0.0.1:4317", {}, {}).logs
    assert endpoint is not None
    from ebpftop.serving.otlp.connection import Connection

    reason = Connection(endpoint, None)._reason(http.client.BadStatusLine("x"))
    assert reason == "its answer is not HTTP: this is the port of gRPC, OTLP/HTTP has 4318"


# ---- https ----


def certificate(folder: Path, name: str) -> Path:
    """Make a certificate that signs itself, for 127.0.0.1; its key is in the same file."""
    file = folder / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "certificate"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_bytes((folder / "key").read_bytes() + (folder / "certificate").read_bytes())
    return file


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_https_with_a_certificate_that_is_trusted_and_with_one_that_is_not(tmp_path: Path) -> None:
    file = certificate(tmp_path, "collector")
    with Collector() as collector:
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_tls.load_cert_chain(file)
        assert collector.server is not None
        collector.server.socket = server_tls.wrap_socket(collector.server.socket, server_side=True)
        url = collector.url.replace("http", "https")
        sender = Sender(url, {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(file)}, tls=True)
        sender.put(5)
        assert sender.end() == Counts(5, 5, 0, 0, 0, 0)
        assert pids(collector) == [1, 2, 3, 4, 5]
        stranger = Sender(url, tls=True)
        stranger.put(5)
        wait_until(lambda: stranger.reports)
        assert "its certificate is not trusted: self-signed certificate (OTEL_EXPORTER_OTLP" in stranger.reports[0]
        assert stranger.end(0.3).lost == 5
        assert len(collector.log_records()) == 5


def test_one_of_two_places_may_have_https(tmp_path: Path) -> None:
    file = certificate(tmp_path, "collector")
    with Collector() as collector, Collector() as of_metrics:
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_tls.load_cert_chain(file)
        assert collector.server is not None
        collector.server.socket = server_tls.wrap_socket(collector.server.socket, server_side=True)
        variables = {
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": collector.url.replace("http", "https") + LOGS,
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": of_metrics.url + METRICS,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(file),
        }
        sender = Sender("", variables, tls=True)
        sender.exporter.set_reading(READING)
        sender.put(5)
        wait_until(lambda: of_metrics.of(METRICS))
        assert sender.end() == Counts(5, 5, 0, 0, 0, 0)
        assert sender.reports == []
