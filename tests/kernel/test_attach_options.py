"""Every option of every ladder says the same of one hard program, but for what it says it cannot see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ebpftop.kernel.attach import DENIED, INTERPRETER, MANY_AT_ONCE, NOT_STARTED
from ebpftop.kernel.offsets import of_running_kernel
from tests.kernel import exec_workloads as workloads
from tests.kernel.support import CHECKED, Line, Stream, compile_c, last, needs_root, of
from tests.kernel.workload_context import WANTED_UID

pytestmark = needs_root

UID = WANTED_UID
MOST_OPTIONS = range(4)
WORDS = {"hard": "sixty-four", "hard32": "thirty-two"}  # the second argument of all that they start
INTERP = frozenset({"interp"})
MISSED_MOST = 8
"""Of some eighty failures, those that a kretprobe may miss: it has a place per CPU, and threads of the program race."""

LADDERS = ("execs", "execs.failures", "execs.exits", "users", "syscalls", "trace")


@dataclass(frozen=True)
class Truth:
    """What the program counted, by ABI and call: how often made, failed, and denied by seccomp besides."""

    made: Counter[str]
    failed: Counter[str]
    denied: Counter[str]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with the hard program and all that it starts, for any user: pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="ebpftop-hard-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        compile_c(folder, "hard", workloads.HARD, "-static", "-no-pie", "-pthread")
        compile_c(folder, "hard32", workloads.HARD_32, *workloads.FLAGS_32)
        for file, content in {
            "late64": workloads.late_failure(64),
            "late32": workloads.late_failure(32),
            "text": b"no program\n",
            "script": b"#!%s/hard an argument\n" % bytes(folder),
        }.items():
            (folder / file).write_bytes(content)
            (folder / file).chmod(0o755)
        (folder / "folder").mkdir()
        yield folder


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let streams read their last, however busy the machine is."""
    monkeypatch.setenv("EBPFTOP_END_S", "90")


def work(folder: Path) -> Truth:
    """Run the hard program as the user UID."""
    done = subprocess.run([folder / "hard", "run", folder], user=UID, check=True, capture_output=True, text=True)
    truth = Truth(Counter(), Counter(), Counter())
    for line in done.stdout.splitlines():
        call, made, failed, denied = line.split()
        truth.made[call], truth.failed[call], truth.denied[call] = int(made), int(failed), int(denied)
    return truth


@cache
def options_here() -> Mapping[str, tuple[str, ...]]:
    """The attach options of every ladder that hold on this kernel, the one that it takes by itself last."""
    if checked := os.environ.get(CHECKED):
        said = json.loads(Path(checked).read_bytes())["said"]
    else:
        command = (sys.executable, "-m", "ebpftop", "check", "--json")
        said = subprocess.run(command, check=True, capture_output=True).stdout
    report = json.loads(said)
    found: dict[str, list[str]] = {ladder: [] for ladder in LADDERS}
    for probe in report["probes"]:
        for option in probe["attempts"]:
            part, _, via = option["via"].rpartition(": ")
            ladder = f"{probe['probe']}.{part}" if part else probe["probe"]
            if ladder in found and (option["reason"] or "not needed").startswith("not needed"):
                found[ladder].insert(0 if option["reason"] else len(found[ladder]), via)
    return {ladder: tuple(vias) for ladder, vias in found.items()}


def blind(stream: Stream, ladder: str) -> set[str]:
    """Return what the attach option in use says that it cannot see."""
    name, _, part = ladder.partition(".")
    prefix = f"{part}: " if part else ""
    options = of("probe", stream.lines, probe=name)[-1]["attempts"]
    used = [r for r in options if r["reason"] is None and r["via"].rpartition(": ")[0] == prefix.rstrip(": ")]
    assert len(used) == 1, used
    return set(used[0]["blind"])


def passed_over_in(lines: Sequence[Line]) -> Counter[str]:
    """Return by probe how many calls Linux 7.3 kept from preempted programs, as told; nothing else may be lost."""
    lost = of("lost", lines)
    assert all(one["where"] == "recursion" for one in lost), lost
    return Counter({one["probe"]: one["count"] for one in lost})


