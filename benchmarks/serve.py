#!/usr/bin/env python3
"""What `ebpftop serve` costs: a scrape beside prometheus_client, and a hundred hosts that one Prometheus scrapes.

    .venv/bin/pip install prometheus_client
    .venv/bin/python benchmarks/serve.py [--hosts 100] [--calls 110] [--stopped 60] [--interval 5]

Needs Prometheus (apt-get install prometheus). A host is a listener of its own, as `serve` has it, whose totals change
every five seconds as those of a machine that makes *calls* different system calls. Printed are:

- the series of a host, for each choice of histograms;
- ms of processor time to write the text of a reading, and that prometheus_client takes for the same series; ms until
  it is there over HTTP, plain and compressed: medians, in the same rounds;
- of all hosts, scraped by one Prometheus: how long scrapes took (Prometheus' own figure), the time of the agents'
  process for each, and whether `increase()` is exact after Prometheus was stopped for a while.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from ebpftop.commands.serve import INTERVAL_S, PROBES, Served
from ebpftop.core.ending_records import EndingRow, Endings
from ebpftop.core.records import SCHEMA, Cost, Header, Probe, Record
from ebpftop.core.syscall_records import SyscallRow, Syscalls
from ebpftop.core.user_records import UserRow, Users
from ebpftop.serving.address import Address
from ebpftop.serving.listener import Listener, listen
from ebpftop.serving.prometheus import exposition
from ebpftop.serving.reading import TotalsReading
from ebpftop.serving.totals import Totals
from ebpftop.syscalls import abi
from ebpftop.syscalls.errno_names import error_names

ROUNDS = 200
PARTS = 20
"""So many parts of the hosts are read one after the other, not all at once: each host has its own clock."""


class Host:
    """A machine whose totals grow."""

    def __init__(self, calls: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._calls = calls
        self._step = 0
        self._histograms = [[0] * 36 for _ in range(calls)]
        self.totals = Totals(Header(schema=SCHEMA, version="0", kernel="6.1", started=time.time()), PROBES)
        self.totals.update(
            Probe(time=time.time(), probe=probe, state="on", via="raw_tracepoint:sys_exit", reason=None)
            for probe in PROBES
        )
        self.grow()

    @property
    def ended(self) -> int:
        """How many processes ended well."""
        return 7 * self._step

    def grow(self) -> TotalsReading:
        """Return the next reading: half of the calls were made."""
        self._step += 1
        self.totals.update(self._records())
        return self.totals.reading()

    def _records(self) -> Iterator[Record]:
        now = time.time()
        for histogram in self._histograms:
            if self._random.random() < 0.5:
                histogram[self._random.randrange(36)] += self._random.randrange(1, 1000)
        yield Syscalls(time=now, rows=tuple(map(self._row, range(self._calls))))
        rows = (UserRow(uid=uid, user=f"user{uid}", execs=self._step * uid, failed=self._step) for uid in range(12))
        yield Users(time=now, rows=tuple(rows))
        yield Endings(time=now, rows=(EndingRow(reason="ok", signal="", count=self.ended),))
        yield Cost(time=now, kernel=0.01, user=0.01, runs=1000)

    def _row(self, nr: int) -> SyscallRow:
        count = sum(self._histograms[nr])
        errnos = dict.fromkeys(error_names()[1 : 1 + nr % 5], self._step) if nr % 3 == 0 else {}
        return SyscallRow(
            abi="x86_64", nr=nr, name=abi.name("x86_64", nr), count=count, errors=sum(errnos.values()), slot=nr,
            histogram_ns=tuple(self._histograms[nr]), total_ns=count * 1234, errnos=errnos,
        )  # fmt: skip


class Theirs:
    """The same series by prometheus_client."""

    def __init__(self, reading: Callable[[], TotalsReading]) -> None:
        self._reading = reading

    def collect(self) -> Iterator[object]:
        """Yield the families that make nearly all series."""
        reading, core = self._reading(), import_module("prometheus_client.core")
        calls = core.CounterMetricFamily("ebpftop_syscalls", "Calls.", labels=("abi", "syscall"))
        errors = core.CounterMetricFamily("ebpftop_syscall_errors", "Errors.", labels=("abi", "syscall", "errno"))
        durations = core.HistogramMetricFamily(
            "ebpftop_syscall_duration_seconds", "Durations.", labels=("abi", "syscall")
        )
        ends = core.CounterMetricFamily("ebpftop_process_exits", "Ends.", labels=("reason", "signal"))
        for call in reading.calls:
            calls.add_metric((call.abi, call.call), call.total)
            buckets = [(str(2**p / 1e9), sum(call.histogram_ns[:p])) for p in range(10, 35, 4)]
            buckets.append(("+Inf", sum(call.histogram_ns)))
            durations.add_metric((call.abi, call.call), buckets, call.total_ns / 1e9)
        for error in reading.call_errors:
            errors.add_metric(error[:3], error.total)
        for end in reading.ends:
            ends.add_metric(end[:2], end.total)
        yield from (calls, errors, durations, ends)


def ms(times_s: list[float]) -> str:
    """Return the median in ms, and the slowest of a hundred."""
    return f"{statistics.median(times_s) * 1e3:6.2f} ms (99%: {statistics.quantiles(times_s, n=100)[98] * 1e3:.2f})"


def get(port: int, *, packed: bool) -> float:
    """Scrape once; return the seconds."""
    began_s = time.perf_counter()
    client = http.client.HTTPConnection("127.0.0.1", port)
    client.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"} if packed else {})
    client.getresponse().read()
    return time.perf_counter() - began_s


def one_host(calls: int) -> None:
    """Print what a scrape of one host takes."""
    host = Host(calls, 0)
    for _ in range(100):
        host.grow()
    for kind in ("none", "coarse", "full"):
        text = exposition(host.grow(), kind)
        series = sum(1 for line in text.splitlines() if not line.startswith(b"#"))
        print(f"--histograms {kind:7} {series:5} series, {len(text) / 1e3:6.1f} kB")
    served = Served(host.grow(), "coarse", 1.0)
    listener = Listener(listen(Address("127.0.0.1", 0)), served.text, served.health)
    listener.start()
    client = import_module("prometheus_client")
    registry = client.CollectorRegistry()
    registry.register(Theirs(host.totals.reading))
    writing, plain, packed, theirs, updates = [], [], [], [], []
    for _ in range(ROUNDS):
        records = list(host._records())
        began_s = time.thread_time()
        host.totals.update(records)
        served.set(host.totals.reading())
        updates.append(time.thread_time() - began_s)
        began_s = time.thread_time()
        exposition(host.totals.reading())
        writing.append(time.thread_time() - began_s)
        began_s = time.thread_time()
        client.generate_latest(registry)
        theirs.append(time.thread_time() - began_s)
        plain.append(get(listener.port, packed=False))
        served.set(host.grow())
        packed.append(get(listener.port, packed=True))
    listener.close()
    print(f"writing the text        {ms(writing)}")
    print(f"prometheus_client       {ms(theirs)}, {statistics.median(theirs) / statistics.median(writing):.1f} times")
    print(f"a scrape over HTTP      {ms(plain)}, with the client's part")
    print(f"a scrape, compressed    {ms(packed)}")
    print(f"a reading into totals   {ms(updates)}")


class Prometheus:
    """One Prometheus that scrapes all hosts."""

    def __init__(self, folder: Path, ports: list[int], interval_s: float) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._port = server.getsockname()[1]
        targets = ",".join(f"'127.0.0.1:{port}'" for port in ports)
        (folder / "p.yml").write_text(
            f"global: {{scrape_interval: {interval_s:g}s, scrape_timeout: {interval_s:g}s}}\n"
            f"scrape_configs: [{{job_name: e, static_configs: [{{targets: [{targets}]}}]}}]\n"
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it answers."""
        places = (f"--config.file={self._folder}/p.yml", f"--storage.tsdb.path={self._folder}/d")
        child = subprocess.Popen(
            ["prometheus", *places, f"--web.listen-address=127.0.0.1:{self._port}"], stderr=subprocess.DEVNULL
        )
        while not self.ask("vector(1)"):
            time.sleep(0.2)
        return child

    def ask(self, query: str, at: float | None = None) -> list[dict[str, list[list[float]]]]:
        """Return the answer to a query; nothing while it does not answer."""
        asked = urllib.parse.urlencode({"query": query, **({} if at is None else {"time": f"{at:.3f}"})})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/query?{asked}") as answer:
                found: list[dict[str, list[list[float]]]] = json.load(answer)["data"]["result"]
                return found
        except OSError:
            return []

    def number(self, query: str) -> float:
        """Return the one number that a query gives."""
        return float(self.ask(query)[0]["value"][1])  # type: ignore[arg-type]  # of a vector


