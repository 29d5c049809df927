"""Reading a C file of the user's own: its programs, its hints, and what is refused."""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpftop.core.c_text import CText
from ebpftop.kernel.load.events import EventError, parse
from ebpftop.kernel.load.hints import parse_all_attach
from ebpftop.kernel.load.source import Source, SourceRefused, read, read_from
from ebpftop.kernel.load.source_files import Includes, resolved

LESSONS = sorted((Path(__file__).parents[2] / "bpf/lesson").glob("*.c"))


def source(text: str, **attach: str) -> Source:
    events = parse_all_attach(f"{function}={event}" for function, event in attach.items())
    return read_from(Path("/x/hello.c"), text, Includes(Path("/x/hello.c")), events)


def programs(text: str) -> dict[str, tuple[str, ...]]:
    return {program.function: tuple(map(str, program.events)) for program in source(text).programs}


@pytest.mark.parametrize(
    ("text", "function", "event", "style"),
    [
        ("int kprobe__vfs_read(struct pt_regs *ctx) { return 0; }", "kprobe__vfs_read", "kprobe:vfs_read", "kprobe"),
        ("int kprobe__sys_clone(void *ctx) {}", "kprobe__sys_clone", "syscall:clone", "kprobe"),
        ("int kretprobe____x64_sys_bpf(void *c) {}", "kretprobe____x64_sys_bpf", "syscall_exit:bpf", "kprobe"),
        ("int kretprobe__vfs_read(void *c) {}", "kretprobe__vfs_read", "kretprobe:vfs_read", "kprobe"),
        (
            "TRACEPOINT_PROBE(random, urandom_read) {}",
            "tracepoint__random__urandom_read",
            "tracepoint:random:urandom_read",
            "tracepoint",
        ),
        (
            "RAW_TRACEPOINT_PROBE(sys_enter)\n{\n}",
            "raw_tracepoint__sys_enter",
            "raw_tracepoint:sys_enter",
            "raw_tracepoint",
        ),
        ("KFUNC_PROBE(vfs_open, struct path *p) {}", "kfunc__vmlinux__vfs_open", "fentry:vfs_open", "fentry"),
        ("KRETFUNC_PROBE(vfs_open, void *p, int r) {}", "kretfunc__vmlinux__vfs_open", "fexit:vfs_open", "fexit"),
        ("LSM_PROBE(bpf, int cmd) {}", "lsm__bpf", "lsm:bpf", "lsm"),
    ],
)  # fmt: skip
def test_the_name_of_a_program_says_where_it_hangs(text: str, function: str, event: str, style: str) -> None:
    (program,) = source(text).programs
    assert (program.function, [str(one) for one in program.events], program.style) == (function, [event], style)
    assert program.from_name


def test_other_functions_are_programs_without_an_event_unless_they_are_static() -> None:
    text = """
static inline int helper(int a) { return a; }
static __always_inline u64 other(void)
{
    return 1;
}
struct data { int a; };
enum e { A, B };
int table[] = { 1, 2 };
int hello(void *ctx) { if (1) { return helper(2); } return 0; }
int syscall__open(struct pt_regs *ctx, const char *name) { return 0; }
int read_it(struct pt_regs *ctx, int fd) __attribute__((unused)) { return 0; }
"""
    found = source(text).programs
    assert [(one.function, one.style, one.line, one.end_line) for one in found] == [
        ("hello", "plain", 10, 10),
        ("syscall__open", "syscall", 11, 11),
        ("read_it", "kprobe", 12, 12),
    ]


def test_comments_literals_and_directives_are_not_code() -> None:
    text = r"""
/* int no(void *ctx) { */
// int neither(void *ctx) { \
   int continued(void *ctx) {
#define BODY(x) int x(void *ctx) { \
    return 0; }
char brace[] = "} int lost(void *c) { \" ";
char c = '{', d = '\'';
int yes(void *ctx) { char s[] = "}"; /* } */ return 0; // }
}
int also(void *ctx) { return 0; }
"""
    assert list(programs(text)) == ["yes", "also"]


def test_a_function_under_an_if_has_one_of_two_heads() -> None:
    text = """
#ifdef A
int first(void *ctx) {
#else
int second(void *ctx) {
#endif
    return 0;
}
#if B
int third(void *ctx) { return 1; }
#endif
int last(void *ctx) { return 2; }
"""
    assert {"second", "third", "last"} <= programs(text).keys()


