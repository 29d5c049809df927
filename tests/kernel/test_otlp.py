"""`ebpftop serve --otlp` on this kernel: what happened is what a collector gets, or what is said to be lost."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.collector import LOGS, METRICS, Collector, Reply, plain, wait_until
from tests.kernel.support import needs_root
from tests.kernel.test_serve import end_with
from tests.kernel.workload_context import WANTED_UID, failing, in_child, programs
from tests.prometheus import free_port

pytestmark = needs_root

_SENTENCE = re.compile(r"([\d,]+) events?, ([\d,]+) acknowledged, (?:none|([\d,]+)) lost")


class Sending:
    """`ebpftop serve --otlp` as a child process, of what WANTED_UID does."""

    def __init__(self, url: str, *arguments: str, **environment: str) -> None:
        words = ["serve", "--otlp", url, "--uid", str(WANTED_UID), "--interval", "0.2", *arguments]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "ebpftop", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**variables, "EBPFTOP_END_S": "30", "OTEL_METRIC_EXPORT_INTERVAL": "300", **environment},
        )
        assert self.child.stderr is not None
        self.first = self.child.stderr.readline()

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.stop()

    def stop(self) -> tuple[int, str]:
        """End it; return its status, and what it wrote on stderr."""
        self.child.send_signal(signal.SIGTERM)
        stdout, stderr = self.child.communicate(timeout=120)
        assert stdout == ""
        return self.child.returncode, stderr

    def accounts(self) -> tuple[int, int, int]:
        """End it; return how many events it says were made, acknowledged and lost."""
        status, stderr = self.stop()
        assert status == 0
        found = _SENTENCE.search(stderr)
        assert found, stderr
        made, acknowledged, lost = (int((number or "0").replace(",", "")) for number in found.groups())
        assert made == acknowledged + lost, stderr
        return made, acknowledged, lost


def words_of(collector: Collector) -> Counter[tuple[str, str]]:
    """Count the events of each word that a program was run with, as (event, word); those sent twice count once.

    An end has no word: it is that of the program of the same process.
    """
    of_process: dict[tuple[Any, Any], str] = {}
    found: set[tuple[str, Any, Any, str]] = set()
    for record in sorted(collector.log_records(), key=lambda one: str(one["eventName"])):  # starts before ends
        attributes = plain(record["attributes"])
        process = attributes["process.pid"], attributes["ebpftop.start_ns"]
        if record["eventName"] == "ebpftop.exec":
            of_process[process] = attributes["process.command_args"][-1]
        if process in of_process:
            found.add((record["eventName"], *process, of_process[process]))
    return Counter((name, word) for name, _, _, word in found)


def distinct(collector: Collector) -> set[tuple[Any, ...]]:
    """Return what tells the log records from each other; what was sent twice is there once."""
    names = ("process.pid", "ebpftop.start_ns")
    return {
        (record["eventName"], record["timeUnixNano"], *(plain(record["attributes"])[name] for name in names))
        for record in collector.log_records()
    }


def work(first: int, count: int) -> None:
    """Run /bin/true with each number, as the user that is watched."""
    in_child(programs(*map(str, range(first, first + count))), uid=WANTED_UID)


def test_what_happened_is_what_a_collector_gets() -> None:
    with Collector() as collector:
        resource = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test", "OTEL_SERVICE_NAME": "machines"}
        with Sending(collector.url, "--events", "all", "--args", "all", **resource) as sending:
            assert f"{collector.url}/v1/metrics every 0.3 s, events to {collector.url}/v1/logs (all)" in sending.first
            wait_until(lambda: collector.of(METRICS))
            work(0, 20)
            in_child(failing(3), uid=WANTED_UID)
            in_child(lambda: end_with(0, 7, -9), uid=WANTED_UID)
            # Programs, their ends, the failures; ends of the three children that ran nothing and of their children.
            wait_until(lambda: len(collector.log_records()) >= 2 * 20 + 3 + 6)
            made, acknowledged, lost = sending.accounts()
        records = collector.log_records()
        assert (made, acknowledged, lost) == (len(records), len(records), 0)
        assert words_of(collector) >= Counter(
            {(event, str(word)): 1 for word in range(20) for event in ("ebpftop.exec", "ebpftop.exit")}
        )
        attributes = [plain(record["attributes"]) for record in records]
        assert {one["process.real_user.id"] for one in attributes} == {WANTED_UID}
        failed = [one for one in attributes if one.get("ebpftop.exec.file") == "/nonexistent/program"]
        assert [one["error.type"] for one in failed] == ["ENOENT"] * 3
        ended = Counter(one.get("process.exit.code", one.get("ebpftop.exit.signal")) for one in attributes)
        assert (ended[7], ended["SIGKILL"]) == (1, 1)
        started = next(one for one in attributes if one.get("process.executable.name") == "true")
        assert os.path.samefile(started["process.executable.path"], "/bin/true")
        of_all = plain(collector.of(LOGS)[0].body["resourceLogs"][0]["resource"]["attributes"])
        assert of_all["host.name"] == of_all["service.instance.id"] == os.uname().nodename
        assert (of_all["service.name"], of_all["deployment.environment.name"]) == ("machines", "test")
        # The totals of the last metrics are those of all the events.
        last = collector.of(METRICS)[-1].metrics()
        (execs,) = last["ebpftop.execs"]["sum"]["dataPoints"]
        assert (plain(execs["attributes"])["uid"], execs["asInt"]) == (str(WANTED_UID), "23")
        ends = {
            (labels["reason"], labels["signal"]): int(point["asInt"])
            for point in last["ebpftop.process.exits"]["sum"]["dataPoints"]
            if (labels := plain(point["attributes"]))
        }
        assert (ends["error", ""], ends["signal", "SIGKILL"]) == (1, 1)
        assert last["ebpftop.syscall.duration"]["histogram"]["dataPoints"]


def test_only_failures_and_no_argument_unless_it_is_asked_for() -> None:
    with Collector() as collector, Sending(collector.url) as sending:
        wait_until(lambda: collector.of(METRICS))
        work(0, 5)
        in_child(failing(2), uid=WANTED_UID)
        wait_until(lambda: len(collector.log_records()) >= 2)
        assert sending.accounts() == (2, 2, 0)
        assert {record["severityText"] for record in collector.log_records()} == {"WARN"}
        assert "process.command_args" not in str(collector.log_records())


def test_a_collector_that_is_killed_and_comes_back_misses_nothing() -> None:
    with Collector() as collector, Sending(collector.url, "--events", "all", "--args", "all") as sending:
        wait_until(lambda: collector.of(METRICS))
        work(0, 100)
        wait_until(collector.log_records)
        collector.stop()
        for turn in range(5):
            work(100 + 100 * turn, 100)
            time.sleep(1.0)
        collector.start()
        work(600, 100)
        wait_until(lambda: len(words_of(collector)) == 2 * 700)
        made, acknowledged, lost = sending.accounts()
        assert (made, acknowledged, lost) == (2 * 700 + 7, 2 * 700 + 7, 0)  # and the ends of those that ran them
        assert set(words_of(collector).values()) == {1}
        assert len(distinct(collector)) == acknowledged


def test_what_a_small_queue_cannot_hold_is_said_to_be_lost() -> None:
    options = ("--events", "all", "--args", "all", "--otlp-queue", "64kB", "--listen", "127.0.0.1:0")
    with Collector() as collector, Sending(collector.url, *options) as sending:
        wait_until(lambda: collector.of(METRICS))
        collector.stop()
        # What cannot be compressed: three times the queue.
        in_child(programs(*(os.urandom(400).hex() for _ in range(500))), uid=WANTED_UID)
        time.sleep(2.0)
        received = len(collector.log_records())
        collector.start()
        wait_until(lambda: len(collector.log_records()) > received)
        time.sleep(1.0)  # it has room again, for 40 events of some 1,200 bytes that come at once
        work(500, 20)

        def lost_by_metrics() -> int:
            points = collector.of(METRICS)[-1].metrics()["ebpftop.lost"]["sum"]["dataPoints"]
            of_all = {tuple(plain(point["attributes"]).values()): int(point["asInt"]) for point in points}
            return of_all["execs", "export"]

        wait_until(lost_by_metrics)
        wait_until(lambda: ("ebpftop.exit", "519") in words_of(collector))
        made, acknowledged, lost = sending.accounts()
        assert made == 2 * 520 + 2  # and the ends of those that ran them
        assert 0 < lost == lost_by_metrics()
        assert acknowledged == len(distinct(collector))


def test_a_collector_that_is_not_there_is_said_and_what_was_lost() -> None:
    with Collector() as collector:
        collector.stop()
        with Sending(collector.url, "--events", "all", EBPFTOP_END_S="10") as sending:
            assert sending.child.stderr is not None
            assert "it is tried again" in sending.child.stderr.readline()
            work(0, 5)
            time.sleep(1.0)
            began_s = time.monotonic()
            status, stderr = sending.stop()
            assert time.monotonic() - began_s < 60  # its ten seconds, on a busy machine
    assert status == 0
    assert re.search(r"11 events, 0 acknowledged, 11 lost: 11 were left at the end", stderr), stderr


def test_a_collector_that_refuses_is_said() -> None:
    refusal = Reply(401, b'{"message":"no key"}')
    with Collector(lambda _: refusal) as collector, Sending(collector.url, "--events", "all") as sending:
        work(0, 5)
        wait_until(lambda: collector.of(LOGS))
        made, acknowledged, lost = sending.accounts()
        assert (acknowledged, lost) == (0, made)


ROTEL = importlib.util.find_spec("rotel")


class Rotel:
    """A collector of others, that hands what it takes to *behind*, as protobuf."""

    def __init__(self, folder: Path, behind: Collector) -> None:
        assert ROTEL is not None
        assert ROTEL.origin is not None
        self._folder = folder
        self._behind = behind
        self._program = Path(ROTEL.origin).with_name("rotel-agent")
        self._child: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with open(self._folder / "log", "ab") as log:
            self._child = subprocess.Popen(
                [
                    *(self._program, "start", "--otlp-http-endpoint", f"127.0.0.1:{self.port}"),
                    *("--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--pid-file", self._folder / "pid"),
                    *("--exporter", "otlp", "--otlp-exporter-protocol", "http", "--batch-timeout", "50ms"),
                    *("--otlp-exporter-endpoint", self._behind.url),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        wait_until(self._listens)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def kill(self) -> None:
        """Kill it: what it has taken and not handed on is gone."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()


