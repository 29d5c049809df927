#!/usr/bin/env python3
"""What `ebpftop serve --otlp` costs beside OpenTelemetry's SDK, and what an outage of the collector costs in events.

    .venv/bin/pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    .venv/bin/python benchmarks/otlp.py [--events 20000] [--outage 60] [--rate 400] [--queue 16000000]

Printed are, of the same events (a program that starts, and its end, in turn), sent compressed to a collector that is a
process of its own:

- µs of processor time an event, from the record to the answer, in rounds in turn: medians, and how often the SDK's is
  ours; bytes an event;
- with so many events a second and the collector killed for a while: how many were made, acknowledged and said to be
  lost, and how many of them the collector has. The SDK gets the same events at the same time; it names no number.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

from ebpftop.core.process_records import Exec, Exit
from ebpftop.serving.otlp.exporter import Exporter
from ebpftop.serving.otlp.metrics import MetricsRequest
from ebpftop.serving.otlp.settings import read_settings

ROUNDS = 7
NO_METRICS = {"OTEL_METRICS_EXPORTER": "none"}
_PID = re.compile(rb'"process.pid","value":\{"intValue":"(\d+)"')


def event(number: int) -> Exec | Exit:
    """Return an event; its pid is *number*."""
    now = time.time()
    if number % 2:
        return Exit(
            time=now, pid=number, uid=1000, comm="make", code=0, signal=None, duration_s=0.013 + number * 1e-7,
            start_ns=10**12 + number * 10**6, ppid=812, user_s=0.008, system_s=0.003,
            max_rss_bytes=4_000_000 + number % 512 * 4096, major_faults=0, minor_faults=300 + number % 97,
            read_bytes=8000 + number % 511, written_bytes=number % 311, storage_read_bytes=0, storage_written_bytes=0,
            threads=1,
        )  # fmt: skip
    return Exec(
        time=now, pid=number, tid=number, ppid=812, uid=1000, user="builder", comm="cc1", file="/usr/bin/cc",
        argv=("cc", "-c", f"file{number}.c"), truncated=False, ret=0, error=None,
        cgroup="/system.slice/build.service", start_ns=10**12 + number * 10**6, pcomm="make", euid=1000, nspid=number,
        unit="build.service", exe=f"/usr/libexec/gcc/cc{number % 5}", cwd=f"/home/builder/part{number % 40}", sid=7,
    )  # fmt: skip


def attributes_of(record: Exec | Exit) -> dict[str, Any]:
    """Return what we send of it, for the SDK: as a program that uses it would write it."""
    if isinstance(record, Exec):
        return {
            "process.pid": record.pid, "process.parent_pid": record.ppid, "process.real_user.id": record.uid,
            "process.user.id": record.euid, "ebpftop.comm": record.comm, "ebpftop.exec.file": record.file,
            "ebpftop.start_ns": record.start_ns, "process.real_user.name": record.user or "",
            "process.executable.path": record.exe or "",
            "process.executable.name": (record.exe or "").rpartition("/")[2], "process.args_count": len(record.argv),
            "process.working_directory": record.cwd or "", "process.session_leader.pid": record.sid,
            "process.linux.cgroup": f"0::{record.cgroup}", "ebpftop.unit": record.unit or "",
            "ebpftop.parent_comm": record.pcomm,
        }  # fmt: skip
    return {
        "process.pid": record.pid, "process.parent_pid": record.ppid, "process.real_user.id": record.uid,
        "ebpftop.comm": record.comm, "ebpftop.start_ns": record.start_ns, "process.exit.code": record.code or 0,
        "ebpftop.exit.duration_s": record.duration_s or 0.0, "ebpftop.exit.user_s": record.user_s or 0.0,
        "ebpftop.exit.system_s": record.system_s or 0.0, "ebpftop.exit.max_rss_bytes": record.max_rss_bytes or 0,
        "ebpftop.exit.major_faults": record.major_faults or 0, "ebpftop.exit.minor_faults": record.minor_faults or 0,
        "ebpftop.exit.read_bytes": record.read_bytes or 0, "ebpftop.exit.written_bytes": record.written_bytes or 0,
        "ebpftop.exit.storage_read_bytes": 0, "ebpftop.exit.storage_written_bytes": 0,
        "ebpftop.exit.threads": record.threads or 0,
    }  # fmt: skip


def collect(port: int, file: Path) -> None:
    """Be a collector: note in *file* what comes before it is acknowledged."""
    with open(file, "a", buffering=1) as notes:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(sent)
                kind = self.headers["Content-Type"]
                found = [int(number) for number in _PID.findall(body)]
                notes.write(json.dumps([kind, found, body.count(b"ebpftop.start_ns"), len(sent)]) + "\n")
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        Server(("127.0.0.1", port), Handler).serve_forever()


class Collector:
    """A collector that is a process."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "notes"
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        words = [sys.executable, __file__, "--collect", str(self.port), str(self._file)]
        self._child = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill it."""
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()

    def notes(self, kind: str) -> list[tuple[list[int], int, int]]:
        """Return of each request of *kind* the pids, the number of events, and the bytes."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [tuple(rest) for one, *rest in map(json.loads, lines) if kind in one]


def ours(port: int, queue: int, version: str = "0") -> Exporter:
    """Return our exporter of events alone."""
    settings = read_settings(f"http://127.0.0.1:{port}", NO_METRICS, {"service.name": "ebpftop", "host.name": "web-1"})
    exporter = Exporter(
        settings, None, version, lambda text: print(f"    {text}"),
        metrics=MetricsRequest({}, version, "none"), events="all", args="none", limit_bytes=queue,
    )  # fmt: skip
    exporter.start()
    return exporter