def missed_at_once(stream: Stream, ladder: str) -> int:
    """Return how many failures the attach option in use may miss, as it says itself."""
    return MISSED_MOST if MANY_AT_ONCE in blind(stream, ladder) else 0


def assert_nearly(now: int, right: int, passed_over: int) -> None:
    """Hold a count against the truth: short of it by no more than what was passed over."""
    assert right - passed_over <= now <= right, (now, right, passed_over)


def described(line: Line, *, without: frozenset[str] = frozenset()) -> str:
    """Return all of an exec that is the same in each run, as text that can be compared and counted."""
    # A pipe's number is of the run, as all of these.
    passing = {"time", "pid", "tid", "ppid", "start_ns", "nspid", "cgroup", "container", "unit", "stdio", *without}
    kept = {name: value for name, value in line.items() if name not in passing}
    return json.dumps({**kept, "leader": line["pid"] == line["tid"]}, sort_keys=True)


class Told:
    """By ladder, what the first attach option that was tried told: all that come after must tell the same."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, Counter[str]]] = {}

    def must_be(self, ladder: str, option: str | None, now: Counter[str]) -> None:
        """Fail where another attach option told something else."""
        other, before = self._first.setdefault(ladder, (option or "", now))
        assert now == before, f"{ladder}: only by {option}: {now - before}; only by {other}: {before - now}"


@pytest.fixture(scope="module")
def told() -> Told:
    """What was told so far, by all tests of this file."""
    return Told()


def forced(number: int, *ladders: str) -> tuple[str, dict[str, str]]:
    """Return a buffer, and option *number* of each of *ladders* that has so many; the others are left alone."""
    vias = {ladder: options_here()[ladder][number : number + 1] for ladder in ladders}
    return ("ring", "perf")[number % 2], {ladder: via[0] for ladder, via in vias.items() if via}


def options(via: Mapping[str, str]) -> list[str]:
    return [f"--attach={ladder}={option}" for ladder, option in via.items()]


def test_every_attach_option_is_tried() -> None:
    assert max(map(len, options_here().values())) <= len(MOST_OPTIONS)
    assert min(map(len, options_here().values())) >= 1


# One test for each, since under emulation they take so long that whoever waits wants a sign of life.
@pytest.mark.guest
@pytest.mark.newest
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", MOST_OPTIONS)
def test_every_attach_option_says_the_same_of_a_hard_program(folder: Path, told: Told, number: int) -> None:
    buffer, via = forced(number, *LADDERS)
    with Stream("--uid", str(UID), "--interval", "0.3", "--buffer", buffer, *options(via)) as stream:
        truth = work(folder)
        stream.stop()
    assert_true(stream, via, truth, told)


def assert_true(stream: Stream, via: Mapping[str, str], truth: Truth, told: Told) -> None:
    """Hold what a stream said on the options *via* against what the program counted, and against what others told."""
    lines = stream.lines
    passed_over = passed_over_in(lines)
    made, failed = truth.made.total(), truth.failed.total()
    denied = truth.denied.total()
    assert min(*truth.made.values(), *truth.failed.values(), *truth.denied.values()) > 0

    started = of("exec", lines, ret=0)
    assert_nearly(len(started), made - failed, passed_over["execs"])
    if not passed_over["execs"]:
        told.must_be("execs", via.get("execs"), Counter(described(one, without=INTERP) for one in started))
        if INTERPRETER not in blind(stream, "execs"):
            told.must_be("interpreters", via.get("execs"), Counter(str(one["interp"]) for one in started))

    failures = [one for one in of("exec", lines) if one["ret"]]
    of_seccomp = [one for one in failures if one["error"] == "EPERM"]
    seen = 0 if DENIED in blind(stream, "execs.failures") else denied
    assert_nearly(len(of_seccomp), seen, passed_over["execs"])
    missed = missed_at_once(stream, "execs.failures")
    assert_nearly(len(failures) - len(of_seccomp), failed, passed_over["execs"] + missed)
    late = [one for one in failures if one["error"] == "EINVAL"]
    assert {(os.path.basename(one["file"]), one["cut"] == []) for one in late} >= {("late64", True), ("late32", True)}
    assert {one["comm"] for one in late} <= {"hard", "hard32"}
    for one in failures:
        path, word, *more = one["argv"]
        assert (word, more) == (WORDS[one["comm"]], [""])
        assert one["file"] == (path if one["error"] != "EFAULT" else "") or one["file"].startswith("/dev/fd/")
    rest = Counter(described(one) for one in failures if one not in of_seccomp)
    if not passed_over["execs"] and rest.total() == failed:
        told.must_be("execs.failures", via.get("execs.failures"), rest)

    exits = of("exit", lines)
    fields = ("comm", "uid", "code", "signal", "core")
    if not passed_over["execs"]:
        told.must_be(
            "execs.exits", via.get("execs.exits"), Counter(str([one[name] for name in fields]) for one in exits)
        )

    (user,) = (row for row in last("users", lines)["rows"] if row["uid"] == UID)
    seen = 0 if DENIED in blind(stream, "users") else denied
    assert_nearly(user["execs"], made + seen, passed_over["users"])
    assert_nearly(user["failed"], failed + seen, passed_over["users"] + missed_at_once(stream, "users"))
    assert user["last"] == "hard32"

    rows = {f"{row['abi']}:{row['name']}": row for row in last("syscalls", lines)["rows"] if "exec" in row["name"]}
    assert rows.keys() == truth.made.keys()
    for call, row in rows.items():
        # Whose entry was passed over is counted when it returns, and an execveat returns as an execve.
        assert abs(row["count"] - truth.made[call] - truth.denied[call]) <= passed_over["syscalls"]
        assert abs(row["errors"] - truth.failed[call] - truth.denied[call]) <= passed_over["syscalls"]

    ours = {one["pid"] for one in exits}
    greeted = {line["pid"] for line in of("trace", lines, message="Hello World!") if line["pid"] in ours}
    shown = started if NOT_STARTED in blind(stream, "trace") else [one for one in failures if one not in of_seccomp]
    # One whose exit was passed over is not among ours.
    assert len({one["pid"] for one in shown} - greeted) <= passed_over["trace"] + passed_over["execs"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", MOST_OPTIONS)
def test_every_attach_option_asks_a_filter_by_name_of_whoever_made_the_call(
    folder: Path, told: Told, number: int
) -> None:
    buffer, via = forced(number, "execs.failures", "users")
    with Stream("--comm", "hard", "--uid", str(UID), "--buffer", buffer, *options(via), probes="execs,users") as stream:
        truth = work(folder)
        lines = stream.stop()
    failures = Counter(one["file"] for one in of("exec", lines) if one["ret"] and one["error"] != "EPERM")
    told.must_be("execs.failures by name", via.get("execs.failures"), failures)
    (user,) = (row for row in last("users", lines)["rows"] if row["uid"] == UID)
    denied = 0 if DENIED in blind(stream, "users") else truth.denied.total()
    counts = Counter(attempts=user["execs"] - denied, failed=user["failed"] - denied)
    told.must_be("users by name", via.get("users"), counts)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", MOST_OPTIONS)
def test_every_attach_option_tells_the_whole_of_a_late_failure_whose_words_nobody_had_read(
    folder: Path, number: int
) -> None:
    program = compile_c(folder, "untouched", workloads.UNTOUCHED)
    text = folder / "untouched.text"
    text.write_bytes(bytes(folder / "late64").ljust(1024, b"\0") + b"a word\0")
    buffer, via = forced(number, "execs.failures")
    with Stream("--pid", str(os.getpid()), "--buffer", buffer, *options(via), probes="execs") as stream:
        done = subprocess.run([program, text], check=False)
        lines = stream.stop()
    assert done.returncode < 0  # killed: it is past the point of no return
    (failed,) = of("exec", lines, error="EINVAL")
    if "HAVE_PREPARE_EXEC" in of_running_kernel():
        assert (failed["file"], failed["argv"]) == (str(folder / "late64"), [str(folder / "late64"), "a word"])
        assert failed["cut"] == []
    else:
        assert failed["cut"] == ["file", "argv"]
    assert failed["comm"] == "untouched"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", MOST_OPTIONS)
def test_arguments_that_the_kernel_had_not_read_are_not_lost(folder: Path, number: int) -> None:
    program = compile_c(folder, "unread", workloads.UNREAD)
    text = folder / "unread.text"
    text.write_bytes(b"a word\0")
    buffer, via = forced(number, "execs.failures")
    with Stream("--pid", str(os.getpid()), "--buffer", buffer, *options(via), probes="execs") as stream:
        subprocess.run([program, text], check=True)
        lines = stream.stop()
    failed = [one for one in of("exec", lines, comm="unread") if one["ret"] < 0]
    errors = [(one["error"], "file" in one["cut"], "argv" in one["cut"]) for one in failed]
    denied = [] if DENIED in blind(stream, "execs.failures") else [("EPERM", True, True)]
    # Newer kernels look for the file before they read arguments: then these are what ebpftop should have had.
    missing = errors[0][2]
    assert errors == [("ENOENT", False, missing), ("EFAULT", True, True), ("EFAULT", False, True), *denied]
    assert sum(line["count"] for line in of("lost", lines, where="argv")[-1:]) == missing


def test_users_have_the_execs_that_the_system_calls_have(folder: Path) -> None:
    with Stream("--uid", str(UID), "--interval", "0.3", probes="users,syscalls") as stream:
        denied = work(folder).denied.total()
        lines = stream.stop()
    unseen = denied if DENIED in blind(stream, "users") else 0
    (user,) = (row for row in last("users", lines)["rows"] if row["uid"] == UID)
    rows = [row for row in last("syscalls", lines)["rows"] if row["name"] in ("execve", "execveat")]
    passed_over = passed_over_in(lines).total()
    for total, column in ((user["execs"], "count"), (user["failed"], "errors")):
        assert abs(total - sum(row[column] for row in rows) + unseen) <= passed_over
        assert total > 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", MOST_OPTIONS)
def test_every_attach_option_counts_attempts_that_seccomp_traps_or_kills(folder: Path, number: int) -> None:
    program = compile_c(folder, "trapped", workloads.TRAPPED)
    buffer, via = forced(number, "users")
    with Stream("--uid", str(UID), "--buffer", buffer, *options(via), probes="users,syscalls") as stream:
        subprocess.run([program, "20"], user=UID, check=True)
        lines = stream.stop()
    passed_over = passed_over_in(lines).total()
    (user,) = (row for row in last("users", lines)["rows"] if row["uid"] == UID)
    unseen = 60 if DENIED in blind(stream, "users") else 0
    assert_nearly(user["execs"], 61 - unseen, passed_over)
    rows = [row for row in last("syscalls", lines)["rows"] if row["name"] in ("execve", "execveat")]
    assert_nearly(sum(row["count"] for row in rows), 61, passed_over)
    assert (user["failed"], sum(row["errors"] for row in rows)) == (0, 0), "a signal is no error"


@pytest.mark.guest
@pytest.mark.newest
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", MOST_OPTIONS)
def test_an_execveat_that_only_asks_is_a_call_and_no_attempt_on_every_attach_option(folder: Path, number: int) -> None:
    program = compile_c(folder, "asks", workloads.ASKS, "-static", "-no-pie")
    buffer, via = forced(number, "execs.failures", "users")
    with Stream("--uid", str(UID), "--buffer", buffer, *options(via), probes="execs,users,syscalls") as stream:
        subprocess.run([program, "20"], user=UID, check=True)
        lines = stream.stop()
    passed_over = passed_over_in(lines).total()
    assert [one["comm"] for one in of("exec", lines)] == ["asks", "true"]
    (user,) = (row for row in last("users", lines)["rows"] if row["uid"] == UID)
    assert (user["execs"], user["failed"]) == (2, 0)
    rows = [row for row in last("syscalls", lines)["rows"] if row["name"] == "execveat"]
    assert_nearly(sum(row["count"] for row in rows), 80, passed_over)
