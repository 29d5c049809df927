"""Lines of hosts, as `ebpftop stream --host-field` writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

TIME = 1795996800.0
"""2026-11-30 00:00 UTC."""


def line(kind: str, **fields: Any) -> bytes:
    """Return a line with its newline."""
    return json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode() + b"\n"


def header(host: str = "vm", **fields: Any) -> bytes:
    known = {"schema": 2, "version": "0.2.0", "host": host, "kernel": "6.18.44", "abi": "x86_64", "started": TIME}
    return line("header", **(known | fields))


def exec_line(pid: int, *argv: str, time: float = TIME, ret: int = 0, **fields: Any) -> bytes:
    words = argv or ("true",)
    known = {
        **{"time": time, "pid": pid, "tid": pid, "ppid": 1, "uid": 0, "user": "root", "comm": words[0][:15]},
        **{"file": f"/bin/{words[0]}", "argv": list(words), "truncated": False, "ret": ret},
        **{"error": "ENOENT" if ret else None, "cgroup": "/", "start_ns": pid * 1000},
    }
    return line("exec", **(known | fields))


def exit_line(pid: int, code: int | None = 0, *, time: float = TIME, signal: str | None = None) -> bytes:
    known = {"time": time, "pid": pid, "uid": 0, "comm": "true", "code": code, "signal": signal}
    return line("exit", **known, duration_s=0.5, start_ns=pid * 1000)


def calls_line(rows: Sequence[tuple[int, int, int]], *, time: float = TIME, whole: bool = True) -> bytes:
    """Return a reading of rows of number, count and errors."""
    made = [
        {"abi": "x86_64", "nr": nr, "name": f"call{nr}", "count": count, "errors": errors} for nr, count, errors in rows
    ]
    return line("syscalls", time=time, whole=whole, rows=made)


def cost_line(time: float = TIME) -> bytes:
    return line("cost", time=time, kernel=0.01, user=0.02, runs=5)
