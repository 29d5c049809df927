"""One C file, written for kprobes, delivers the same at each place where its programs can hang."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from ebpftop.kernel.load import attach, ladder
from ebpftop.kernel.load.loaded_file import kernel_features
from ebpftop.kernel.load.loading import Loading
from ebpftop.kernel.load.server import LoadServer
from tests.kernel.loading_support import File, needs_root, needs_tracefs
from tests.kernel.support import compile_c

pytestmark = [needs_root, needs_tracefs]

_libc = ctypes.CDLL(None, use_errno=True)

# CI's own kernel may lack these, so they run in guests; the others are the same there. What old kernels lack is kprobes
# of several functions at once; new ones change how programs are attached by BTF.
_OLDEST = {"kprobe", "kretprobe"}
_NEWEST = {"fentry", "fexit"}


def _at(*rungs: str | tuple[str, ...]) -> list[ParameterSet]:
    """Return the kinds of places, each as a parameter that has its marks."""
    return [pytest.param(rung, marks=_marks({rung} if isinstance(rung, str) else {*rung})) for rung in rungs]


def _marks(kinds: set[str]) -> tuple[pytest.MarkDecorator, ...]:
    if kinds & _OLDEST:
        return pytest.mark.guest, pytest.mark.oldest
    return (pytest.mark.guest, pytest.mark.newest) if kinds & _NEWEST else ()


ENTRIES = _at("kprobe", "fentry", "tracepoint", "raw_tracepoint")
RETURNS = _at("kretprobe", "fexit", "tracepoint", "raw_tracepoint")
FUNCTION_RETURNS = _at("kretprobe", "fexit")

SENDTO = """\
struct addr { u16 family; u16 port; };
struct sent { u64 fd, len, flags, family, port, addr_len, buffer, again; };
BPF_HASH(sent, u32, struct sent);

static u64 flags_of(struct pt_regs *ctx)
{
    return PT_REGS_PARM4(ctx);
}

int on_send(struct pt_regs *ctx, int fd, const char __user *buffer, size_t len,
            unsigned flags,
            struct addr *addr, int addr_len)
{
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    struct sent all = {};
    struct addr *same = (struct addr *)PT_REGS_PARM5(ctx);

    all.fd = fd; all.len = len; all.flags = flags; all.addr_len = addr_len;
    all.family = addr->family;
    all.port = same->port;
    bpf_probe_read_user(&all.buffer, 4, buffer);
    all.again = flags_of(ctx);
    sent.update(&pid, &all);
    return 0;
}
"""
CLOSE = """\
BPF_HASH(returned, u32, s64);

static int note(struct pt_regs *ctx)
{
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    s64 ret = PT_REGS_RC(ctx);

    returned.update(&pid, &ret);
    return 0;
}

