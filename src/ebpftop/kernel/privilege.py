"""Whether we may load BPF programs at all, asked before anything is tried."""

from __future__ import annotations

from pathlib import Path

_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39


def missing() -> str | None:
    """Return what is missing, in words; None where nothing is (capabilities(7): CAP_BPF and CAP_PERFMON, Linux 5.8)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    capabilities = int(line.split()[1], 16)
    if capabilities >> _CAP_SYS_ADMIN & 1:
        return None
    lacking = [
        name for name, bit in (("CAP_BPF", _CAP_BPF), ("CAP_PERFMON", _CAP_PERFMON)) if not capabilities >> bit & 1
    ]
    return " and ".join(lacking) if lacking else None
