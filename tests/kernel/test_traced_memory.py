"""What traced calls say of the memory behind their arguments is what strace says of the same program, line by line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.kernel.support import Line, Stream, needs_root, of, whole

pytestmark = [needs_root, pytest.mark.skipif(os.uname().machine != "x86_64", reason="the structures are x86-64's")]

_PROGRAM = r"""
import array, ctypes, fcntl, os, resource, select, signal, socket, struct, sys, termios, threading, time
os.read(0, 1)
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 0)); server.listen(); place = server.getsockname()
client = socket.socket(); client.connect(place); peer, _ = server.accept(); peer.getpeername()
client.sendall(b'hello\n\0\x01world\x7f"9' * 10); peer.recv(100)
peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
unix = socket.socket(socket.AF_UNIX)
for name in ('/nowhere/no "sock"', "\0abstract"):
    try: unix.connect(name)
    except OSError: pass
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); six.sendto(b"", ("::1", 99))
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); link.bind((0, 0))
one, other = socket.socketpair(); one.sendmsg([b"one", b"two" * 30]); other.recv(5)
into, out = os.pipe(); os.writev(out, [b"ab", b"cd\n"]); os.readv(into, [bytearray(2), bytearray(10)])
os.write(out, b""); os.write(out, bytes(range(100))); os.pread(os.open("/proc/version", 0), 5, 1)
poll = select.poll(); poll.register(into, select.POLLIN | select.POLLPRI); poll.poll(10)
epoll = select.epoll(); epoll.register(into, select.EPOLLIN | select.EPOLLET); epoll.poll(1)
for code in (3, None):
    child = os.fork()
    if not child:
        os._exit(code) if code else signal.pause()
    if not code: os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
signal.signal(signal.SIGUSR1, lambda *_: None); signal.signal(signal.SIGUSR2, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGRTMIN + 3]); signal.sigpending()
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 60)); signal.pthread_sigmask(signal.SIG_SETMASK, [])
resource.setrlimit(resource.RLIMIT_CORE, (0, 4096)); resource.getrlimit(resource.RLIMIT_CORE)
os.close(os.open("/", os.O_RDONLY))
for name in ("/etc/passwd", "/dev/null", "/tmp", "/nowhere"):
    try: os.stat(name); os.lstat(name)
    except OSError: pass
os.readlink("/proc/self/exe"); os.getcwd(); os.uname(); os.sched_getaffinity(0); os.getresuid(); os.getgroups()
signal.raise_signal(signal.SIGUSR1)
signal.setitimer(signal.ITIMER_REAL, 100, 2.5); signal.setitimer(signal.ITIMER_PROF, 0); time.sleep(0.001)
os.urandom(3)
# What the kernel overwrites, lists of descriptors, control messages, programs
select.select([into, one], [out], [], 1.5); select.select([into], [], [], 0.01)
libc = ctypes.CDLL(None)
libc.ppoll(struct.pack("ihhihh", into, 1, 0, out, 4, 0), 2, struct.pack("qq", 5, 7), None)
libc.ppoll(struct.pack("ihh", into, 1, 0), 1, struct.pack("qq", 0, 5000), bytes([4]) + bytes(127))
one.sendmsg([b"hi"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [into, out]))]); other.recvmsg(10, 100)
other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1); one.send(b"!"); other.recvmsg(1, 100)
six.setblocking(False)
for call in (lambda: six.recvfrom(9), lambda: client.recvmsg(9, 0, socket.MSG_DONTWAIT)):
    try: call()
    except OSError: pass
null = os.open("/dev/null", os.O_RDWR); os.dup2(into, null); os.dup2(null, 77)
os.listdir("/etc"); os.listdir("/"); os.statvfs("/proc"); os.memfd_create("name")
thread = threading.Thread(target=int); thread.start(); thread.join()
for arguments in (["true"], ["/bin/true", "", 'a"b\\n', "x" * 32, "y" * 33], [str(number) for number in range(40)]):
    if os.posix_spawn("/bin/true", arguments, {"ONE": "1"}): os.wait()
if not os.fork():
    try: os.execv("/nowhere/program", ["one", "two"])
    except OSError: os._exit(0)
os.wait()
header = struct.pack("Ii", 0x20080522, 0)
libc.capget(header, bytes(24)); libc.capget(header, None)
for arguments in ((23, 5, 0, 0, 0), (47, 1, 5, 0, 0), (15, b"name"), (16, bytes(16)), (4, 1)): libc.prctl(*arguments)
master, slave = os.openpty(); termios.tcgetattr(slave)
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8))
temporary = os.open("file", os.O_RDWR | os.O_CREAT | os.O_TRUNC); os.write(temporary, b"text")
fcntl.lockf(temporary, fcntl.LOCK_EX, 5, 1)
fcntl.fcntl(temporary, fcntl.F_GETLK, struct.pack("hhqqi4x", 0, 0, 0, 9, 0))
os.sendfile(os.open("/dev/null", 1), temporary, 1, 2); os.utime(temporary, (1, 2)); libc.sigaltstack(None, bytes(24))
def ioctls(on, *requests, of=bytes(40)):
    for request in requests:
        try: fcntl.ioctl(on, request, bytearray(of))
        except OSError: pass