int on_return(struct pt_regs *ctx)
{
    s64 ret = PT_REGS_RC(ctx);

    return ret == -9 ? note(ctx) : 0;
}
"""
COUNT = """\
BPF_HASH(calls, u32, u64);
int count(void *ctx)
{
    calls.increment(bpf_get_current_pid_tgid() >> 32);
    return 0;
}
"""


@pytest.fixture(scope="module")
def running() -> Iterator[LoadServer]:
    server = LoadServer()
    yield server
    server.close()


class Rung(File):
    """A file whose programs may hang at places of one kind only."""

    kind = ""
    kinds: tuple[str, ...] = ()

    def load_at(self, text: str, *kinds: str) -> Loading:
        """Load it; skip the test if this kernel has no such places."""
        loading = self.load(text)
        for program in loading.programs:
            for attempt in program.attempts:
                kind, _, target = attempt.via.partition(":")
                if missing := attach.absent(attach.Place(kind, target), kernel_features()):
                    pytest.skip(missing)
        assert loading.ok, (loading.error, loading.output, [one.log for one in loading.programs])
        assert {via.partition(":")[0] for one in loading.programs for via in one.attached} == set(kinds)
        return loading


@pytest.fixture
def rung(
    request: pytest.FixtureRequest, tmp_path: Path, running: LoadServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rung]:
    kinds = request.param if isinstance(request.param, tuple) else (request.param,)
    monkeypatch.setattr(
        ladder, "places", lambda event: tuple(place for place in attach.places(event) if place.kind in kinds)
    )
    made = Rung(tmp_path, running)
    made.kind, made.kinds = kinds[0], kinds
    yield made
    made.file.close()


def own(file: File, name: str, layout: str) -> tuple[int, ...] | None:
    """Return what a map has for this process."""
    value = file.file.maps[name].lookup(struct.pack("=I", os.getpid()))
    return struct.unpack(layout, value) if value else None


@pytest.mark.parametrize("rung", ENTRIES, indirect=True)
def test_all_arguments_of_a_call_arrive(rung: Rung) -> None:
    rung.load_at(f"// ebpftop: attach on_send=syscall:sendto\n{SENDTO}", rung.kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"ABCD123", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, ("127.0.0.1", 0x1234))
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        words = own(rung, "sent", "=8Q")
        assert words is not None
        fd, length, seen_flags, family, port, addr_len, buffer, again = words
        assert (fd, length, seen_flags, again) == (sender.fileno(), 7, flags, flags)
        assert (family, port, addr_len) == (socket.AF_INET, 0x3412, 16)
        assert buffer == int.from_bytes(b"ABCD", "little")


@pytest.mark.parametrize("rung", RETURNS, indirect=True)
def test_what_a_call_returns_arrives(rung: Rung) -> None:
    rung.load_at(f"// ebpftop: attach on_return=syscall_exit:close\n{CLOSE}", rung.kind)
    assert _libc.close(-1) == -1
    assert own(rung, "returned", "=q") == (-9,)


@pytest.mark.parametrize("rung", ENTRIES, indirect=True)
def test_one_program_sees_several_calls_and_no_others(rung: Rung) -> None:
    rung.load_at(f"// ebpftop: attach count=syscall:getsid,syscall:getpgid\n{COUNT}", rung.kind)
    for _ in range(3):
        os.getsid(0)
        os.getpgid(0)
        os.getppid()
    assert own(rung, "calls", "=Q") == (6,)


@pytest.mark.parametrize("rung", RETURNS, indirect=True)
def test_one_program_sees_the_returns_of_several_calls(rung: Rung) -> None:
    rung.load_at(f"// ebpftop: attach count=syscall_exit:getsid,syscall_exit:getpgid\n{COUNT}", rung.kind)
    for _ in range(3):
        os.getsid(0)
        os.getpgid(0)
        os.getppid()
    assert own(rung, "calls", "=Q") == (6,)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls as on i386")
@pytest.mark.parametrize("rung", ENTRIES, indirect=True)
def test_a_32_bit_call_of_the_same_number_is_another_call(rung: Rung, tmp_path: Path) -> None:
    # 124 is getsid on x86-64, and adjtimex on i386.
    source = """
    #include <unistd.h>
    int main(void)
    {
        long ret;

        getsid(0);
        for (int i = 0; i < 5; i++)
            asm volatile("int $0x80" : "=a"(ret) : "a"(124), "b"(0) : "memory");
        return 0;
    }
    """
    program = compile_c(tmp_path, "caller", source)
    rung.load_at(f"// ebpftop: attach count=syscall:getsid\n{COUNT}", rung.kind)
    with subprocess.Popen([program]) as child:
        child.wait()
        value = rung.file.maps["calls"].lookup(struct.pack("=I", child.pid))
    assert value == struct.pack("=Q", 1)


BY_HAND = """\
BPF_HASH(seen, u32, u64);
int on_call(struct pt_regs *ctx)
{
    struct pt_regs *regs = (struct pt_regs *)PT_REGS_PARM1(ctx);
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    u64 both = PT_REGS_PARM1(regs) << 32, second = 0;

    bpf_probe_read_kernel(&second, sizeof(second), &PT_REGS_PARM2(regs));
    both |= second;
    seen.update(&pid, &both);
    return 0;
}
"""


@pytest.mark.parametrize("rung", _at("kprobe", "fentry", "raw_tracepoint"), indirect=True)
def test_registers_of_a_calls_own_function_arrive_by_hand(rung: Rung) -> None:
    rung.load_at(f"// ebpftop: attach on_call=kprobe:__x64_sys_setpgid\n{BY_HAND}", rung.kind)
    _libc.setpgid(0x7FFF1234, 0x4321)
    os.getpgid(0)
    assert own(rung, "seen", "=Q") == (0x7FFF1234 << 32 | 0x4321,)


KFUNC = """\
BPF_HASH(seen, u32, u64);
BPF_HASH(returned, u32, s64);
KFUNC_PROBE(sys_getpgid, const struct pt_regs *regs)
{
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    u64 asked = PT_REGS_PARM1(regs);

    seen.update(&pid, &asked);
    return 0;
}
KRETFUNC_PROBE(sys_getpgid, const struct pt_regs *regs, int ret)
{
    u32 pid = bpf_get_current_pid_tgid() >> 32;
    s64 found = ret;

    returned.update(&pid, &found);
    return 0;
}
"""


@pytest.mark.parametrize("rung", _at(("fentry", "fexit"), ("tp_btf",)), indirect=True)
def test_a_program_for_the_btf_of_a_call_sees_that_call_alone(rung: Rung) -> None:
    rung.load_at(KFUNC, *rung.kinds)
    os.getpgid(os.getpid())
    os.getppid()
    assert own(rung, "seen", "=Q") == (os.getpid(),)
    assert own(rung, "returned", "=q") == (os.getpgid(0),)


@pytest.mark.parametrize("rung", _at("kprobe", "fentry"), indirect=True)
def test_arguments_of_a_kernel_function_arrive(rung: Rung) -> None:
    text = """\
    // ebpftop: attach on_read=kprobe:vfs_read
    #include <linux/fs.h>
    BPF_HASH(reads, u32, u64);
    int on_read(struct pt_regs *ctx, struct file *file, char __user *buffer, size_t count)
    {
        u32 pid = bpf_get_current_pid_tgid() >> 32;
        u64 seen = file->f_inode->i_ino;

        if (count == 4321 && PT_REGS_PARM3(ctx) == 4321)
            reads.update(&pid, &seen);
        return 0;
    }
    """
    rung.load_at(text, rung.kind)
    with open("/proc/self/status", "rb", buffering=0) as file:
        file.read(4321)
        assert own(rung, "reads", "=Q") == (os.fstat(file.fileno()).st_ino,)


@pytest.mark.parametrize("rung", FUNCTION_RETURNS, indirect=True)
def test_what_a_kernel_function_returns_arrives(rung: Rung) -> None:
    rung.load_at(
        f"// ebpftop: attach on_return=kretprobe:vfs_read\n{CLOSE}".replace("ret == -9", "ret == 1357"), rung.kind
    )
    with open("/proc/self/maps", "rb", buffering=0) as file:
        file.read(1357)
    assert own(rung, "returned", "=q") == (1357,)


@pytest.mark.parametrize("rung", [("tracepoint", "raw_tracepoint")], indirect=True)
def test_a_slot_has_programs_of_the_kind_that_calls_them(rung: Rung) -> None:
    text = """\
    // ebpftop: attach first=syscall:getpgid
    // ebpftop: slot next[0]=second
    BPF_PROG_ARRAY(next, 2);
    BPF_HASH(seen, u32, u64);
    int first(struct pt_regs *ctx) { next.call(ctx, 0); return 0; }
    int second(struct pt_regs *ctx, int pid)
    {
        u32 key = bpf_get_current_pid_tgid() >> 32;
        u64 value = pid;
        seen.update(&key, &value);
        return 0;
    }
    """
    rung.load_at(text, rung.kind)
    os.getpgid(os.getpid())
    assert own(rung, "seen", "=Q") == (os.getpid(),)
