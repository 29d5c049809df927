"""What is wrong with a file, of all that failed in it."""

from __future__ import annotations

import errno
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from ebpftop.core.load_records import CodeLine, Diagnostic
from ebpftop.kernel.load.built import ShownCode
from ebpftop.kernel.load.loading import LineInfo, Loading, ProgramState
from ebpftop.kernel.load.misspelt import Misspelt
from ebpftop.kernel.load.source_files import Included
from ebpftop.kernel.root_work import RootWork
from ebpftop.probes import load_problems
from ebpftop.probes.load_problems import diagnostics, in_a_line
from ebpftop.probes.load_report import codes

SOURCE = "int hello(void *ctx) {\n\tint unused;\n\treturn 0;\n}\n"
WARNING = "/hello.c:2:6: warning: unused variable 'unused' [-Wunused-variable]\n"
HELLO = ProgramState("hello", 3, 17, ("profile:hz:99",))


def test_code_says_why_helpers_have_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ended(number: int) -> int:
        asked.append(number)
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    shown = ShownCode((CodeLine(at=0, text="call a helper"),), (), "x86_64")
    running = SimpleNamespace(code=lambda fd, request: shown)
    monkeypatch.setattr("ebpftop.kernel.load.server.running", lambda: running)
    monkeypatch.setattr("ebpftop.probes.load_report.program_id", lambda fd: fd + 1)
    hello = ProgramState("hello", 7, 2)
    root = cast(RootWork, SimpleNamespace(program_fd=ended))
    (code,) = codes(1.0, Loading(ok=True, generation=1, programs=(hello,)), "hello.c", {}, root)
    assert code.unnamed == "no names of helpers, no machine code: ebpftop-root, which opens them, has ended"
    assert asked == [8]


def test_a_warning_does_not_hide_what_is_not_attached() -> None:
    hello = replace(HELLO, reason="there is no function nothing")
    found = list(diagnostics(Loading(True, 1, output=WARNING, source=SOURCE, programs=(hello,)), "hello.c"))
    assert [(one.stage, one.severity, one.line) for one in found] == [
        ("clang", "warning", 2),
        ("attach", "error", None),
    ]
    assert found[1].message == "there is no function nothing"


def test_what_is_not_attached_stands_beside_the_line_that_says_where() -> None:
    hello = replace(HELLO, events=("syscall:exceve",), line=3, reason="no kprobes; no tracepoint; no call exceve")
    (found,) = diagnostics(Loading(True, 1, source=SOURCE, programs=(hello,)), "hello.c")
    assert (found.severity, found.line, found.message) == ("error", 3, "there is no system call exceve")
    assert found.suggestion == "execve or execveat?"
    partly = replace(HELLO, attached=("raw_tracepoint:sys_enter",), line=3, reason="the other is refused")
    (found,) = diagnostics(Loading(True, 1, source=SOURCE, programs=(partly,)), "hello.c")
    assert (found.severity, found.line, found.message) == ("warning", 3, "the other is refused")


def test_a_program_that_was_never_tried_is_no_fault_of_the_verifier() -> None:
    hello = replace(HELLO, fd=None, events=("lsm:x",), line=2, reason="this kernel describes no function bpf_lsm_x")
    (found,) = diagnostics(Loading(False, 0, "verifier", "refused", source=SOURCE, programs=(hello,)), "hello.c")
    assert (found.stage, found.line) == ("attach", 2)


def test_a_map_and_a_slot_have_their_lines() -> None:
    source = "BPF_PROG_ARRAY(calls, 4);\n// ebpftop: slot calls[9]=hello\nint hello(void *ctx) { return 0; }\n"
    (found,) = diagnostics(Loading(True, 1, source=source, slot_errors={"calls[9]": "it is full"}), "hello.c")
    assert (found.line, found.message) == (2, "calls[9] stays empty: it is full")
    (found,) = diagnostics(Loading(False, 0, "map", "calls is too large", line=1, source=source), "hello.c")
    assert (found.line, found.message) == (1, "calls is too large")


def test_a_program_whose_lines_are_not_counted_says_why() -> None:
    hello = replace(HELLO, attached=("kprobe:x",), counts_reason="it has no room left on its stack")
    found = list(diagnostics(Loading(True, 1, source=SOURCE, programs=(hello,)), "hello.c"))
    assert [(one.severity, one.message) for one in found] == [
        ("warning", "the lines of hello are not counted: it has no room left on its stack")
    ]