@pytest.mark.skipif(ROTEL is None, reason="rotel is not installed (the extra `test` has it where it is built for)")
def test_a_collector_of_others_takes_it_is_killed_and_takes_all_the_rest(tmp_path: Path) -> None:
    def ends(behind: Collector) -> int:
        # Each log record has one.
        return sum(int(request.body.count(b"ebpftop.start_ns")) for request in behind.of(LOGS))

    with Collector(lambda _: Reply(body=b"", kind="application/x-protobuf")) as behind:
        rotel = Rotel(tmp_path, behind)
        try:
            with Sending(f"http://127.0.0.1:{rotel.port}", "--events", "all") as sending:
                wait_until(lambda: behind.of(METRICS))
                work(0, 100)
                wait_until(lambda: ends(behind) == 201)  # with the end of what ran them
                rotel.kill()
                for turn in range(3):
                    work(100 + 100 * turn, 100)
                    time.sleep(1.0)
                rotel.start()
                work(400, 100)
                wait_until(lambda: ends(behind) == 1005)
                assert sending.accounts() == (1005, 1005, 0)
        finally:
            rotel.kill()
        assert ends(behind) == 1005
        metrics = behind.of(METRICS)[-1].body
        for name in (b"ebpftop.execs", b"ebpftop.syscall.duration", b"ebpftop.process.exits", b"ebpftop.lost"):
            assert name in metrics


def test_errors_come_before_anything_is_attached() -> None:
    for words, environment, text in (
        (["--otlp", "c:4318"], {}, "this is not an URL of http or https"),
        (["--otlp"], {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "ebpftop speaks http/json only"),
        (["--events", "all"], {}, "nothing is sent; add --otlp URL"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ebpftop", "serve", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **environment},
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert text in done.stderr