def test_hints_say_where_programs_hang_how_values_look_and_what_slots_hold() -> None:
    found = source("""
// ebpftop: attach hello=syscall:execve,syscall:execveat other=tracepoint:sched:sched_switch
/* ebpftop: show counter.key=uid output.delay=ns
 * ebpftop: slot calls[execve]=other calls[7]=hello
 */
// ebpftop: lesson 3
int hello(void *ctx) { return 0; }
int other(void *ctx) { return 0; }
""")
    assert [tuple(map(str, one.events)) for one in found.programs] == [
        ("syscall:execve", "syscall:execveat"),
        ("tracepoint:sched:sched_switch",),
    ]
    assert found.shows == {"counter.key": "uid", "output.delay": "ns"}
    assert found.slots == {"calls": {"execve": "other", "7": "hello"}}
    assert found.lesson == 3


def test_lines_of_maps_and_of_what_says_where_programs_hang() -> None:
    found = source("""
// ebpftop: attach hello=syscall:execve
/* BPF_HASH(other, u32, u64); */
BPF_TABLE("hash", u32, struct other, counts, 10);
BPF_HASH(other,
         u32);
// ebpftop: slot calls[1]=second
int hello(void *ctx) { return 0; }
int second(void *ctx) { counts.lookup(&other); return 0; }
""")
    assert [found.line_of_map(name) for name in ("counts", "other", "nothing")] == [4, 5, None]
    assert [found.line_of_program(name) for name in ("hello", "second", "nothing")] == [2, 9, None]
    given = source("// ebpftop: attach hello=syscall:a\nint hello(void *c) {}", hello="syscall:b")
    assert given.line_of_program("hello") == 2, "the comment does not count"


def test_the_command_line_wins_over_the_file() -> None:
    text = "// ebpftop: attach hello=syscall:execve\nint hello(void *ctx) { return 0; }"
    (program,) = source(text, hello="kprobe:vfs_read").programs
    assert list(map(str, program.events)) == ["kprobe:vfs_read"]
    text = "int kprobe__a(void *ctx) { return 0; }"
    (program,) = source(text, kprobe__a="kprobe:b").programs
    assert (list(map(str, program.events)), program.from_name) == (["kprobe:b"], False)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n// ebpftop: hang hello=syscall:a\nint hello(void *c) {}", 2, "unknown hint"),
        ("// ebpftop: attach hello\nint hello(void *c) {}", 1, "FUNCTION=EVENT"),
        ("// ebpftop: attach hello=sycall:a\nint hello(void *c) {}", 1, "is not an event"),
        ("// ebpftop: attach helo=syscall:a\nint hello(void *c) {}", 1, "no program helo"),
        ("// ebpftop: slot m[1]=helo\nint hello(void *c) {}", 1, "no program helo"),
        ("// ebpftop: slot m1=hello\nint hello(void *c) {}", 1, r"MAP\[INDEX\]"),
        ("// ebpftop: show m\nint hello(void *c) {}", 1, "MAP.FIELD"),
        ("// ebpftop: lesson nine\nint hello(void *c) {}", 1, "lesson"),
        ("// ebpftop: attach\nint hello(void *c) {}", 1, "nothing follows"),
        ("static int hello(void *c) { return 0; }", None, "no program"),
        ("\nint hello(void *c) {\n if (1) {\n return 0; }\n", 2, "this { is never closed"),
        ("int a(void *c) {}\n// ebpftop: attach b=syscall:a\nint b(void *c) { {}", 3, "this { is never closed"),
        ("", None, "no program"),
    ],
)  # fmt: skip
def test_a_slip_of_the_pen_is_refused_at_its_line(text: str, line: int | None, words: str) -> None:
    with pytest.raises(SourceRefused, match=words) as refused:
        source(text)
    assert refused.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        *("syscall:execve", "kprobe:vfs_read+0x10", "tracepoint:sched:sched_switch", "raw_tracepoint:sys_enter"),
        *("uprobe:/bin/a:b.so:main", "profile:hz:99", "software:cpu-clock:1000000", "fentry:tcp_v4_connect"),
    ],
)
def test_an_event_is_written_as_it_is_read(text: str) -> None:
    assert parse(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "execve", "syscall:", "kprobe:a b", "tracepoint:sched", "profile:hz:0", "profile:99", "uprobe::main"),
        *("kprobe:a;b", "software:cpu-clock:-1", "raw_tracepoint:a:b", "profile:hz:99999999"),
    ],
)
def test_what_is_not_an_event_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(EventError, match="written as"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sycall:execve", "syscall:execve?"),
        ("kprobes:vfs_read", "kprobe:vfs_read?"),
        ("execve", "syscall:execve or kprobe:execve?"),
    ],
)
def test_a_slip_in_an_event_is_guessed(text: str, meant: str) -> None:
    with pytest.raises(EventError) as refused:
        parse(text)
    assert refused.value.message == f"{text!r} is not an event"
    assert refused.value.remedy.startswith(meant)


