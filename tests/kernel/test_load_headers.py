"""Headers from BTF: what BCC's compiler makes of them is where the running kernel has it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

import bcc  # noqa: F401  # its library has to be loaded before its headers can be read

from ebpftop.kernel.btf_types import COMPOSITES, BtfTypes, Kind, Type
from ebpftop.kernel.load.headers import KernelFacts, headers_for
from tests.kernel.bcc_child import compile_with

STRUCTS = (
    *(
        "task_struct",
        "mm_struct",
        "inode",
        "dentry",
        "file",
        "super_block",
        "bio",
        "request",
        "request_queue",
        "gendisk",
    ),
    *(
        "sock",
        "tcp_sock",
        "inet_sock",
        "sk_buff",
        "net_device",
        "pid",
        "cred",
        "signal_struct",
        "vm_area_struct",
        "page",
    ),
    *("rq", "cfs_rq", "cgroup", "css_set", "nsproxy", "linux_binprm", "kmem_cache", "module", "perf_event", "pt_regs"),
)


@cache
def facts() -> KernelFacts:
    return KernelFacts.read()


def places(types: BtfTypes, found: Type, before: int = 0) -> Iterator[tuple[str, int]]:
    """Yield each member that has a name and whole bytes, with where it begins; also those of anonymous members."""
    for member in found.members:
        if member.name and not member.width:
            yield member.name, (before + member.bits) // 8
        elif not member.name:
            yield from places(types, types.bare(member.type_id), before + member.bits)


def written(code: bytes) -> list[int]:
    """Return the numbers that a function without branches writes to memory, one after the other."""
    registers: dict[int, int] = {}
    found = []
    for at in range(0, len(code), 8):
        op, both, _, number = struct.unpack_from("=BBhi", code, at)
        to, source = both & 15, both >> 4
        if op in (0xB4, 0xB7):  # a number into a register: Documentation/bpf/standardization/instruction-set.rst
            registers[to] = number
        elif op in (0xBC, 0xBF):
            registers[to] = registers[source]
        elif op == 0x62:
            found.append(number)
        elif op == 0x63:
            found.append(registers[source])
    return found


def test_generated_code_has_the_kernels_offsets_and_sizes() -> None:
    types = facts().types
    found = [one for name in STRUCTS if (one := types.find((Kind.STRUCT,), name)) is not None]
    assert len(found) > len(STRUCTS) - 4
    wanted: dict[str, list[int]] = {}
    lines = []
    for one in found:
        members = list(places(types.btf, one))
        wanted[one.name] = [one.size, *(offset for _, offset in members)]
        # Not by offsetof, which is right even if the compiler makes other code for the member.
        values = (f"(int)(unsigned long)&((struct {one.name} *)0)->{member}" for member, _ in members)
        writes = " ".join(f"at = {value};" for value in (f"sizeof(struct {one.name})", *values))
        lines.append(f"int {one.name}(void *ctx) {{ volatile int at; {writes} return 0; }}")
    source = "\n".join(lines)
    result = compile_with(headers_for(source, facts()), source)
    assert result.programs.keys() == wanted.keys(), result.output[-2000:]
    assert {name: written(code) for name, code in result.programs.items()} == wanted
    assert sum(map(len, wanted.values())) > 1000


def test_a_member_is_read_through_pointers() -> None:
    source = """
        #include <linux/sched.h>
        #include <linux/fs.h>
        int reads(struct pt_regs *ctx) {
            struct task_struct *task = (struct task_struct *)bpf_get_current_task();
            return task->mm->exe_file->f_inode->i_sb->s_dev;
        }
    """
    types = facts().types
    result = compile_with(headers_for(source, facts()), source)
    code = result.programs["reads"]
    added = [struct.unpack_from("=i", code, at + 4)[0] for at in range(0, len(code), 8) if code[at] == 0x07]
    path = (
        ("task_struct", "mm"),
        ("mm_struct", "exe_file"),
        ("file", "f_inode"),
        ("inode", "i_sb"),
        ("super_block", "s_dev"),
    )
    for name, member in path:
        one = types.find((Kind.STRUCT,), name)
        assert one is not None
        assert dict(places(types.btf, one))[member] in added


def test_a_macro_that_is_not_there_is_an_error_and_no_call_to_nowhere() -> None:
    source = "int f(void *ctx) { return no_such_macro(1); }"
    result = compile_with(headers_for(source, facts()), source)
    assert not result.programs
    assert "implicit declaration of function 'no_such_macro'" in result.output


def test_what_a_program_defines_itself_is_not_defined_twice() -> None:
    source = """
        #include <uapi/linux/ptrace.h>
        #include <bcc/proto.h>
        #define TASK_COMM_LEN 16
        struct mnt_namespace { int mine; };
        typedef struct { int x; } kuid_t;
        enum task_state { TASK_RUNNING, TCP_ESTABLISHED };
        struct data { u32 pid; char comm[TASK_COMM_LEN]; kuid_t uid; };
        BPF_PERF_OUTPUT(events);
        BPF_ARRAY(config, u32, 4);
        BPF_HASH(inode, struct inode *, dev_t);
        static u32 kuid;
        static inline int do_exit(int x) { return x; }
        int f(struct pt_regs *ctx, struct task_struct *task) {
            struct data data = {};
            data.pid = task->tgid + task->cred->uid.val + ((struct mnt_namespace *)task->nsproxy->mnt_ns)->mine;
            events.perf_submit(ctx, &data, sizeof(data));
            return TCP_ESTABLISHED;
        }
    """
    result = compile_with(headers_for(source, facts()), source)
    assert result.programs.keys() == {"f"}, result.output


def test_few_types_are_declared_for_a_small_program() -> None:
    source = "int f(struct pt_regs *ctx) { return ((struct task_struct *)bpf_get_current_task())->tgid; }"
    headers = headers_for(source, facts())
    text = headers["include/linux/kconfig.h"]
    assert "struct task_struct {" in text
    assert "struct super_block {" not in text
    assert len(text) < 100_000
    types = facts().types.btf
    assert len(text.splitlines()) * 20 < sum(types.type(n).kind in COMPOSITES for n in range(1, len(types), 10)) * 10