def test_a_refusal_without_a_word_has_its_error_number_explained() -> None:
    hello = replace(HELLO, fd=None, errno=1, reason="the kernel refused to load it")
    found = list(diagnostics(Loading(False, 0, "verifier", "refused", source=SOURCE, programs=(hello,)), "hello.c"))
    assert [(one.program, one.message) for one in found] == [("hello", "the kernel refused it: EPERM")]
    assert found[0].meaning


def test_a_program_that_the_verifier_accepted_is_not_to_blame() -> None:
    refused = replace(HELLO, fd=None, errno=13, log="0: (95) exit\nR0 !read_ok\nprocessed 1 insns\n")
    accepted = ProgramState("tail", None, 17, log="processed 10 insns (limit 1000000)\n", line=2)
    tried = Loading(False, 0, "verifier", "refused", source=SOURCE, programs=(refused, accepted))
    assert [one.program for one in diagnostics(tried, "hello.c")] == ["hello"]


def test_lines_of_headers_are_not_taken_for_lines_of_the_file() -> None:
    lines = (LineInfo(0, 1, 1, "hello.c", ""), LineInfo(1, 3, 1, "helpers.h", ""))
    hello = replace(HELLO, fd=None, errno=22, log="unreachable insn 1\n", lines=lines)
    (found,) = diagnostics(Loading(False, 0, "verifier", "refused", source=SOURCE, programs=(hello,)), "hello.c")
    assert found.line == 1


def test_a_file_that_is_missing_is_said_beside_the_line_that_includes_it() -> None:
    (found,) = diagnostics(Loading(True, 1, source=SOURCE, missing={"x.h": 2}), "hello.c")
    assert (found.severity, found.line, found.message) == (
        "warning",
        2,
        "there is no x.h beside hello.c: it counts as empty",
    )


def test_messages_name_files_as_the_user_does() -> None:
    output = (
        "In file included from /h_llo.c:1:\n/tree/include/quoted/x.h:1:1: error: unknown\n/h_llo.c:2:1: error: no\n"
    )
    tried = Loading(False, 0, "clang", "no", output=output, source=SOURCE, included={"x.h": Included(1, "int a")})
    first, second = diagnostics(tried, "h\u00e4llo.c")
    assert (first.line, second.line) == (1, 2)
    assert first.log == (
        "In file included from h\u00e4llo.c:1:",
        "x.h:1:1: error: unknown",
        "h\u00e4llo.c:2:1: error: no",
    )


def test_a_line_for_stderr_counts_bytes_as_compilers_do() -> None:
    source = '\tchar *s = "\u65e5\u672c"; nothing;\n'
    column = 1 + len(source[: source.index("nothing")].encode())
    output = f"/hello.c:1:{column}: error: use of undeclared identifier 'nothing'\n"
    (found,) = diagnostics(Loading(False, 0, "clang", "no", output=output, source=source), "hello.c")
    assert found.column == 1 + len(source[: source.index("nothing")].expandtabs(8))
    assert in_a_line("hello.c", found, source).startswith(f"hello.c:1:{column}: use of undeclared")


def test_a_tracepoint_that_there_is_not_is_said_once_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        load_problems,
        "misspelt",
        lambda event: Misspelt(f"there is no {event}", "x:y?") if event.target == ("a_b", "c") else None,
    )
    source = "TRACEPOINT_PROBE(a_b, c) {\n\treturn args->x;\n}\n"
    output = (
        "/hello.c:1:1: warning: declaration of 'struct tracepoint__a_b__c' will not be visible outside [-Wvisibility]\n"
        "/hello.c:2:13: error: incomplete definition of type 'struct tracepoint__a_b__c'\n"
    )
    (found,) = diagnostics(Loading(False, 0, "clang", "it failed", output=output, source=source), "hello.c")
    assert (found.line, found.severity, found.message) == (1, "error", "there is no tracepoint:a_b:c")
    assert (found.meaning, found.suggestion) == ("", "x:y?")


def test_a_program_that_nothing_runs_has_a_warning() -> None:
    idle = ProgramState("read_ret", 4, 2, line=1)
    tried = Loading(True, 1, source="int read_ret(void *ctx) { return 0; }\n", programs=(idle,))
    (found,) = diagnostics(tried, "hello.c")
    assert (found.severity, found.line) == ("warning", 1)
    assert "never runs" in found.message
    calls = replace(tried, source=f"BPF_PROG_ARRAY(calls, 4);\n{tried.source}")
    assert list(diagnostics(calls, "hello.c")) == []


def test_sentences_are_joined_without_a_full_stop_before_the_semicolon() -> None:
    one = Diagnostic(stage="clang", line=1, message="expected ';'", meaning="It is not there.", suggestion="add it")
    assert in_a_line("a.c", one, "x") == "a.c:1: expected ';'; It is not there; add it"