# ---- files ----


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = tmp_path / "hello.c"
    file.write_text("int hello(void *ctx) { return 0; }\n")
    return file


def test_files_beside_it_may_be_included(written: Path) -> None:
    (written.parent / "sub").mkdir()
    (written.parent / "sub/a.h").write_text('#include "b.h"\n#include "../hello.h"\n'.replace("../hello.h", "top.h"))
    (written.parent / "sub/b.h").write_text("struct b { int x; };\n")
    (written.parent / "top.h").write_text('#include "sub/a.h"\n')
    written.write_text(
        '#include "sub/a.h"\n#include <linux/fs.h>\n#include "none.h"\nint hello(void *c) { return 0; }\n'
    )
    found = read(written)
    assert {name: one.line for name, one in found.includes.items()} == {"sub/a.h": 1, "sub/b.h": 1, "top.h": 1}
    assert found.missing == {"none.h": 3}
    looked_for = ("sub/a.h", "sub/b.h", "sub/top.h", "top.h", "none.h", "sub/sub/a.h")
    assert {str(file.relative_to(written.parent)) for file in found.files} >= set(looked_for[:5])
    assert found.structs == ("struct b",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'\n#include "/etc/passwd"\n', r'sub/a.h:2: "/etc/passwd" is outside'),
        (b"#include MACRO\n", r"sub/a.h:1: an #include must name a file"),
        (b"int a;\n\xff\n", r"line 2 of sub/a.h is not UTF-8"),
    ],
)
def test_what_is_wrong_with_an_included_file_is_beside_the_line_that_includes_it(
    written: Path, data: bytes, words: str
) -> None:
    (written.parent / "sub").mkdir()
    (written.parent / "sub/a.h").write_bytes(data)
    text = '\n\n#include "sub/a.h"\nint hello(void *c) { return 0; }\n'
    written.write_text(text)
    with pytest.raises(SourceRefused, match=words) as refused:
        read(written)
    assert refused.value.line == 3
    assert refused.value.text == text
    assert written.parent / "sub/a.h" in refused.value.files


@pytest.mark.parametrize(
    "what", ['"/etc/shadow"', "</etc/shadow>", '"../secret.h"', "MACRO", '"link.h"', '"a/../../secret.h"', '<../x.h>']
)  # fmt: skip
def test_nothing_outside_its_folder_is_included(written: Path, what: str) -> None:
    folder = written.parent / "folder"
    folder.mkdir()
    (written.parent / "secret.h").write_text("root:secret\n")
    (folder / "link.h").symlink_to(written.parent / "secret.h")
    file = folder / "hello.c"
    file.write_text(f"\n#include {what}\nint hello(void *c) {{ return 0; }}\n")
    with pytest.raises(SourceRefused) as refused:
        read(file)
    assert refused.value.line == 2
    assert "secret\n" not in str(refused.value)


def test_what_others_may_write_is_refused(written: Path) -> None:
    for mode, is_refused in ((0o644, False), (0o600, False), (0o666, True), (0o646, True)):
        written.chmod(mode)
        if is_refused:
            with pytest.raises(SourceRefused, match="others may write") as refused:
                read(written)
            assert "chmod go-w hello.c" in refused.value.remedy
        else:
            assert read(written)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused_unless_that_is_who_called_sudo(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(written, 65534, 65534)
    with pytest.raises(SourceRefused, match="another user"):
        read(written)
    monkeypatch.setenv("SUDO_UID", "65534")
    assert read(written)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"\x7fELF\xff", "UTF-8"), (b"int a;\n\0", "zero byte"), (b" " * (1 << 20) + b"xx", "1 MiB")],
)
def test_what_is_not_c_is_refused(written: Path, data: bytes, words: str) -> None:
    written.write_bytes(data)
    with pytest.raises(SourceRefused, match=words):
        read(written)


