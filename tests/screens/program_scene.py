"""The eBPF programs of a small server, over a minute."""

from __future__ import annotations

from msgspec.structs import replace

from ebpftop.core.program_records import ProgramMap, ProgramOwner, ProgramRow, Programs, ProgramTotals
from ebpftop.core.source import Batch

from .scene import START, FakeSource, batch, minute, probe_state

EBPFTOP = ProgramOwner(pid=4711, comm="ebpftop")
SYSTEMD = ProgramOwner(pid=1, comm="systemd")

MAPS = (
    ProgramMap(id=41, type="hash", name="start", entries=10_240, bytes=1_310_720),
    ProgramMap(id=42, type="percpu_array", name="hist", entries=64, bytes=8192),
    ProgramMap(id=61, type="ringbuf", name="events", entries=16 << 20, bytes=(16 << 20) + 16_384),
    ProgramMap(id=62, type="lpm_trie", name="ips4_\\x1b[31m", entries=0, bytes=0),
)


def program(number: int, kind: str, name: str, attached: str, *owners: ProgramOwner, **more: object) -> ProgramRow:
    """A program that has not run yet."""
    fields: dict[str, object] = {
        **{"id": number, "type": kind, "name": name, "tag": f"{number:016x}", "uid": 0, "owners": owners},
        **{"attached": (attached,) if attached else (), "loaded": START - 600, "insns": 300 + number},
        **more,
    }
    return ProgramRow(**fields)  # type: ignore[arg-type]  # of any field


# Each with its runs a second, and how long each of these takes.
RUNNING = (
    (program(17, "cgroup_skb", "sd_fw_ingress", "/system.slice", SYSTEMD, maps=(62,)), 1204, 140),
    (program(18, "cgroup_device", "sd_devices", "/system.slice/ssh.service", SYSTEMD), 0, 0),
    (
        program(
            214,
            "tracepoint",
            "biolat",
            "block:block_rq_issue",
            ProgramOwner(pid=812, comm="bpftrace"),
            maps=(41, 42),
            map_bytes=1_318_912,
        ),
        412,
        880,
    ),
    (program(220, "kprobe", "", "vfs_read", ProgramOwner(pid=900, comm="日本語"), uid=1000), 3, 12_400),
    (program(301, "sched_cls", "cil_from_netdev", "eth0 ingress", insns=21_300), 31, 2100),
    (
        program(330, "raw_tracepoint", "on_enter", "sys_enter", EBPFTOP, own=True, maps=(61,), map_bytes=16_793_600),
        9500,
        61,
    ),
    (
        program(331, "raw_tracepoint", "on_exit", "sys_exit", EBPFTOP, own=True, maps=(61,), map_bytes=16_793_600),
        9500,
        78,
    ),
    (program(332, "tracing", "killer_on_signal_generate", "signal_generate", EBPFTOP, own=True), 0.2, 300),
)
LATE = (program(401, "perf_event", "profile", "cpu 0", ProgramOwner(pid=4999, comm="parca-agent")), 99, 5200)


def reading(at: float, *, stats: str | None = "enabled") -> Programs:
    """What is there *at* so many seconds after the start: one program comes late, one goes before the end."""
    running = [(row, runs, ns) for row, runs, ns in RUNNING if row.id != 301 or at < 57]
    if at >= 55:
        running.append((replace(LATE[0], loaded=START + 54.2), *LATE[1:]))
    rows = []
    for row, rate, ns in running:
        seconds = at if row.id != 401 else at - 54
        # biolat has more to do each 20 seconds.
        runs = int(rate * seconds) + (4000 * int(at / 20) if row.id == 214 else 0)
        misses = int(at) // 30 if row.id == 331 else 0
        rows.append(replace(row, runs=runs, run_ns=runs * ns, misses=misses))
    gone_ns = int(31 * min(at, 57)) * 2100 if at >= 57 else 0
    return Programs(
        time=START + at,
        rows=tuple(rows),
        maps=MAPS,
        machine=ProgramTotals(
            programs=len(rows),
            map_bytes=sum(one.bytes for one in MAPS),
            runs=sum(row.runs for row in rows) + gone_ns // 2100,
            run_ns=sum(row.run_ns for row in rows) + gone_ns,
            misses=sum(row.misses for row in rows),
        ),
        stats=stats,
        owners_time=START,
    )


def readings(last: int = 60) -> list[Batch]:
    """A reading each second."""
    return [
        batch("programs", 0, probe_state("programs", "on")),
        *(batch("programs", at, reading(at)) for at in range(1, last + 1)),
    ]


def with_programs(last: int = 60) -> FakeSource:
    """A server on which the probe is on from the start."""
    return FakeSource([*minute(), *readings(last)])
