"""The text that BCC gets: which line is which, and what is rewritten for another kind of program."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from ebpftop.kernel.load.adapt import Compat, NotAdaptable, adapted
from ebpftop.kernel.load.lines import numbered
from ebpftop.kernel.load.source import Source, read_from
from ebpftop.kernel.load.source_files import Includes

OPEN = """\
// ebpftop: attach opened=syscall:openat returned=syscall_exit:openat
int opened(struct pt_regs *ctx, int dfd,
           const char __user *name, int flags)
{
    bpf_trace_printk("%d", PT_REGS_PARM4(ctx), flags);
    return 0;
}
int returned(struct pt_regs *ctx) { int ret = PT_REGS_RC(ctx); return 0; }
"""


def source(text: str) -> Source:
    return read_from(Path("/x/hello.c"), text, Includes(Path("/x/hello.c")))


def test_each_line_says_which_line_it_is() -> None:
    text = """\
#define TWO(a) do { \\
    a; } while (0)

struct data { int a; };
/* a
   comment */
int hello(void *ctx)
{
    TWO(call(1,
             2));
    return 0;
}
"""
    lines = numbered(source(text), text, "#define X 1").split("\n")
    assert lines[0] == "#define X 1"
    marks = {line: after for line, after in pairwise(lines) if line.startswith("#line")}
    original = text.split("\n")
    assert {int(mark.split()[1]) for mark in marks} == {1, 4, 5, 7, 8, 9, 11, 12}
    assert all(original[int(mark.split()[1]) - 1] == after for mark, after in marks.items())
    assert "BPF_ANNOTATE_KV_PAIR(__eb_type_0, int, struct data);" in lines


def test_a_body_on_the_line_of_its_function_keeps_line_and_columns() -> None:
    text = "BPF_HASH(m);\n/* é */ int f(void *c) { return 0; } int g(void *c) {\n    return 1; }\n"
    lines = numbered(source(text), text).split("\n")
    at = lines.index("/* é */ int f(void *c) {")
    assert lines[at - 1] == lines[at + 1] == '#line 2 "/hello.c"'
    assert lines[at + 2] == " " * len("/* é */ int f(void *c) {".encode()) + " return 0; } int g(void *c) {"
    assert lines[at + 3].startswith("#line 3")


def test_a_program_keeps_its_lines_and_gets_its_arguments() -> None:
    for kind, returns in (("tracepoint", "tracepoint"), ("raw_tracepoint", "raw_tracepoint"), ("fentry", "fexit")):
        text = adapted(source(OPEN), {"opened": kind, "returned": returns}, compat=Compat(16, 2))  # type: ignore[dict-item]  # a literal of three
        assert text.count("\n") == OPEN.count("\n")
        assert text.split("\n")[5] == "    return 0;"
        assert "PT_REGS" not in text
        assert "int flags; flags = (int)" in text


def test_what_is_right_already_stays() -> None:
    text = "int kprobe__vfs_read(struct pt_regs *ctx, void *file) { return PT_REGS_PARM2(ctx) != 0; }"
    assert adapted(source(text), {"kprobe__vfs_read": "kprobe"}) == text
    text = "TRACEPOINT_PROBE(sched, sched_switch) { return args->prev_pid; }"
    assert adapted(source(text), {"tracepoint__sched__sched_switch": "tracepoint"}) == text


@pytest.mark.parametrize(
    ("text", "function", "kind", "words"),
    [
        ("int kprobe__f(void *ctx, int a) { return 0; }", "kprobe__f", "raw_tracepoint", "kernel function"),
        ("TRACEPOINT_PROBE(a, b) { return 0; }", "tracepoint__a__b", "kprobe", "written for tracepoint"),
        ("int kretprobe__f(void *ctx) { return PT_REGS_RC(ctx); }", "kretprobe__f", "fexit", "is not known"),
        ("int kprobe__sys_nothing(void *ctx) { return 0; }", "kprobe__sys_nothing", "raw_tracepoint", "no system call"),
        ("int kprobe__f(void *ctx, int (*g)(int)) { return 0; }", "kprobe__f", "fentry", "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_rewritten_is_refused_with_the_reason(text: str, function: str, kind: str, words: str) -> None:
    with pytest.raises(NotAdaptable, match=words):
        adapted(source(text), {function: kind})  # type: ignore[dict-item]  # of one of the kinds


BY_HAND = """\
// ebpftop: attach f=kprobe:__x64_sys_openat
int f(struct pt_regs *ctx)
{
    struct pt_regs *regs = (struct pt_regs *)PT_REGS_PARM1(ctx);
    return PT_REGS_PARM2(regs) != 0;
}
"""


@pytest.mark.parametrize("name", ["__x64_sys_openat", "__arm64_sys_openat", "sys_openat"])
def test_registers_that_are_read_by_hand_are_those_of_the_call_elsewhere_too(name: str) -> None:
    text = BY_HAND.replace("__x64_sys_openat", name)
    here = adapted(source(text), {"f": "kprobe"})
    assert here == text.replace("PT_REGS_PARM2(regs)", "(__EB_ARG2(regs))")
    raw = adapted(source(text), {"f": "raw_tracepoint"})
    assert "((struct pt_regs *)__EB_WORD(ctx, 0))" in raw
    assert "(__EB_ARG2(regs))" in raw
    assert "__eb_nr" in raw


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (BY_HAND, "tracepoint", "does not have the registers"),
        (BY_HAND.replace("ctx)", "ctx, int dfd)"), "raw_tracepoint", "attach it to syscall:NAME"),
        (BY_HAND.replace("ctx)", "ctx, int dfd)"), "kprobe", "attach it to syscall:NAME"),
        (BY_HAND.replace("PT_REGS_PARM1(ctx)", "ctx->di"), "raw_tracepoint", r"PT_REGS_PARM1\(ctx\) is understood"),
        (BY_HAND.replace("__x64_sys_openat", "__ia32_sys_openat"), "raw_tracepoint", "kernel function"),
        (BY_HAND.replace("__x64_sys_openat", "sys_imageblit"), "raw_tracepoint", "kernel function"),
    ],
)  # fmt: skip
def test_what_a_function_of_a_system_call_does_not_have_is_refused(text: str, kind: str, words: str) -> None:
    with pytest.raises(NotAdaptable, match=words):
        adapted(source(text), {"f": kind})  # type: ignore[dict-item]  # of one of the kinds


def test_a_program_for_the_btf_of_a_call_passes_over_others_at_a_tracepoint() -> None:
    text = "KFUNC_PROBE(__x64_sys_openat, const struct pt_regs *regs)\n{ return regs->si != 0; }\n"
    made = adapted(source(text), {"kfunc__vmlinux____x64_sys_openat": "tp_btf"}, compat=Compat(16, 2))
    assert "unsigned long __eb_nr = __EB_WORD(ctx, 1);" in made
    assert made.endswith("return regs->si != 0; }\n")
    text = "KRETFUNC_PROBE(vmlinux, sys_openat, struct pt_regs *regs, int ret) { return ret; }\n"
    made = adapted(source(text.replace("KRET", "MODULE_KRET")), {"kretfunc__vmlinux__sys_openat": "tp_btf"})
    assert "__EB_NR(__EB_TRACED(ctx))" in made
    text = "KFUNC_PROBE(__x64_sys_openat, struct pt_regs *regs, int dfd) { return dfd; }\n"
    with pytest.raises(NotAdaptable, match="has one argument"):
        adapted(source(text), {"kfunc__vmlinux____x64_sys_openat": "tp_btf"})


def test_the_result_of_a_function_is_behind_its_arguments() -> None:
    text = "int kretprobe__f(void *ctx) { return PT_REGS_RC(ctx); }"
    assert "__EB_WORD(ctx, 3)" in adapted(source(text), {"kretprobe__f": "fexit"}, counts={"kretprobe__f": 3})


def test_a_raw_tracepoint_of_all_calls_passes_over_others() -> None:
    text = adapted(source(OPEN), {"opened": "raw_tracepoint"}, compat=Compat(16, 2))
    gate = next(line for line in text.split("\n") if "__eb_nr" in line)
    assert "return 0;" in gate
    assert "& 0x2u" in gate