def test_what_is_not_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.c")
    (tmp_path / "folder.c").mkdir()
    (tmp_path / "null.c").symlink_to("/dev/null")
    kinds = {"pipe.c": "a pipe, not", "folder.c": "a folder, not", "null.c": "a link, and", "none.c": "no file"}
    for name, words in kinds.items():
        with pytest.raises(SourceRefused, match=words) as refused:
            read(tmp_path / name)
        assert refused.value.remedy
    with pytest.raises(SourceRefused, match="a device, not"):
        read(resolved(tmp_path / "null.c"))


def test_links_are_followed_at_the_start_and_no_more(written: Path) -> None:
    named = written.parent / "named"
    named.symlink_to(written.parent, target_is_directory=True)
    (written.parent / "other.c").symlink_to("named/hello.c")
    place = resolved(named / "other.c")
    assert place == written
    assert read(place).text == written.read_text()
    secret = written.parent / "secret"
    secret.write_text("root:secret\n")
    written.unlink()
    written.symlink_to(secret)
    with pytest.raises(SourceRefused, match=r"hello\.c is a link") as refused:
        read(place)
    assert refused.value.text is None
    assert "root:" not in str(refused.value)
    with pytest.raises(SourceRefused, match="named is not a folder, or a link"):
        read(named / "secret")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_of_another_user_is_not_followed(written: Path) -> None:
    link = written.parent / "link.c"
    link.symlink_to(written)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    assert resolved(link) == link
    with pytest.raises(SourceRefused, match=r"link\.c is a link"):
        read(resolved(link))


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a.c").symlink_to("b.c")
    (tmp_path / "b.c").symlink_to("a.c")
    with pytest.raises(SourceRefused, match="is a link"):
        read(resolved(tmp_path / "a.c"))


@given(st.text(alphabet="ab(){}[];,=#\"'/*\\\n \t<>.:ebpftop", max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    c = CText(text)
    assert len(c.code) == len(text)
    assert c.code.count("\n") == text.count("\n")
    for function in c.functions:
        assert text[function.name_at :].startswith(function.name)
        assert (text[function.open_at], text[function.close_at]) == ("{", "}")
    with suppress(SourceRefused):
        read_from(Path("/x/any.c"), text, Includes(Path("/x/any.c")))


@pytest.mark.parametrize("file", LESSONS, ids=lambda file: file.stem)
def test_the_lessons_are_read(file: Path) -> None:
    found = read(file)
    assert found.lesson == int(file.name[0])
    assert any(program.events for program in found.programs)


# ---- what others wrote: BCC's own tools, where Debian's package of them is installed ----


def tools() -> Iterator[tuple[str, str]]:
    for file in sorted(Path("/usr/sbin").glob("*-bpfcc")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # escapes in regular expressions
                tree = ast.parse(file.read_bytes())
        except SyntaxError:
            continue
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "BPF_" in node.value
        ]
        for number, text in enumerate(text for text in texts if "ctx" in text or "_PROBE(" in text):
            yield f"{file.stem}-{number}", text


@pytest.mark.parametrize(("name", "text"), tools() or [("none", "")])
def test_the_tools_of_bcc_are_read(name: str, text: str) -> None:
    c = CText(text)
    for function in c.functions:
        assert function.end_line >= function.line
        # A body that is not closed where it ends would swallow the next function.
        assert not any(
            other is not function and function.open_at < other.open_at < function.close_at for other in c.functions
        ), name


def test_heads_of_a_function_under_conditions_share_a_body() -> None:
    text = """
        #if defined(CONFIG_ARCH_HAS_SYSCALL_WRAPPER)
        KRETFUNC_PROBE(sys_open, struct pt_regs *regs, int ret)
        {
            int flags = PT_REGS_PARM2(regs);
        #else
        KRETFUNC_PROBE(sys_open, const char *name, int flags, int ret)
        {
        #endif
            return flags;
        }
        int behind(struct pt_regs *ctx) { return 0; }
    """
    assert [one.name for one in CText(text).functions] == ["KRETFUNC_PROBE", "behind"]