def many_hosts(hosts: int, calls: int, stopped_s: float, interval_s: float) -> None:
    """Print what scraping all of them takes, and whether anything is missing after a time without Prometheus."""
    machines = [Host(calls, seed) for seed in range(hosts)]
    served = [Served(host.grow(), "coarse", 1.0) for host in machines]
    listeners = [Listener(listen(Address("127.0.0.1", 0)), one.text, one.health) for one in served]
    for listener in listeners:
        listener.start()
    over = threading.Event()
    growing_s = [0.0]

    def grow() -> None:
        turn = 0
        while not over.wait(INTERVAL_S / PARTS):
            began_s = time.thread_time()
            for host, one in list(zip(machines, served, strict=True))[turn::PARTS]:
                one.set(host.grow())
            turn = (turn + 1) % PARTS
            growing_s[0] += time.thread_time() - began_s

    grower = threading.Thread(target=grow)
    grower.start()
    with tempfile.TemporaryDirectory() as folder:
        prometheus = Prometheus(Path(folder), [listener.port for listener in listeners], interval_s)
        child = prometheus.start()
        begin_s, began_growing_s = time.process_time(), growing_s[0]
        time.sleep(6 * interval_s)
        scrapes = prometheus.number("sum(count_over_time(up[10m]))")
        own_s = time.process_time() - begin_s - (growing_s[0] - began_growing_s)
        series = prometheus.number("max(scrape_samples_scraped)")
        clock = "quantile_over_time(0.5, scrape_duration_seconds[10m])"
        median, slowest = (prometheus.number(f"quantile({q}, {clock})") * 1e3 for q in (0.5, 1))
        print(f"{hosts} hosts, {series:.0f} series each, every {interval_s:g} s:")
        print(f"  agents' CPU for a scrape         {own_s / scrapes * 1e3:6.2f} ms, the compression included")
        print(f"  a scrape by Prometheus' clock    {median:6.2f} ms, of the slowest host {slowest:.1f} (medians)")
        child.terminate()
        child.wait()
        print(f"  Prometheus is stopped for {stopped_s:g} s")
        time.sleep(stopped_s)
        child = prometheus.start()
        time.sleep(3 * interval_s)
        wrong = 0
        for found in prometheus.ask('ebpftop_process_exits_total{reason="ok"}[1h]'):
            (first, before), *_, (last, after) = found["values"]
            labels = ",".join(f'{name}="{value}"' for name, value in found["metric"].items() if name != "__name__")  # type: ignore[attr-defined]  # an object
            query = f"increase(ebpftop_process_exits_total{{{labels}}}[{round((last - first) * 1000)}ms])"
            increase = float(prometheus.ask(query, last)[0]["value"][1])  # type: ignore[arg-type]  # of a vector
            wrong += round(increase) != float(after) - float(before) or (float(after) - float(before)) % 7 != 0
        print(f"  increase() of {hosts} counters over all of it: {hosts - wrong} exact, {wrong} not")
        child.terminate()
        child.wait()
    over.set()
    grower.join()
    for listener in listeners:
        listener.close()


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--calls", type=int, default=110)
    parser.add_argument("--stopped", type=float, default=60.0)
    parser.add_argument("--interval", type=float, default=5.0)
    args = parser.parse_args()
    one_host(args.calls)
    many_hosts(args.hosts, args.calls, args.stopped, args.interval)


if __name__ == "__main__":
    main()
