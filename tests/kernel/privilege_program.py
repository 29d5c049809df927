"""A program for test_privileges: attach, give up privileges as the commands do, then use everything once.

    python -m tests.kernel.privilege_program            everything
    python -m tests.kernel.privilege_program CAP...     give these up too, and turn each probe off and on

Prints one JSON object: what worked, by name, and what the kernel knows of each thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ebpftop.cli.commands import parser
from ebpftop.commands.kernel_options import open_kernel, options_of, root_work
from ebpftop.commands.redirect import redirect_stdio
from ebpftop.core.process_records import Exec
from ebpftop.core.program_records import Programs
from ebpftop.core.records import Cost, Probe, ProbeName, Record
from ebpftop.core.source import SourceError
from ebpftop.core.syscall_records import Syscall, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.filters.spec import Filter
from ebpftop.kernel import capabilities, tracefs
from ebpftop.kernel.capabilities import Cap
from ebpftop.sources.live import KernelSource

FIELDS = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
PROBES = "execs,users,syscalls,trace,programs"
_PATIENCE_S = 10.0


def threads(pid: int) -> list[dict[str, str]]:
    """Return what the kernel says of the privileges of each thread of a process (proc_pid_status(5))."""
    found = []
    for thread in Path("/proc", str(pid), "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            lines = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
            found.append({field: " ".join(lines[field].split()) for field in FIELDS})
    return found


class Trial:
    """One use of everything."""

    def __init__(self, source: KernelSource) -> None:
        self.source = source
        self.worked: dict[str, bool] = {}

    def see(self, probe: ProbeName, holds: Callable[[Record], bool], patience_s: float = _PATIENCE_S) -> bool:
        """Tell whether *probe* brings a record for which *holds* is true."""
        until_s = time.monotonic() + patience_s
        while time.monotonic() < until_s:
            batch = self.source.poll(probe, 0.1)
            if batch is not None and any(map(holds, batch.records)):
                return True
        return False

    def try_(self, name: str, work: Callable[[], bool]) -> None:
        """Note whether *work* did what it should."""
        try:
            self.worked[name] = work()
        except (OSError, SourceError) as error:
            sys.stderr.write(f"{name}: {error}\n")
            self.worked[name] = False

    def toggle(self, probe: ProbeName) -> bool:
        """Turn a probe off and on: it stands on the same attach options as before."""
        told: list[Probe] = []

        def note(record: Record) -> bool:
            if isinstance(record, Probe):
                told.append(record)
            return isinstance(record, Probe)

        for _ in range(2):
            self.source.toggle(probe)
            self.see(probe, note)
        attempts = [[attempt.via for attempt in record.attempts if attempt.reason is None] for record in told]
        return [record.state for record in told] == ["off", "on"] and attempts[0] == attempts[1]

    def execs(self) -> bool:
        subprocess.run(["/bin/true", "given-up"], check=True)
        return self.see("execs", lambda record: isinstance(record, Exec) and "given-up" in record.argv)

    def users(self) -> bool:
        subprocess.run(["/bin/true"], check=True)
        return self.see("users", lambda r: isinstance(r, Users) and any(row.execs for row in r.rows))

    def calls(self) -> bool:
        os.getppid()
        return self.see("syscalls", lambda r: isinstance(r, Syscalls) and bool(r.rows))

    def traces(self) -> bool:
        subprocess.run(["/bin/true"], check=True)
        return self.see("trace", lambda record: isinstance(record, Trace))

    def told(self) -> bool:
        self.source.set_handlers([("x86_64" if os.uname().machine == "x86_64" else "arm64", _GETPPID)], "trace")
        os.getppid()
        return self.see("syscalls", lambda record: isinstance(record, Syscall) and record.name == "getppid")

    def cost(self) -> bool:
        return self.see("execs", lambda record: isinstance(record, Cost) and record.kernel is not None)

    def programs(self) -> bool:
        return self.see("programs", lambda r: isinstance(r, Programs) and any(row.own and row.runs for row in r.rows))

    def filtered(self, wanted: Filter) -> bool:
        self.source.set_filter(wanted)
        try:
            return self.execs()
        finally:
            self.source.set_filter(Filter(hide_self=False))

    def all(self) -> None:
        """Try everything, once as it was attached and once after each probe was turned off and on."""
        cgroup = next(
            line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[0] == "0"
        )
        for round_ in ("", " again"):
            for name in ("execs", "users", "calls", "traces", "told", "cost", "programs"):
                self.try_(name + round_, getattr(self, name))
            self.try_("filter by user" + round_, lambda: self.filtered(Filter(uids=(os.getuid(),))))
            self.try_("filter by process" + round_, lambda: self.filtered(Filter(pids=(os.getpid(),))))
            self.try_("filter by cgroup" + round_, lambda: self.filtered(Filter(cgroups=(cgroup,))))
            if not round_:
                self.toggles()

    def toggles(self) -> None:
        """Turn each probe off and on."""
        for probe in self.source.probes:
            self.try_(f"toggle {probe}", partial(self.toggle, probe))


_GETPPID = {"x86_64": 110, "aarch64": 173}[os.uname().machine]  # include/uapi/asm-generic/unistd.h; x86's syscall table


def main(names: list[str]) -> None:
    outputs = redirect_stdio()
    options = ["--no-hide-self", "--interval", "0.2", "--probes", PROBES]
    args: argparse.Namespace = parser().parse_args(["stream", *options])
    source = open_kernel(options_of(args), root_work())
    instance = tracefs.instance_path(tracefs.find())
    try:
        if names:
            capabilities.keep_only(set(Cap) - {Cap[name] for name in names})
        trial = Trial(source)
        for name in source.probes:  # what the start brought
            source.poll(name, 0)
        trial.toggles() if names else trial.all()
        said: dict[str, object] = {"worked": trial.worked, "threads": threads(os.getpid())}
    finally:
        source.close()
    said["left"] = os.path.lexists(instance)
    with os.fdopen(outputs.stdout_fd, "w", closefd=False) as out:
        json.dump(said, out)


if __name__ == "__main__":
    main(sys.argv[1:])
