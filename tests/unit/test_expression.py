"""Expressions of `--when`: what they mean, what is refused, and where."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ebpftop.core.escape import escape
from ebpftop.core.process_records import EnvDifference, Killer
from ebpftop.core.records import Cost, Lost, Record
from ebpftop.core.syscall_records import InFlight, ProcessCalls, Syscall, Syscalls
from ebpftop.filters.expression import compile_expression
from ebpftop.filters.expression_tokens import LONGEST, ExpressionError
from ebpftop.models.watch import compile_watch
from ebpftop.probes.registry import registry
from tests.unit.test_model_execlog import END, PROGRAM

KINDS = registry().kinds
CRASH = END.__class__(time=5.0, pid=7, uid=0, comm="php", code=None, signal="SIGSEGV", duration_s=2.5, core=True)
CALL = Syscall(
    time=1.0,
    pid=7,
    comm="php",
    abi="x86_64",
    nr=0,
    name="read",
    args=("3", '"x"'),
    ret=-11,
    ns=20_000_000,
    error="EAGAIN",
)
WAITING = InFlight(pid=9, tid=9, comm="db", abi="x86_64", nr=0, name="read", ns=12_000_000_000)
BUSY = ProcessCalls(
    pid=9, start_ns=9, comm="db", abi="x86_64", nr=0, name="read", count=7, total_ns=12_000_000_000, max_ns=5
)
READING = Syscalls(time=3.0, rows=(), in_flight=(WAITING,), families={"exec": 4}, processes=(BUSY,))
PLACED = msgspec.structs.replace(
    PROGRAM,
    exe="/usr/bin/sleep",
    cwd="/srv",
    sid=7,
    stdio=(None, "socket:[9]", "/dev/null"),
    env={"LANG": "C", "LC_ALL": "a\\x0ab"},
    env_names=("LANG", "LC_ALL", "LD_PRELOAD"),
    env_differs=EnvDifference(new=("LD_PRELOAD",), changed=(), gone=("HOME",)),
    cut=("cwd",),
)
USED = msgspec.structs.replace(
    CRASH,
    user_s=1.25,
    system_s=0.5,
    max_rss_bytes=5_000_000_000,
    major_faults=3,
    minor_faults=900,
    read_bytes=10,
    written_bytes=20,
    storage_read_bytes=None,
    storage_written_bytes=0,
    threads=4,
    killer=Killer(pid=812, comm="php-fpm", uid=33),
    oom=True,
)
RECORDS: dict[str, Record] = {
    "exec": PLACED,
    "exit": USED,
    "syscall": CALL,
    "syscalls": READING,
    "lost": Lost(time=1.0, probe="execs", where="argv", count=54),
    "cost": Cost(time=1.0, kernel=None, user=0.25, runs=None),
}


def matches(text: str) -> bool:
    expression = compile_expression(text, KINDS, escape)
    return any(test(RECORDS[kind]) is True for kind, test in expression.tests.items())


@pytest.mark.parametrize(
    "text",
    [
        'exit.signal == "SIGSEGV"',
        "exit.signal=='SIGSEGV'",
        "exit.signal != null && exit.core",
        'exit.code == null and not (exit.comm == "sh")',
        "exit.duration_s > 2s",
        "exit.duration_s > 2400ms && exit.duration_s < 1m",
        "syscall.ns >= 20ms",
        "20ms <= syscall.ns",
        "syscall.ns == 20000000",
        "syscall.ret < 0",
        "syscall.ret == -11",
        'syscall.error in ["EAGAIN", "EIO"]',
        "exit.pid in [1, 7]",
        'exec.argv[1] == "9"',
        "exec.argv[9] == null && exec.argv.size() == 2",
        '"9" in exec.argv && !("x" in exec.argv)',
        'exec.argv.exists(a, a.startsWith("sle"))',
        "exec.argv.all(a, size(a) < 10)",
        'exec.exe.startsWith("/usr/") && exec.cwd == "/srv" && exec.tty == null && exec.root == null',
        'exec.stdio[0] == null && exec.stdio.exists(f, f.startsWith("socket:")) && exec.sid == 7',
        'exec.file.matches("^/usr/.*sleep$") && exec.file.contains("bin") && exec.file.endsWith("sleep")',
        'exec.env.LANG == "C" && exec.env["LC_ALL"] == "a\\nb" && exec.env.PATH == null && "LANG" in exec.env',
        '"LD_PRELOAD" in exec.env_names && "LD_PRELOAD" in exec.env_differs.new && exec.env_names.size() == 3',
        'exec.env_differs.gone.exists(n, n == "HOME") && size(exec.env_differs.changed) == 0 && has(exec.env_differs)',
        '"cwd" in exec.cut && exec.exe_inode == null',
        "exit.user_s > 1s && exit.system_s == 500ms && exit.max_rss_bytes > 4000000000",
        "exit.major_faults >= 3 && exit.minor_faults == 900 && exit.threads > 1 && exit.oom && !exit.forked",
        "exit.read_bytes < exit.written_bytes && exit.storage_read_bytes == null && exit.storage_written_bytes == 0",
        'exit.killer.comm.startsWith("php") && exit.killer.pid == 812 && exit.killer.uid in [33] && has(exit.killer)',
        "exit.user_s > exit.system_s",
        "syscalls.processes.exists(p, p.total_ns > 10s && p.max_ns < 1us)",
        "syscalls.in_flight.exists(call, call.ns > 10s && !call.before)",
        'syscalls.families.exec >= 4 && syscalls.families["exec"] == 4 && syscalls.families.timer == null',
        "syscalls.in_flight.size() == 1",
        'exec.comm == "nobody" || exit.comm == "php"',
        '(exec.comm == "nobody" || exit.comm == "php") || lost.count < 0',
        "cost.user > 0.2 && cost.kernel == null && has(cost.user) && !has(cost.kernel)",
        'lost.where == "argv"',
        "exec.time > 99.5",
        "  exit.core  ",
        r'exit.comm == "\x70hp" && exit.comm != "\"" && exit.comm != "\u0070"',
    ],
)
def test_it_matches(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize(
    ("comm", "text"),
    [
        (b"n\nl", r'exit.comm == "n\nl"'),
        (b"n\nl", r'exit.comm == "n\x0al"'),
        (b"n\nl", r'exit.comm in ["n\u000al"] && exit.comm.startsWith("n\n") && exit.comm.contains("\nl")'),
        (b"n\nl", r'exit.comm.matches("^n\nl$")'),
        (b"\xe2\x80\xaex", r'exit.comm == "\u202ex"'),
        (b"\xffx", r'exit.comm == "\\xffx"'),
        (b"a\\b", r'exit.comm == "a\\b"'),
        ("\u00e9".encode(), r'exit.comm == "\u00e9" && exit.comm.matches("^\u00e9$")'),
    ],
)
def test_a_literal_is_what_the_program_said(comm: bytes, text: str) -> None:
    exited = CRASH.__class__(time=5.0, pid=7, uid=0, comm=escape(comm), code=0, signal=None, duration_s=2.5, core=False)
    assert compile_expression(text, KINDS, escape).tests["exit"](exited) is True


@pytest.mark.parametrize(
    "text",
    [
        "exit.code > 0",
        "exit.code <= 0",
        'exec.error == "ENOENT"',
        "cost.kernel > 0.0",
        "exit.duration_s > 3s",
        'exec.interp.startsWith("/bin")',
        "syscalls.in_flight.exists(call, call.ns > 13s)",
        "exec.argv.all(a, size(a) > 2)",
        "false && exit.core",
    ],
)
def test_what_is_null_or_less_does_not_match(text: str) -> None:
    assert not matches(text)


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        (
            'exit.sig == "SIGSEGV"',
            5,
            r"no field sig; did you mean signal\? It has time \(Unix seconds\), .*duration_s \(seconds or null\)",
        ),
        ("syscall.time_ns > 1", 8, r"syscall has no field .*ns \(nanoseconds or null\)"),
        ("exit.code > 10ms", 12, "exit.code is no duration"),
        ("exit.time > 10s", 12, "exit.time is no duration"),
        ('exit.code == "1"', 13, "exit.code is a number or null, this is text"),
        ("exit.comm == 1", 13, "exit.comm is text, this is a number"),
        ("exit.core == 1", 13, "exit.core is true or false, this is a number"),
        ('exec.comm == "a" && exit.code == 1', 20, r"never both exec and exit; join these by \|\|"),
        ('signal == "x"', 0, "write exit.signal"),
        ("exits.code == 1", 0, r"did you mean exit\?"),
        ("exit.code = 1", 10, "write == to compare"),
        ('exit.signal == "SIG', 15, "is not closed"),
        ('probe.state == "bad"', 15, "one of failed, off, on"),
        ('lost.where in ["argv", "x"]', 23, "it is one of"),
        ("exit.duration_s > 10x", 18, "10x is not a number; units of time are ns, us"),
        ("exit.code == 1 == true", 15, "do not chain"),
        ("exit.code in [1, 'x']", 17, "this is text"),
        ("exit.code in 1", 13, "in is followed by a list"),
        ("syscalls.rows.count > 1", 14, "use exists"),
        ("exec.argv == 'x'", 13, "exec.argv is a list"),
        ("exec == null || exec", 16, "true or false"),
        ("true", 0, "no record is named"),
        ("", 0, "an expression is missing"),
        ("exit.code == ", 12, "a value is missing"),
        ("exit.code ==", 12, "a value is missing"),
        ("exit.", 5, "the name of a field is missing"),
        ("(exit.core", 10, r"\) is missing"),
        ("exit.core)", 9, "is not expected here"),
        ("exit.comm.lower() == 'x'", 16, "a value is missing"),
        ("exit.comm.lower('x')", 10, "lower is unknown; there are startsWith"),
        ("exit.comm.matches('(')", 18, r"a \( is not closed"),
        ("exit.comm.startsWith(1)", 21, "takes a text"),
        ("exit.code.startsWith('1')", 0, "is of a text"),
        ("exit.core > true", 10, "only equal"),
        ("exit.code > null", 10, "null is only equal"),
        ("syscalls.rows.exists(r, r.errnos.exists(e, true))", 24, "exists is of a list; r.errnos is values by name"),
        ("syscalls.rows.exists(r, syscalls.rows.exists(q, q.nr == r.nr))", 38, "too long"),
        ("exec.argv.exists(exec, true)", 17, "a name of its own"),
        ("exit.code == 1 # x", 15, "means nothing here"),
        ("__import__('os').system('x')", 0, "is not a kind of record"),
        ("exit.__class__ == null", 5, "has no field __class__"),
        ("(" * 60 + "exit.core" + ")" * 60, 40, "too many parentheses"),
        ("!" * 60 + "exit.core", 39, "too many !"),
        ("x" * (LONGEST + 1), LONGEST, "longer than"),
        ('header.host == "x"', 0, "is not a kind of record"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, at: int, says: str) -> None:
    with pytest.raises(ExpressionError, match=says) as raised:
        compile_watch(text)
    assert raised.value.at == at
    *_, line, mark = str(raised.value).split("\n")
    if text.strip() and at < 50:
        assert line[mark.index("^") :][:4] == text[raised.value.at :][:4]


@pytest.mark.parametrize("odd", ["\x1b[31m", "\u202e", "\U000e0041", "\u65e5\u672c"])
def test_the_mark_is_below_the_place_whatever_is_before_it(odd: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        compile_watch(f'exec.comm == "{odd}" X')
    *_, line, mark = map(escape, str(raised.value).split("\n"))
    assert cell_len(line.partition("X")[0]) == mark.index("^")


@given(st.text(alphabet="exitcmd.ns()[]!&|<>='\"\\ 0123_,{}:;\n\u202e", max_size=60))
def test_no_text_does_anything_but_compile_or_be_refused(text: str) -> None:
    with suppress(ExpressionError):
        for kind, test in compile_expression(text, KINDS, escape).tests.items():
            assert test(RECORDS[kind]) in (True, False)


def test_a_kind_that_is_not_named_is_not_looked_at() -> None:
    expression = compile_expression("exit.core || exec.ret < 0", KINDS, escape)
    assert set(expression.kinds) == {"exit", "exec"}


def test_every_expression_in_the_documentation_compiles() -> None:
    page = (Path(__file__).parents[2] / "docs/watch.md").read_text()
    found = re.findall(r"--when '([^']+)'", page)
    assert len(found) > 8
    for text in found:
        compile_watch(text)
