"""The C programs of the tools that Debian installs with bpfcc-tools: taken out of them at run time, never kept here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

SBIN = Path("/usr/sbin")
EXAMPLES = Path("/usr/share/doc/bpfcc-tools/examples")
_RECORDER = Path(__file__).with_name("bcc_recorder.py")

# A tool reads nothing but this machine, and changes nothing that lasts: mounts and network are its own.
_APART = ("unshare", "--mount", "--net", "sh", "-c")
_RUN = 'mount -t debugfs none /sys/kernel/debug; mount -t tracefs none /sys/kernel/tracing; exec "$@"'

_ARGUMENTS = {
    "argdist": ("-C", "p::do_sys_openat2(int dfd):int:dfd"),
    "biolatpcts": ("vda",),
    "dbstat": ("mysql",),
    "dbslower": ("mysql", "-x", "/bin/true"),
    "deadlock": ("--binary", "/bin/true", "1"),
    "dirtop": ("-d", "/tmp"),
    "funccount": ("t:sched:*",),
    "funcinterval": ("t:sched:sched_switch",),
    "funclatency": ("vfs_read",),
    "funcslower": ("-m", "10", "vfs_read"),
    "inject": ("kmalloc", "-v", "SyS_mount()"),
    "mallocstacks.py": ("1",),
    "net_monitor.py": ("lo",),
    "mysqld_qslower": ("1",),
    "mysqld_query.py": ("1",),
    "nodejs_http_server.py": ("1",),
    "netqtop": ("-n", "lo"),
    "sockmap.py": ("-c", "/sys/fs/cgroup"),
    "stackcount": ("t:sched:sched_switch",),
    "stacksnoop.py": ("vfs_read",),
    "strlen_snoop.py": ("1",),
    "tcpsubnet": ("10.0.0.0/8",),
    "trace": ("do_sys_openat2",),
    "ttysnoop": ("/dev/tty",),
    "tunnel.py": ("1",),
    "tunnel_mesh.py": ("2", "1", "1"),
    "xdp_drop_count.py": ("lo",),
    "xdp_macswap_count.py": ("lo",),
    "xdp_redirect_cpu.py": ("lo", "1"),
    "xdp_redirect_map.py": ("lo", "lo"),
}


class Attached(NamedTuple):
    """What a tool attaches itself, other than by the name of a function."""

    kind: str
    """kprobe, kretprobe, tracepoint, raw_tracepoint, uprobe, uretprobe, perf."""
    function: str
    event: str
    """As the tool gives it; of a uprobe FILE:SYMBOL, of perf TYPE:CONFIG."""


class Program(NamedTuple):
    """What a tool compiles."""

    name: str
    text: str
    """Empty if it has not come to that."""
    flags: tuple[str, ...] = ()
    attached: tuple[Attached, ...] = ()
    problem: str = ""
    """What ended it early, if something did."""


def tools() -> list[Path]:
    """Return the tools with a program in C; scripts in other languages only call them."""
    python = (
        path for path in sorted(SBIN.glob("*-bpfcc")) if path.read_bytes().partition(b"\n")[0].endswith(b"python3")
    )
    return [path for path in python if b"BPF(" in path.read_bytes()]


def examples() -> list[Path]:
    """Return the examples in Python with a program in C."""
    return [path for path in sorted(EXAMPLES.rglob("*.py")) if b"BPF(" in path.read_bytes()]


def name_of(tool: Path) -> str:
    """Return how users call a tool or an example."""
    return str(tool.relative_to(EXAMPLES)) if EXAMPLES in tool.parents else tool.name.removesuffix("-bpfcc")


def programs_of(tools: Sequence[Path]) -> list[Program]:
    """Return what each of *tools* compiles. It needs root."""
    commands = [[str(tool), *_ARGUMENTS.get(name_of(tool).rpartition("/")[2], ())] for tool in tools]
    records_fd = os.memfd_create("records")
    try:
        recorder = [sys.executable, str(_RECORDER), str(records_fd), json.dumps(commands)]
        environment = {**os.environ, "PYTHONPATH": str(_RECORDER.parents[1] / "src")}
        done = subprocess.run(
            [*_APART, _RUN, "sh", *recorder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[records_fd],
            env=environment,
            check=False,
        )
        with open(records_fd, "rb", closefd=False) as file:
            file.seek(0)
            records = [json.loads(line) for line in file]
    finally:
        os.close(records_fd)
    if len(records) < len(tools):
        raise RuntimeError(done.stderr.decode("utf-8", "replace")[-2000:])
    return [_program(name_of(tool), record) for tool, record in zip(tools, records, strict=True)]


def _program(name: str, record: dict[str, Any]) -> Program:
    attached = tuple(Attached(*one) for one in record["attach"])
    problem = record["problem"] or ("" if record["text"] else "it ended without a program")
    return Program(name, record["text"], tuple(record["flags"]), attached, problem)
