"""Command lines of rows and filters, tried with the tools themselves: no name gets out of its quotes."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpftop.cli.commands import parser
from ebpftop.commands.kernel_options import chosen_filter
from ebpftop.core.escape import escape, printable
from ebpftop.filters.spec import Filter
from ebpftop.models.copy_as import CommandLine, command_lines
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.processes import Lineage, ProcessInfo
from ebpftop.models.subject import Subject, subject_of_exec, subject_of_process
from ebpftop.models.watch import compile_watch
from ebpftop.models.watch_choices import watch_choices

from ..screens.scene import ran

HOSTILE = (
    "cc1",
    "a b",
    "it's",
    '"; rm -rf /',
    "$(id)",
    "`id`",
    "-rf",
    "--",
    "a/ { } b",
    "/* x */",
    "%s%n",
    "x\\(1)",
    "*",
    "a*",
    ".*",
    "ä€😀",
    "!",
    "\\x1b[31m",
    "~",
    "#",
    "then",
    "A=1",
)
ROWS = [
    Subject("exec", "cc1", 812, True, ("cc", "-c", "it's.c"), "/usr/bin/cc", None, 0, "root"),
    Subject("exec", "cc1", 812, False, ("cc", "-c", "it's.c"), "/usr/bin/cc", None, 0, "root"),
    Subject("exec", "sh", 812, False, ("pg_dump", "shop"), "pg_dump", "ENOENT", 0, "root"),
    Subject("user", uid=1000, user="ann"),
    Subject("call", call="openat", abi="x86_64", nr=257),
    Subject("trace", "biolat", 7, text="slow io"),
    Subject("open", "cat", 7, text="/etc/shadow", error="EACCES"),
]
NAMES = ["running", "ended", "failed", "user", "call", "trace", "open"]


def lines_of(subject: Subject, wanted: Filter = Filter()) -> list[CommandLine]:  # noqa: B008  # frozen
    return command_lines(subject, wanted, ("execs",))


def by_tool(tool: str, subject: Subject) -> list[list[str]]:
    return [shlex.split(line.text) for line in lines_of(subject) if line.tool == tool]


def with_name(subject: Subject, name: str) -> Subject:
    return Subject(
        subject.kind, name if subject.comm else "", subject.pid, subject.running,
        (name, *subject.argv[1:]) if subject.argv else (), name if subject.file else "", subject.error,
        subject.uid, subject.user, None, subject.call, subject.abi, subject.nr, name if subject.text else "",
    )  # fmt: skip


@pytest.mark.parametrize("subject", ROWS, ids=NAMES)
def test_each_row_has_lines_of_the_tools_that_fit_it(subject: Subject) -> None:
    tools = {line.tool for line in lines_of(subject)}
    assert {"ebpftop", "bpftrace", "jq"} <= tools
    assert ("strace" in tools) is (subject.kind in ("exec", "call", "trace", "open"))


def test_the_lines_of_a_running_program() -> None:
    prints = r'{ printf("%d %s\n", pid, str(args->filename)); }'
    jq = """jq -c 'select(.kind == "exec" and .comm == "cc1")'"""
    counts = "{ @[args->id] = count(); }"
    assert [(line.tool, line.text) for line in lines_of(ROWS[0], Filter(uids=(0,)))] == [
        ("command", """cc -c 'it'"'"'s.c'"""),
        ("ebpftop", "sudo ebpftop --uid 0 --comm cc1"),
        ("ebpftop", "sudo ebpftop stream --probes syscalls --trace all:pid=812"),
        ("jq", f"sudo ebpftop stream --probes execs --uid 0 --comm cc1 | {jq}"),
        ("bpftrace", f"""sudo bpftrace -e 'tracepoint:sched:sched_process_exec /comm == "cc1"/ {prints}'"""),
        ("bpftrace", f"""sudo bpftrace -e 'tracepoint:raw_syscalls:sys_enter /comm == "cc1"/ {counts}'"""),
        ("strace", "sudo strace -f -p 812"),
        ("strace", """strace -f -- cc -c 'it'"'"'s.c'"""),
        ("ebpftop", "sudo ebpftop --uid 0"),
        ("ebpftop", "sudo ebpftop stream --uid 0"),
    ]


def test_without_a_row_a_filter_alone_is_written() -> None:
    assert [line.text for line in command_lines(None, Filter(comms=("-x", "a b")))] == [
        "sudo ebpftop --comm=-x --comm 'a b'",
        "sudo ebpftop stream --comm=-x --comm 'a b'",
    ]
    assert command_lines(None, Filter()) == []


def test_a_traced_call_has_lines_with_its_condition_where_a_tool_can_express_it() -> None:
    def traced(*conditions: str) -> dict[str, list[str]]:
        subject = Subject("call", call="openat", abi="x86_64", nr=257, conditions=conditions)
        found: dict[str, list[str]] = {"ebpftop": [], "strace": [], "bpftrace": []}
        for line in lines_of(subject):
            if line.tool in found and line.about not in ("who makes this call", "its latency"):
                found[line.tool].append(line.text)
        return found

    stream = "sudo ebpftop stream --probes syscalls --trace"
    assert traced() == {
        "ebpftop": [f"{stream} openat"],
        "strace": ["strace -f -e trace=openat -- sh"],
        "bpftrace": [],
    }
    failed = traced("failed:pid=8")
    assert failed["ebpftop"] == [f"{stream} openat:failed:pid=8"]
    assert failed["strace"] == ["sudo strace -f -e trace=openat -Z -p 8"]
    assert "/args->id == 257 && pid == 8 && args->ret < 0/" in failed["bpftrace"][0]
    slow = traced(">10ms", "EACCES")
    assert slow["ebpftop"] == [f"{stream} 'openat:>10ms,openat:EACCES'"]
    assert slow["strace"] == [], "it knows neither times nor one error"
    assert "nsecs - @s[tid] > 10000000" in slow["bpftrace"][0]
    assert "args->ret == -13" in slow["bpftrace"][1]
    assert traced("/etc/it's")["strace"] == ["""strace -f -e trace=openat -P '/etc/it'"'"'s' -- sh"""]
    assert traced("/etc/*")["strace"] == []


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("subject", ROWS, ids=NAMES)
def test_ebpftop_takes_its_own_lines(subject: Subject, name: str) -> None:
    for words in by_tool("ebpftop", with_name(subject, name)):
        assert words[:2] == ["sudo", "ebpftop"]
        rest = words[2:] if words[2:3] == ["stream"] else ["live", *words[2:]]
        taken = chosen_filter(parser(rest[0]).parse_args(rest))
        if "--trace" in words:
            continue  # calls, not what a filter picks
        if subject.comm and "\\" not in name and "*" not in name and name != "--":
            assert taken.comms == (name,)
        elif subject.comm:
            assert (taken.comms, taken.pids) == ((), (subject.pid,))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("subject", ROWS, ids=NAMES)
def test_a_shell_sees_one_command_and_jq_finds_the_record(subject: Subject, name: str) -> None:
    named = with_name(subject, name)
    for words in by_tool("jq", named):
        at = words.index("|")
        record = {
            "kind": "syscall" if named.call else "exec" if named.kind == "user" else named.kind,
            "name": named.call,
            "comm": named.comm,
            "task": named.comm,
            "uid": named.uid,
            "error": named.error or ("E" if named.call else None),
        }
        other = dict(record, comm="other", task="other", uid=4, name="other")
        text = "".join(json.dumps(one) + "\n" for one in (record, other))
        found = subprocess.run(words[at + 1 :], input=text, capture_output=True, text=True, check=True).stdout
        assert [json.loads(line) for line in found.splitlines()] == [record]


@pytest.mark.parametrize("name", HOSTILE)
def test_the_command_itself_comes_out_of_a_shell_as_it_was(name: str) -> None:
    named = with_name(ROWS[0], name)
    if name == "\\x1b[31m":
        return  # the next test
    (line,) = (line for line in lines_of(named) if line.tool == "command")
    shown = subprocess.run(["sh", "-c", f"printf '%s\\0' {line.text}"], capture_output=True, check=True).stdout
    assert shown.decode().split("\0")[:-1] == list(named.argv)
    for words in by_tool("strace", named):
        if "--" in words and "pgrep" not in " ".join(words):
            assert words[words.index("--") + 1 :] == list(named.argv)


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "b\u202eidi", "\U000e0041", b"\xff"])
def test_a_command_of_which_not_every_byte_is_known_is_not_offered_to_run(text: str | bytes) -> None:
    for running in (True, False):
        told = lines_of(Subject("exec", "cc", 812, running, ("cc", escape(text)), "/usr/bin/cc", None, 0, "root"))
        assert told
        assert not [line for line in told if "run it again" in line.about]


@pytest.mark.parametrize("text", ["\\n", "\\.c$", "\\0", "\\xy", "C:\\x"])
def test_a_backslash_that_is_no_escape_is_itself(text: str) -> None:
    subject = Subject("exec", "tr", 812, False, ("tr", escape(text)), "/usr/bin/tr", None, 0, "root")
    assert [shlex.split(line.text)[-1] for line in lines_of(subject) if "run it again" in line.about] == [text] * 2


def test_a_command_that_was_cut_is_not_offered_to_run() -> None:
    whole, cut = (ran(1.0, 5, "cc", "-c", "a.c", truncated=truncated) for truncated in (False, True))
    for record, count in ((whole, 3), (cut, 0)):
        assert len(subject_of_exec(ExecRow(record, Lineage(record.pid, record.start_ns, record.ppid))).argv) == count
        assert len(subject_of_process(ProcessInfo(record)).argv) == count


@pytest.mark.parametrize("name", HOSTILE)
def test_pgrep_searches_for_the_name_itself(name: str) -> None:
    if "\\" in name:
        return
    (line,) = (line for line in lines_of(with_name(ROWS[5], name)) if line.tool == "strace")
    inner = line.text.partition("$(")[2].rpartition(")")[0]
    words = shlex.split(inner)
    assert words[:4] == ["pgrep", "-d,", "-x", "--"]
    assert subprocess.run(words, capture_output=True, check=False).returncode in (0, 1)


def test_strace_attaches_to_a_running_program() -> None:
    if shutil.which("strace") is None:
        return
    with subprocess.Popen(["sleep", "60"]) as child:
        (attach, _) = by_tool("strace", Subject("exec", "sleep", child.pid, True, ("sleep", "60"), "/bin/sleep"))
        with subprocess.Popen(attach[1:], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            assert "attached" in tracer.stderr.readline()
            tracer.terminate()
        child.kill()


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=15))
def test_no_name_breaks_a_line(name: str) -> None:
    comm = printable(name)
    lines = [line.text for subject in ROWS for line in lines_of(with_name(subject, comm))]
    assert "\n" not in "".join(lines)
    # A shell parses each, in a function that it does not run: the next line is not inside a quote of this one.
    script = "".join(f"f{at}() {{\n{line}\n}}\n" for at, line in enumerate(lines)) + f"type f{len(lines) - 1}"
    subprocess.run(["sh", "-c", script], stdout=subprocess.DEVNULL, check=True)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("subject", ROWS, ids=NAMES)
def test_what_is_offered_to_watch_for_compiles(subject: Subject, name: str) -> None:
    choices = watch_choices(with_name(subject, name))
    assert choices
    for choice in choices:
        compile_watch(choice.expression)


def there(**more: object) -> list[str]:
    """Return the lines of a program that lead to where it ran."""
    row = ExecRow(msgspec.structs.replace(ran(0, 7, "make", "it's"), **more), Lineage(7, 1, 1))
    return [line.text for line in lines_of(subject_of_exec(row)) if "where it ran" in line.about]


def test_a_program_runs_again_where_it_ran(tmp_path: Path) -> None:
    assert there(cwd="/srv/a b") == ["""cd '/srv/a b' && /usr/bin/make 'it'"'"'s'"""]
    assert there(cwd="/x", file="./make") == ["""cd /x && ./make 'it'"'"'s'"""]
    # Of a script, the arguments are its interpreter's.
    assert there(cwd="/x", file="/x/script", interp="/usr/bin/make") == ["""cd /x && make 'it'"'"'s'"""]
    for name in HOSTILE:
        if "\\" not in name and "/" not in name:
            folder = tmp_path / f"in {name}"
            folder.mkdir()
            row = ExecRow(ran(0, 7, "pwd", cwd=str(folder), file="/bin/pwd"), Lineage(7, 1, 1))
            line, *_ = [line.text for line in lines_of(subject_of_exec(row)) if "where it ran" in line.about]
            assert (
                subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout == f"{folder}\n"
            )


def test_below_another_root_directory_it_runs_again_there() -> None:
    (line,) = there(cwd="/in", root="/jail it's")
    words = shlex.split(line)
    assert words[:5] == ["sudo", "chroot", "/jail it's", "sh", "-c"]
    assert shlex.split(words[5]) == ["cd", "/in", "&&", "/usr/bin/make", "it's"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"cwd": "/gone (deleted)"},
        {"cwd": "(unreachable)/x"},
        {"cwd": "(cut)/x", "cut": ("cwd",)},
        {"cwd": "/a\\xff"},
        {"cwd": "/x", "truncated": True},
    ],
)
def test_where_one_cannot_go_no_line_leads(more: dict[str, object]) -> None:
    assert there(**more) == []


def test_what_is_known_in_part_only_is_said() -> None:
    def about(**more: object) -> str:
        row = ExecRow(msgspec.structs.replace(ran(0, 7, "make"), **more), Lineage(7, 1, 1))
        return next(line.about for line in lines_of(subject_of_exec(row)) if line.tool == "command")

    assert about(cwd="/x") == "run it again"
    assert about(cwd="(cut)/x", cut=("cwd",)) == "run it again, but of its directory only a part is known"
    assert about(cwd="/x", env_names=("A",), cut=("env_names",)) == "run it again"
    cut = {"cwd": "/x", "root": "(cut)/j", "env": {"PATH": "/x"}, "cut": ("root", "env")}
    assert about(**cut) == "run it again, but of its root directory and environment only a part is known"
    # With a part of the environment it would not run as it ran.
    (line,) = there(cwd="/x", env={"PATH": "/x"}, cut=("env",))
    assert "env" not in line


def test_a_program_runs_again_with_its_environment(tmp_path: Path) -> None:
    folder = str(tmp_path)
    (line,) = there(
        cwd=folder, file="/usr/bin/env", argv=("env",), env={"PATH": "/x y", "B": "it's $HOME", "C": "a\\x0ab"}
    )
    ran_again = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    # A value that may not be what is written here is left out.
    assert sorted(ran_again.splitlines()) == ["B=it's $HOME", "PATH=/x y"]
    # What was asked for is not all of it: the rest stays as it is.
    (line,) = there(cwd="/x", env={"LANG": "C"})
    assert line == """cd /x && env LANG=C /usr/bin/make 'it'"'"'s'"""


@pytest.mark.parametrize("path", ["/a.slice/b.service", '/it\'s/$(id) "x"', "/-rf"])
@pytest.mark.parametrize("container", [None, "06c200bb1487"])
def test_a_unit_or_a_container_is_a_filter_and_a_condition(path: str, container: str | None) -> None:
    subject = Subject("group", container=container, cgroup=path, text="it")
    (words,) = by_tool("ebpftop", subject)
    assert chosen_filter(parser("live").parse_args(["live", *words[2:]])) == (
        Filter(cgroups=(path,)) if container is None else Filter(containers=(container,))
    )
    (line,) = by_tool("jq", subject)
    of = {"kind": "exec", "cgroup": path, "container": container}
    records = (of, dict(of, cgroup=f"{path}/below"), dict(of, cgroup=f"{path}x", container="other"))
    text = "".join(json.dumps(one) + "\n" for one in records)
    found = subprocess.run(line[line.index("|") + 1 :], input=text, capture_output=True, text=True, check=True).stdout
    assert [json.loads(one) for one in found.splitlines()] == [*records[:2]]
    for choice in watch_choices(subject):
        compile_watch(choice.expression)