for name in (b"lo", b"nope"):
    name = name.ljust(16, bytes(1))
    ioctls(server, 0x8913, 0x8915, 0x8917, 0x8919, 0x891b, 0x891d, 0x8921, 0x8927, 0x8933, 0x8942, of=name + bytes(24))
ioctls(server, 0x8914, 0x8922, 0x8916, of=name + struct.pack("HHi", 2, 0, 127) + bytes(16))
for number in (1, 99999): ioctls(server, 0x8910, of=bytes(16) + struct.pack("i20x", number))
ioctls(server, 0x8901, 0x8902, 0x8903, 0x8904, 0x8905, 0x541b, 0x894b)
ioctls(temporary, 0x80086601, 0x125e, 0x1268, 0x80081272, 0x540c)
for kind in (1, 0, 7):
    try: fcntl.fcntl(into, 15, struct.pack("ii", kind, 1))
    except OSError: pass
    fcntl.fcntl(into, 16, bytes(8))
# Nothing can be read there: it is an address, and what other arguments point to is read as ever.
nowhere = ctypes.c_void_p(0x123456789000)
libc.poll(nowhere, 3, 0); libc.syscall(35, nowhere, nowhere); libc.syscall(435, nowhere, 88)
libc.syscall(164, nowhere, None)
libc.sigaltstack(nowhere, nowhere); libc.execve(nowhere, nowhere, nowhere); libc.execve(b"/nowhere/e", nowhere, nowhere)
libc.readv(into, nowhere, 3); libc.sendmsg(one.fileno(), nowhere, 0); libc.getcwd(nowhere, 100); libc.uname(nowhere)
"""

_CALLS = (
    "rt_sigreturn,capget,clone,clone3,dup2,execve,fcntl,getdents64,ioctl,memfd_create,ppoll,prctl,pselect6,recvmsg,sendfile,sigaltstack,"
    "fstatfs,nanosleep,settimeofday,statfs,utimensat,"
    "accept4,bind,connect,epoll_ctl,epoll_wait,getcwd,getresuid,getsockname,getsockopt,lstat,newfstatat,"
    "openat,close,lseek,mmap,pipe2,poll,pread64,prlimit64,read,readlink,readv,recvfrom,rt_sigpending,rt_sigprocmask,sched_getaffinity,sendmsg,"
    "sendto,setitimer,setsockopt,socketpair,uname,wait4,write,writev"
)


# strace reads descriptors before the call, when these have no address yet.
_WITHOUT_FILES = ("sendto(",)


def _line(line: Line) -> str:
    """Return a record as a line of strace."""
    result = "?" if line["ret"] is None else f"-1 {line['error']}" if line["error"] else line["result"] or line["ret"]
    return f"{line['name']}({', '.join(line['args'])}) = {result}"


def _normal(line: str, sockets: bool = True) -> str:
    """Return a line without what differs from run to run.

    Without modules for sock_diag(7) strace does not know the ends of *sockets*.
    """
    line = re.sub(r"0x[0-9a-f]{6,}", "PTR", line)
    if line.startswith(_WITHOUT_FILES):
        line = re.sub(r"(\d)<(->|[^<>]|<[^<>]*>)*>", r"\1", line)
    if not sockets:
        line = re.sub(r"<(UNIX[-A-Z]*|TCP|UDPv6|NETLINK|socket):\[(->|[^<>])*>", "<socket>", line)
    line = re.sub(r"((UNIX[-A-Z]*|TCP|UDPv6|pipe|NETLINK):\[)(\w+:)?\d+(->\d+)?\]", r"\1N]", line)
    line = re.sub(r"(127\.0\.0\.1|::1?\]):(?!99)\d+", r"\1:PORT", line)
    line = re.sub(r"htons\((?!99\))\d+\)", "htons(PORT)", line)
    line = re.sub(r"(u64|nl_pid)=[1-9]\d*", r"\1=N", line)
    line = re.sub(r"(left {tv_sec=)\d+(, tv_nsec=)\d+", r"\1S\2NS", line)
    line = re.sub(r"(parent_tid=\[|{pid=)[1-9]\d*", r"\1N", line)
    line = re.sub(r"wait4\(\d+", "wait4(PID", line)
    line = re.sub(r"(pts/|char 136:|TIOCGPTN, \[)\d+", r"\1N", line)
    line = re.sub(r"(^wait4.*|^clone.*) = \d{2,}$", r"\1 = N", line)
    return re.sub(r" \([A-Z][^()]*\)$", "", line)


def _of_strace(file: Path) -> list[str]:
    """Return the lines of a log of `strace -f`, those in two parts put together."""
    lines, begun = [], {}
    for line in file.read_text(errors="replace").splitlines():
        pid, text = re.match(r"(\d+)\s+(.*)", line).groups()  # type: ignore[union-attr]
        if text.endswith("<unfinished ...>"):
            begun[pid] = text.removesuffix("<unfinished ...>").rstrip()
        elif not text.startswith(("+++", "---")):
            if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
                first = begun.pop(pid)
                text = first + " " * first.endswith(",") + resumed[1]
            lines.append(re.sub(r"\)\s+= ", ") = ", text))
    return lines


@pytest.mark.guest
@pytest.mark.oldest
def test_the_memory_behind_arguments_reads_as_strace_shows_it(tmp_path: Path) -> None:
    script, log = tmp_path / "calls.py", tmp_path / "strace"
    script.write_text(_PROGRAM)
    command = [sys.executable, "-S", "-E", "-B", str(script)]
    traced = ["strace", "-f", "-yy", "-s", "32", "-e", f"trace={_CALLS}", "-o", str(log)]
    null = subprocess.DEVNULL
    subprocess.run([*traced, *command], input=b"x", stdout=null, stderr=null, cwd=tmp_path, check=True)

    def run() -> list[Line]:
        with (
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, cwd=tmp_path) as program,
            Stream("--pid", str(program.pid), "--trace", _CALLS, probes="syscalls") as stream,
        ):
            program.communicate(b"x")
            return stream.stop()

    lines = whole(run)
    expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    begun = False
    sockets = "<TCP:[127." in log.read_text(errors="replace")
    for text in _of_strace(log):
        line = _normal(text, sockets)
        if begun:
            expected[line.partition("(")[0]][line] += 1
        begun = begun or '"x", 1) = 1' in line  # which was entered before we attached
    for call in of("syscall", lines):
        line = _normal(_line(call), sockets)
        if '"x", 1) = 1' in line:
            continue
        found[line.partition("(")[0]][line] += 1
    for name, calls in expected.items():
        assert (found[name] - calls, calls - found[name]) == (Counter(), Counter())
    assert len(expected) > 25


_BEYOND = r"""
import ctypes, os, select
os.read(0, 1)
libc = ctypes.CDLL(None)
def array(count): return (ctypes.c_char_p * (count + 1))(*[b"X=%d" % number for number in range(count)])
libc.execve(b"/nowhere/a", array(32), array(300))
libc.execve(b"/nowhere/b", array(33), array(5000))
libc.execve(b"/nowhere/c", None, ctypes.c_void_p(8))
libc.execve(b"/nowhere/d", (ctypes.c_void_p * 3)(8, ctypes.cast(b"end", ctypes.c_void_p)), None)
fds = [os.dup(0) for _ in range(20)]
poll = select.poll()
for fd in fds: poll.register(fd, 1)
poll.poll(0)
os.listdir("many")
"""


def test_what_is_left_out_of_a_list_is_said(tmp_path: Path) -> None:
    script = tmp_path / "calls.py"
    script.write_text(_BEYOND)
    (tmp_path / "many").mkdir()
    for number in range(700):
        (tmp_path / "many" / str(number)).touch()
    asked = "execve:ENOENT,execve:EFAULT,poll,getdents64"

    def run() -> list[Line]:
        with (
            subprocess.Popen(
                [sys.executable, "-S", "-E", "-B", str(script)], stdin=subprocess.PIPE, cwd=tmp_path
            ) as program,
            Stream("--pid", str(program.pid), "--trace", asked, probes="syscalls") as stream,
        ):
            program.communicate(b"x")
            return stream.stop()

    calls = of("syscall", whole(run))
    execs = [call["args"] for call in calls if call["name"] == "execve"]
    assert [args[0] for args in execs] == [f'"/nowhere/{name}"' for name in "abcd"]
    assert [re.sub("0x[0-9a-f]{4,}", "PTR", " ".join(args[1:])).count('"X=') for args in execs] == [32, 32, 0, 0]
    assert execs[0][1].endswith('"X=31"]')
    assert execs[1][1].endswith('"X=31", ...]')
    assert [args[2].partition(" ")[2] for args in execs] == [
        "/* 300 vars */",
        "/* more than 4096 vars */",
        "",
        "",
    ]
    assert execs[2][1] == "NULL"
    assert execs[3][1] == '[0x8, "end"]'
    (polled,) = (call["args"][0] for call in calls if call["name"] == "poll")
    assert (polled.count("fd="), polled.count("<")) == (20, 12)
    listed = [call["args"][1].partition(" ")[2] for call in calls if call["name"] == "getdents64"]
    assert sum(int(words.split()[1]) for words in listed) == 702
