"""The commonest mistakes of who writes a first BPF program, as clang, LLVM and the verifier really said them."""

from __future__ import annotations

import pytest

from ebpftop.models.load_diagnostics import of_compiler, of_verifier
from ebpftop.models.map_operations import called_at, declared_as, form_of, helper_meant

HEAD = "BPF_HASH(t, u32, u64);"
RING = "BPF_RINGBUF_OUTPUT(ring, 8);"


@pytest.mark.parametrize(
    ("head", "line", "said", "meaning", "suggestion"),
    [
        (
            HEAD,
            "t.add(&k);",
            "3: error: no member named 'add' in 'struct t_table_t'",
            "no operation add",
            "t.increment(",
        ),
        (HEAD, "t.get(&k);", "3: error: no member named 'get' in 'struct t_table_t'", "no operation get", "t.lookup(&"),
        (
            HEAD,
            "t.zap(&k);",
            "3: error: no member named 'zap' in 'struct t_table_t'",
            "no operation",
            "a BPF_HASH has lo",
        ),
        (
            RING,
            "ring.submit(d);",
            "6: error: no member named 'submit' in 'struct ring_table_t'",
            "",
            "ring.ringbuf_submit(",
        ),
        (
            HEAD,
            "u32 k = bpf_get_curent_pid_tgid();",
            "9: error: implicit declaration of function 'bpf_get_curent_pid_tgid' is invalid in C99 [-Werror,-Wx]",
            "There is no function",
            "bpf_get_current_pid_tgid()?",
        ),
        (HEAD, "t[k]++;", "2: error: subscripted value is not an array", "not a pointer", "t is a map: u64 *value"),
        (HEAD, "u64 n; n[k]++;", "9: error: subscripted value is not an array", "not a pointer", "see how it is decl"),
        (HEAD, "t.update(&k);", "12: error: too few arguments to function call, expected 2, have 1", "", "t.update(&k"),
        (
            HEAD,
            "char c[16] = bpf_get_current_comm();",
            "34: error: too few arguments to function call, expected 2, have 0",
            "missing",
            "bpf_get_current_comm(&comm, sizeof(comm))",
        ),
        (
            HEAD,
            "t.increment(k);",
            "127: error: invalid operands to binary expression ('typeof (t.leaf)' (aka 'struct v') and 'int')",
            "The value of this map is a structure",
            "value->count++",
        ),
        (
            HEAD,
            "u32 k = args->pidd;",
            "13: error: no member named 'pidd' in 'struct tracepoint__sched__sched_process_exec'; did you mean 'pid'?",
            "The tracepoint sched:sched_process_exec has no field pidd",
            "pid? its fields are in /sys/kernel/tracing/events/sched/sched_process_exec/format",
        ),
        (
            HEAD,
            "data_t d;",
            "1: error: must use 'struct' tag to refer to type 'data_t'",
            "is a struct",
            "struct data_t",
        ),
        (HEAD, 'if (a == "b")', "7: warning: result of comparison against a string literal", "never true", "text[0]"),
        (HEAD, 'printk("%s %s", a)', "9: warning: cannot use several %s conversion specifiers", "one %s", "bpf_trace"),
        (HEAD, "k = a / 0;", "7: warning: division by zero is undefined [-Wdivision-by-zero]", "constant 0", "else"),
        (HEAD, "hello(void *ctx) {", "1: warning: type specifier missing, defaults to 'int'", "type is missing", "int"),
    ],
)
def test_what_clang_says_of_a_mistake_says_what_to_write(
    head: str, line: str, said: str, meaning: str, suggestion: str
) -> None:
    (found,) = of_compiler(f"/a.c:2:{said}\n", [head, line], "a.c")
    assert found.line == 2
    assert meaning in found.meaning
    assert suggestion in found.suggestion
    assert "[-W" not in found.message


DIVISION = "Un" + "support signed division"
"""As LLVM writes it."""


