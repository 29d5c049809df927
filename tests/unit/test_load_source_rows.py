"""Which lines of a source belong to which program."""

from __future__ import annotations

from ebpftop.models.load_source import function_lines

SOURCE = """\
TRACEPOINT_PROBE(sched, sched_process_exec) {
    return 0;
}
/* int hello(void *ctx) { */
KFUNC_PROBE(vfs_read, struct file *file) {
    return 0; }
RAW_TRACEPOINT_PROBE(sys_enter)
{
    char text[] = "}";
    return 0;
}
MODULE_KFUNC_PROBE(nf, hook) { return 0; }
int hello(void *ctx)
{
    return 0;
}
"""


def test_the_lines_of_a_program_are_those_of_its_function() -> None:
    names = ("tracepoint__sched__sched_process_exec", "kfunc__vmlinux__vfs_read", "raw_tracepoint__sys_enter")
    found = function_lines(SOURCE.split("\n"), [*names, "kfunc__nf__hook", "hello", "nothing"])
    assert found == {
        names[0]: range(1, 4),
        names[1]: range(5, 7),
        names[2]: range(7, 12),
        "kfunc__nf__hook": range(12, 13),
        "hello": range(13, 17),
    }
    assert function_lines([], ["hello"]) == {}
    assert function_lines(["int hello(void *ctx) {"], ["hello"]) == {}
