"""Exec and exit records as log records (opentelemetry/proto/logs/v1).

Attributes have the names of the semantic conventions where there are such, else those of the record behind
`ebpftop.` (docs/otlp.md lists all).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Literal, TypeAlias

import msgspec

from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.records import Record
from ebpftop.serving.otlp.values import (
    SCHEMA_URL,
    SCOPE,
    KeyValue,
    Message,
    Resource,
    Scope,
    StringValue,
    encode,
    flag,
    number,
    resource_of,
    text,
    texts,
    unix_ns,
    usual,
    whole,
)

Events: TypeAlias = Literal["none", "failures", "all"]
Args: TypeAlias = Literal["none", "first", "all"]

_INFO, _WARN = 9, 13
_FIRST = 2
"""argv[0], and the first argument behind it."""
_USED = (
    *("duration_s", "user_s", "system_s", "max_rss_bytes", "major_faults", "minor_faults", "read_bytes"),
    *("written_bytes", "storage_read_bytes", "storage_written_bytes", "threads"),
)
_used = attrgetter(*_USED)
_OFTEN_THE_SAME = ("major_faults", "storage_read_bytes", "storage_written_bytes", "threads")
_USED_KEYS = tuple(
    (
        f"ebpftop.exit.{name}",
        number if name.endswith("_s") else usual if name in _OFTEN_THE_SAME else whole,
    )
    for name in _USED
)


class _LogRecord(Message, frozen=True, gc=False):
    time_unix_nano: str
    observed_time_unix_nano: str
    severity_number: int
    severity_text: str
    body: StringValue
    attributes: list[KeyValue]
    event_name: str


class _ScopeLogs(Message, frozen=True, gc=False):
    scope: Scope
    log_records: list[msgspec.Raw]
    schema_url: str


class _ResourceLogs(Message, frozen=True, gc=False):
    resource: Resource
    scope_logs: list[_ScopeLogs]
    schema_url: str


class _Logs(Message, frozen=True, gc=False):
    resource_logs: list[_ResourceLogs]


def is_sent(record: Record, events: Events) -> bool:
    """Return whether *record* is one of the *events* that were asked for.

    Failures are calls of execve that failed, and processes that ended with another status than 0 or by a signal.
    """
    if events == "none":
        return False
    match record:
        case Exec():
            return events == "all" or record.ret != 0
        case Exit():
            return events == "all" or bool(record.signal) or bool(record.code)
        case _:
            return False


def log_record(record: Exec | Exit, args: Args, observed_ns: str) -> bytes:
    """Return *record*, observed at *observed_ns* (`unix_ns`), as JSON."""
    if isinstance(record, Exec):
        failed, body, attributes = record.ret != 0, _exec_body(record), _of_exec(record, args)
        name = "ebpftop.exec"
    else:
        failed, body, attributes = bool(record.signal or record.code), _exit_body(record), _of_exit(record)
        name = "ebpftop.exit"
    return encode(
        _LogRecord(
            unix_ns(record.time),
            observed_ns,
            _WARN if failed else _INFO,
            "WARN" if failed else "INFO",
            StringValue(body),
            attributes,
            name,
        )
    )


def _exec_body(record: Exec) -> str:
    if record.ret:
        return f"{record.comm}: execve of {record.file} failed: {record.error or record.ret}"
    return f"{record.pcomm or record.ppid} started {record.file}"


def _exit_body(record: Exit) -> str:
    if record.signal:
        return f"{record.comm} was ended by {record.signal}"
    return f"{record.comm} ended{'' if record.code is None else f' with status {record.code}'}"


def _of_exec(record: Exec, args: Args) -> list[KeyValue]:
    attributes = [
        whole("process.pid", record.pid),
        whole("process.parent_pid", record.ppid),
        usual("process.real_user.id", record.uid),
        usual("process.user.id", record.euid),
        text("ebpftop.comm", record.comm),
        text("ebpftop.exec.file", record.file),
        whole("ebpftop.start_ns", record.start_ns),
    ]
    add = attributes.append
    if record.user is not None:
        add(text("process.real_user.name", record.user))
    if record.exe is not None:
        add(text("process.executable.path", record.exe))
        add(text("process.executable.name", posixpath.basename(record.exe)))
    if not record.truncated:
        add(usual("process.args_count", len(record.argv)))
    if args != "none":
        add(texts("process.command_args", record.argv if args == "all" else record.argv[:_FIRST]))
    if record.cwd is not None:
        add(text("process.working_directory", record.cwd))
    if record.sid:
        add(usual("process.session_leader.pid", record.sid))
    if record.nspid not in (0, record.pid):
        add(whole("process.vpid", record.nspid))
    if record.cgroup:
        add(text("process.linux.cgroup", f"0::{record.cgroup}"))
    if record.container is not None:
        add(text("container.id", record.container))
    if record.unit is not None:
        add(text("ebpftop.unit", record.unit))
    if record.pcomm:
        add(text("ebpftop.parent_comm", record.pcomm))
    if record.interp is not None:
        add(text("ebpftop.exec.interp", record.interp))
    if record.loginuid is not None:
        add(usual("ebpftop.loginuid", record.loginuid))
    if record.cut:
        add(texts("ebpftop.cut", record.cut))
    if record.ret:
        add(text("error.type", record.error or str(-record.ret)))
    return attributes


def _of_exit(record: Exit) -> list[KeyValue]:
    attributes = [
        whole("process.pid", record.pid),
        whole("process.parent_pid", record.ppid),
        usual("process.real_user.id", record.uid),
        text("ebpftop.comm", record.comm),
        whole("ebpftop.start_ns", record.start_ns),
    ]
    add = attributes.append
    if record.code is not None:
        add(usual("process.exit.code", record.code))
    if record.signal:
        add(text("ebpftop.exit.signal", record.signal))
    if record.signal or record.code:
        add(text("error.type", record.signal or str(record.code)))
    for (key, made), value in zip(_USED_KEYS, _used(record), strict=True):
        if value is not None:
            add(made(key, value))
    for name in ("core", "oom", "forked"):
        if getattr(record, name):
            add(flag(f"ebpftop.exit.{name}", True))
    if record.killer is not None:
        add(whole("ebpftop.exit.killer.pid", record.killer.pid))
        add(text("ebpftop.exit.killer.comm", record.killer.comm))
        add(usual("ebpftop.exit.killer.uid", record.killer.uid))
    return attributes


class LogsRequest:
    """Makes the body of a request (ExportLogsServiceRequest) of log records that are JSON already."""

    def __init__(self, resource: Mapping[str, str], version: str) -> None:
        self._resource = resource_of(resource)
        self._scope = Scope(SCOPE, version)

    def body(self, records: Iterable[bytes]) -> bytes:
        """Return the body of a request with *records*."""
        raw = [msgspec.Raw(record) for record in records]
        logs = _ScopeLogs(self._scope, raw, SCHEMA_URL)
        return encode(_Logs([_ResourceLogs(self._resource, [logs], SCHEMA_URL)]))