def test_what_llvm_says_of_its_insides_is_left_out() -> None:
    output = (
        f"Error at line 2: {DIVISION} for DAG: 0x7fbde0369fe0: i64 = sdiv 0x7fbde0409cb8, "
        "Constant:i64<-3>, /a.c:2:15Please convert to unsigned div/mod.\n"
        "LLVM ERROR: Cannot select: 0x7fbde0369fe0: i64 = sdiv 0x7fbde0409cb8, Constant:i64<-3>, /a.c:2:15\n"
    )
    (found,) = of_compiler(output, ["", "int k = a / -3;"], "a.c")
    assert (found.line, found.message) == (2, DIVISION)
    assert found.suggestion == "use unsigned ones: (u32)a / (u32)b"
    output = "error: /a.c:1:37: in function hello i32 (i8*): too many args to 0x7fbde039e7e0: i64 = Constant<6>\n"
    (found,) = of_compiler(output, ['bpf_trace_printk("%d %d %d %d", k, k, k, k);'], "a.c")
    assert (found.message, found.column) == ("too many args", None)


def test_a_column_is_only_of_a_line_that_is_the_sources() -> None:
    source = ["\tt.increment(k) + nothing;"]
    of_source = "/a.c:1:19: error: use of undeclared identifier 'nothing'\n        t.increment(k) + nothing;\n"
    of_bcc = "/a.c:1:99: error: invalid operands\n    ({ typeof(t.key) _key = k; .. }) + nothing;\n"
    assert [of_compiler(one, source, "a.c")[0].column for one in (of_source, of_bcc)] == [19, None]


def test_a_column_behind_the_brace_of_a_function_is_of_the_source() -> None:
    source = ["int hello(void *ctx) { leave 0; }"]
    behind = "/a.c:1:24: error: use of undeclared identifier 'leave'\n" + " " * 23 + "leave 0; }\n"
    before = "/a.c:1:11: error: unknown type name 'voit'\nint hello(void *ctx) {\n"
    assert [of_compiler(one, source, "a.c")[0].column for one in (behind, before)] == [24, 11]


def test_what_is_meant_is_said_once_for_a_line() -> None:
    output = (
        "/a.c:1:1: error: expected ';' after x\n/a.c:1:9: error: expected ';' after y\n/a.c:2:1: error: expected ';'\n"
    )
    found = of_compiler(output, ["int x int y", "int z"], "a.c")
    assert [bool(one.meaning) for one in found] == [True, False, True]


def _refused(message: str, line: str, *others: str, insn: str = "0: (95) exit") -> tuple[str, str]:
    log = f"; {line} @ a.c:1\n{insn}\n{message}\nprocessed 1 insns"
    found = of_verifier("hello", log, [line, *others], "a.c")
    assert found.line == 1
    return found.meaning, found.suggestion


def test_the_line_says_more_than_the_verifier() -> None:
    assert _refused("invalid size of register spill", "t.increment(&k);", HEAD) == (
        "increment takes the key itself, not its address.",
        "t.increment(k)",
    )
    meaning, suggestion = _refused("invalid read from stack R2 off=-4 size=8", "u64 *v = t.lookup(&k);", HEAD)
    assert "as a key of t has (u32)" in meaning
    assert suggestion.endswith("u32 k = 0;")
    meaning, suggestion = _refused(
        "invalid read from stack R3 off=-4 size=8", "t.update(&k, &v);", "BPF_HASH(t, u32, struct v_t);"
    )
    assert "as a value of t has (struct v_t)" in meaning
    meaning, suggestion = _refused(
        "the call stack of 9 frames is too deep",
        "u32 k = twice(3);",
        "static __attribute__((noinline)) int twice(int a) { return a; }",
    )
    assert "not inlined" in meaning
    assert "index" in _refused("invalid unbounded variable-offset write to stack R1", "a[i] = 1;")[0]


def test_how_maps_and_helpers_are_called() -> None:
    source = ['BPF_TABLE("hash", u32, struct t, counts, 10);', "BPF_ARRAY(t, u64, 4);"]
    assert [declared_as(name, source) for name in ("counts", "t", "none")] == ["BPF_TABLE", "BPF_ARRAY", ""]
    line = "if (x) t.update(&k, f(1, 2)"
    assert called_at(line, line.index("2") + 1) == ("f", "")
    assert called_at(line, len(line) + 1) == ("update", "t")
    assert called_at("return 0;", 3) == ("", "")
    assert form_of("perf_submit", "out") == "out.perf_submit(ctx, &data, sizeof(data))"
    assert form_of("nothing") == ""
    assert helper_meant("bpf_ktime_get_n") == "bpf_ktime_get_ns"
    assert helper_meant("printf") == ""
