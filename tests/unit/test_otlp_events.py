"""Exec and exit records as log records of OTLP: names and forms of the fields are those of its specification."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from ebpftop.core.process_records import Exec, Exit, Killer
from ebpftop.core.records import Lost
from ebpftop.serving.otlp.events import Args, Events, LogsRequest, is_sent, log_record
from tests.collector import plain

EXEC = Exec(
    time=1_764_428_662.123456, pid=812, tid=812, ppid=700, uid=1000, user="joe", comm="python3", file="./job.py",
    argv=("/usr/bin/python3", "./job.py", "--password", "s3cret"), truncated=False, ret=0, error=None,
    cgroup="/system.slice/docker-0123456789ab.scope", start_ns=5_000_000_123, pcomm="cron", euid=0, loginuid=1000,
    interp="/usr/bin/python3", pidns=4026531836, nspid=7, container="0123456789ab", unit="docker-0123456789ab.scope",
    exe="/usr/bin/python3.11", exe_inode=3, cwd="/home/joe", sid=700,
)  # fmt: skip
FAILED = msgspec.structs.replace(EXEC, ret=-2, error="ENOENT", exe=None, comm="sh", interp=None, truncated=True)
ENDED = Exit(
    time=1_764_428_663.5, pid=812, uid=1000, comm="python3", code=3, signal=None, duration_s=1.25,
    start_ns=5_000_000_123, ppid=700, user_s=0.5, system_s=0.25, max_rss_bytes=9_000_000_000, major_faults=0,
    minor_faults=12, read_bytes=4096, written_bytes=0, storage_read_bytes=0, storage_written_bytes=0, threads=2,
)  # fmt: skip
KILLED = Exit(
    time=1_764_428_663.5, pid=9, uid=0, comm="x", code=None, signal="SIGKILL", duration_s=None, core=True, oom=True,
    forked=True, killer=Killer(pid=1, comm="systemd", uid=0),
)  # fmt: skip
UNSEEN = Exit(time=1.0, pid=9, uid=0, comm="x", code=None, signal=None, duration_s=None)


def made(record: Exec | Exit, args: Args = "none") -> dict[str, Any]:
    """Return the log record of *record*."""
    found: dict[str, Any] = json.loads(log_record(record, args, "1764428664000000000"))
    return found


def test_a_program_that_starts() -> None:
    assert made(EXEC) == {
        "timeUnixNano": "1764428662123456000",
        "observedTimeUnixNano": "1764428664000000000",
        "severityNumber": 9,
        "severityText": "INFO",
        "eventName": "ebpftop.exec",
        "body": {"stringValue": "cron started ./job.py"},
        "attributes": [
            {"key": "process.pid", "value": {"intValue": "812"}},
            {"key": "process.parent_pid", "value": {"intValue": "700"}},
            {"key": "process.real_user.id", "value": {"intValue": "1000"}},
            {"key": "process.user.id", "value": {"intValue": "0"}},
            {"key": "ebpftop.comm", "value": {"stringValue": "python3"}},
            {"key": "ebpftop.exec.file", "value": {"stringValue": "./job.py"}},
            {"key": "ebpftop.start_ns", "value": {"intValue": "5000000123"}},
            {"key": "process.real_user.name", "value": {"stringValue": "joe"}},
            {"key": "process.executable.path", "value": {"stringValue": "/usr/bin/python3.11"}},
            {"key": "process.executable.name", "value": {"stringValue": "python3.11"}},
            {"key": "process.args_count", "value": {"intValue": "4"}},
            {"key": "process.working_directory", "value": {"stringValue": "/home/joe"}},
            {"key": "process.session_leader.pid", "value": {"intValue": "700"}},
            {"key": "process.vpid", "value": {"intValue": "7"}},
            {"key": "process.linux.cgroup", "value": {"stringValue": "0::/system.slice/docker-0123456789ab.scope"}},
            {"key": "container.id", "value": {"stringValue": "0123456789ab"}},
            {"key": "ebpftop.unit", "value": {"stringValue": "docker-0123456789ab.scope"}},
            {"key": "ebpftop.parent_comm", "value": {"stringValue": "cron"}},
            {"key": "ebpftop.exec.interp", "value": {"stringValue": "/usr/bin/python3"}},
            {"key": "ebpftop.loginuid", "value": {"intValue": "1000"}},
        ],
    }


def test_a_program_that_does_not_start() -> None:
    record = made(FAILED)
    assert (record["severityNumber"], record["severityText"]) == (13, "WARN")
    assert record["body"] == {"stringValue": "sh: execve of ./job.py failed: ENOENT"}
    attributes = plain(record["attributes"])
    assert attributes["error.type"] == "ENOENT"
    # The process still runs what it ran before, and not all arguments are known.
    assert not attributes.keys() & {"process.executable.path", "process.executable.name", "process.args_count"}


def test_arguments_are_sent_only_if_they_are_asked_for() -> None:
    assert "s3cret" not in json.dumps([made(EXEC), made(FAILED), made(EXEC, "first")])
    assert plain(made(EXEC, "first")["attributes"])["process.command_args"] == ["/usr/bin/python3", "./job.py"]
    assert plain(made(EXEC, "all")["attributes"])["process.command_args"] == list(EXEC.argv)
    assert "process.command_args" not in plain(made(EXEC)["attributes"])


def test_how_a_process_ends() -> None:
    record = made(ENDED)
    assert record["eventName"] == "ebpftop.exit"
    assert record["body"] == {"stringValue": "python3 ended with status 3"}
    assert record["severityNumber"] == 13
    assert plain(record["attributes"]) == {
        **{"process.pid": 812, "process.parent_pid": 700, "process.real_user.id": 1000, "ebpftop.comm": "python3"},
        **{"ebpftop.start_ns": 5_000_000_123, "process.exit.code": 3, "error.type": "3"},
        **{"ebpftop.exit.duration_s": 1.25, "ebpftop.exit.user_s": 0.5, "ebpftop.exit.system_s": 0.25},
        **{"ebpftop.exit.max_rss_bytes": 9_000_000_000, "ebpftop.exit.major_faults": 0},
        **{"ebpftop.exit.minor_faults": 12, "ebpftop.exit.read_bytes": 4096, "ebpftop.exit.written_bytes": 0},
        **{"ebpftop.exit.storage_read_bytes": 0, "ebpftop.exit.storage_written_bytes": 0, "ebpftop.exit.threads": 2},
    }


def test_a_signal_and_who_sent_it() -> None:
    record = made(KILLED)
    assert record["body"] == {"stringValue": "x was ended by SIGKILL"}
    assert plain(record["attributes"]) == {
        **{"process.pid": 9, "process.parent_pid": 0, "process.real_user.id": 0, "ebpftop.comm": "x"},
        **{"ebpftop.start_ns": 0, "ebpftop.exit.signal": "SIGKILL", "error.type": "SIGKILL"},
        **{"ebpftop.exit.core": True, "ebpftop.exit.oom": True, "ebpftop.exit.forked": True},
        **{"ebpftop.exit.killer.pid": 1, "ebpftop.exit.killer.comm": "systemd", "ebpftop.exit.killer.uid": 0},
    }
    assert made(UNSEEN)["severityText"] == "INFO"
    assert "process.exit.code" not in plain(made(UNSEEN)["attributes"])


@dataclass
class Case:
    """Which records are sent with a choice of events."""

    events: Events
    sent: list[Exec | Exit] = field(default_factory=list)


@pytest.mark.parametrize(
    "case",
    [Case("none"), Case("failures", [FAILED, ENDED, KILLED]), Case("all", [EXEC, FAILED, ENDED, KILLED, UNSEEN])],
)
def test_which_events_are_sent(case: Case) -> None:
    records = (EXEC, FAILED, ENDED, KILLED, UNSEEN, Lost(time=1.0, probe="execs", where="ring", count=2))
    assert [record for record in records if is_sent(record, case.events)] == case.sent


def test_a_request_names_what_it_is_of_once() -> None:
    request = LogsRequest({"service.name": "ebpftop", "host.name": "web-1"}, "1.2")
    records = [log_record(EXEC, "none", "2000000000"), log_record(ENDED, "none", "2000000000")]
    body = json.loads(request.body(records))
    (resource,) = body.pop("resourceLogs")
    assert body == {}
    assert plain(resource["resource"]["attributes"]) == {"service.name": "ebpftop", "host.name": "web-1"}
    (scope,) = resource["scopeLogs"]
    assert scope["scope"] == {"name": "ebpftop", "version": "1.2"}
    assert scope["logRecords"] == [json.loads(record) for record in records]
    assert resource["schemaUrl"] == scope["schemaUrl"]


def test_text_of_programs_stays_text() -> None:
    hostile = 'a"}]},{"key":"process.pid","value":{"intValue":"1"}}\\n\u202e\\x1b'
    record = made(msgspec.structs.replace(EXEC, comm=hostile, file=hostile, argv=(hostile,), cwd=hostile), "all")
    attributes = plain(record["attributes"])
    assert attributes["process.pid"] == 812
    assert attributes["ebpftop.comm"] == attributes["ebpftop.exec.file"] == hostile
    assert attributes["process.command_args"] == [hostile]