class Theirs:
    """The SDK, with its exporter of OTLP/HTTP (protobuf) and its own settings, but for the compression."""

    def __init__(self, port: int) -> None:
        try:
            logs, export = import_module("opentelemetry.sdk._logs"), import_module("opentelemetry.sdk._logs.export")
            http = import_module("opentelemetry.exporter.otlp.proto.http")
            exporter = import_module("opentelemetry.exporter.otlp.proto.http._log_exporter").OTLPLogExporter
            self._api = import_module("opentelemetry._logs")
            resource = import_module("opentelemetry.sdk.resources").Resource
        except ImportError as error:
            raise SystemExit(
                f"{error}: the peer is missing; "
                "install it: .venv/bin/pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
            ) from error
        made = exporter(endpoint=f"http://127.0.0.1:{port}/v1/logs", compression=http.Compression.Gzip)
        attributes = {"service.name": "ebpftop", "host.name": "web-1"}
        self._provider = logs.LoggerProvider(resource=resource.create(attributes))
        self._provider.add_log_record_processor(export.BatchLogRecordProcessor(made))
        self._logger = self._provider.get_logger("ebpftop")

    def put(self, records: list[Exec | Exit]) -> None:
        """Send *records*."""
        for record in records:
            is_exec = isinstance(record, Exec)
            self._logger.emit(
                self._api.LogRecord(
                    timestamp=round(record.time * 1e9),
                    observed_timestamp=time.time_ns(),
                    severity_number=self._api.SeverityNumber.INFO,
                    severity_text="INFO",
                    body=f"{record.comm} started" if is_exec else f"{record.comm} ended",
                    attributes=attributes_of(record),
                    event_name="ebpftop.exec" if is_exec else "ebpftop.exit",
                )
            )

    def flush(self) -> None:
        """Wait until all is sent."""
        self._provider.force_flush(60_000)

    def end(self) -> None:
        """End it."""
        self._provider.shutdown()


def cost(events: int, folder: Path) -> None:
    """Print the processor time of an event."""
    collector = Collector(folder)
    own, sdk = ours(collector.port, 1 << 30), Theirs(collector.port)
    times: dict[str, list[float]] = {"own": [], "sdk": []}
    made = 0
    for _ in range(ROUNDS):
        records = [event(number) for number in range(events)]
        parts = [records[first : first + 512] for first in range(0, events, 512)]
        began_s = time.process_time()
        for part in parts:
            own.put(part)
        made += events
        while own.counts().acknowledged < made:
            time.sleep(0.05)
        times["own"].append(time.process_time() - began_s)
        began_s = time.process_time()
        for part in parts:
            sdk.put(part)
            sdk.flush()  # else its queue of 2,048 would overflow, and it would drop them
        times["sdk"].append(time.process_time() - began_s)
    own.flush(time.monotonic() + 10)
    sdk.end()
    collector.kill()
    mine, peer = (statistics.median(times[one]) / events * 1e6 for one in ("own", "sdk"))
    bytes_of = {kind: collector.notes(kind) for kind in ("json", "protobuf")}
    sizes = {kind: sum(note[2] for note in notes) / sum(note[1] for note in notes) for kind, notes in bytes_of.items()}
    print(f"ebpftop             {mine:6.1f} us an event, {sizes['json']:.0f} bytes compressed")
    print(f"opentelemetry-sdk   {peer:6.1f} us an event, {sizes['protobuf']:.0f} bytes compressed")
    print(f"                    {peer / mine:6.1f} times as much")


def outage(rate: int, seconds: float, queue: int, folder: Path) -> None:
    """Print what became of the events when the collector was killed for a while."""
    collector = Collector(folder)
    own, sdk = ours(collector.port, queue), Theirs(collector.port)
    began_s, number, around_s = time.monotonic(), 0, 10.0  # before it; twice as long behind it
    is_up = True
    print(f"{rate} events a second, the collector is killed for {seconds:g} s, the queue has {queue:,} bytes")
    while (passed_s := time.monotonic() - began_s) < 3 * around_s + seconds:
        if is_up and around_s <= passed_s < around_s + seconds:
            collector.kill()
            is_up = False
        elif not is_up and passed_s >= around_s + seconds:
            collector.start()
            is_up = True
        due = int(passed_s * rate)
        records = [event(one) for one in range(number, due)]
        own.put(records)
        sdk.put(records)
        number = due
        time.sleep(0.05)
    counts = own.flush(time.monotonic() + 60)
    sdk.flush()
    sdk.end()
    collector.kill()
    received = {pid for pids, _, _ in collector.notes("json") for pid in pids}
    print(f"  ebpftop             {counts.made:,} made = {counts.acknowledged:,} acknowledged + {counts.lost:,} lost")
    wrong = " (WRONG)" * (len(received) != counts.acknowledged or counts.made != counts.acknowledged + counts.lost)
    print(f"                      the collector has {len(received):,} of them{wrong}")
    theirs = sum(count for _, count, _ in collector.notes("protobuf"))
    print(f"  opentelemetry-sdk   {number:,} made, the collector has {theirs:,}: {1 - theirs / number:.0%} are missing")


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--outage", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=400)
    parser.add_argument("--queue", type=int, default=16_000_000)
    parser.add_argument("--collect", nargs=2, metavar=("PORT", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.collect:
        collect(int(args.collect[0]), Path(args.collect[1]))
        return
    logging.disable()  # of the SDK: a line for each failure
    with tempfile.TemporaryDirectory() as folder:
        for part in ("cost", "outage", "small"):
            (Path(folder) / part).mkdir()
        if args.events:
            cost(args.events, Path(folder) / "cost")
        if args.outage:
            outage(args.rate, args.outage, args.queue, Path(folder) / "outage")
            outage(args.rate, args.outage, 64_000, Path(folder) / "small")


if __name__ == "__main__":
    main()
