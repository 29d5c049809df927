"""What traced calls say of the memory behind their arguments is what strace says of the same program, line by line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.kernel.support import Line, Stream, needs_root, of

pytestmark = [needs_root, pytest.mark.skipif(os.uname().machine != "x86_64", reason="the structures are x86-64's")]

_PROGRAM = r"""
import os, resource, select, signal, socket, sys, time
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
signal.setitimer(signal.ITIMER_REAL, 100, 2.5); signal.setitimer(signal.ITIMER_PROF, 0); time.sleep(0.001)
os.urandom(3)
"""

_CALLS = (
    "accept4,bind,connect,epoll_ctl,epoll_wait,getcwd,getresuid,getsockname,getsockopt,lstat,newfstatat,"
    "openat,close,lseek,mmap,pipe2,poll,pread64,prlimit64,read,readlink,readv,recvfrom,rt_sigpending,rt_sigprocmask,sched_getaffinity,sendmsg,"
    "sendto,setitimer,setsockopt,socketpair,uname,wait4,write,writev"
)


# strace reads descriptors before the call, when these have no address yet, and also those in lists.
_WITHOUT_FILES = ("bind(", "connect(", "sendto(", "setsockopt(", "listen(", "poll(", "pipe2(", "socketpair(")


def _line(line: Line) -> str:
    """Return a record as a line of strace."""
    result = "?" if line["ret"] is None else f"-1 {line['error']}" if line["error"] else line["result"] or line["ret"]
    return f"{line['name']}({', '.join(line['args'])}) = {result}"


def _normal(line: str, sockets: bool = True) -> str:
    """Return a line without what differs from run to run, or in how strace adds what the call changed.

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
    line = re.sub(r"\[\d+ => (\d+)\]", r"[\1]", line)
    line = re.sub(r"wait4\(\d+", "wait4(PID", line)
    line = re.sub(r"(\]\)?,.*\)|^wait4.*) = \d{2,}$", r"\1 = N", line)
    line = re.sub(r" = (\d+) \(\[.*", r" = \1", line)
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
def test_the_memory_behind_arguments_reads_as_strace_shows_it(tmp_path: Path) -> None:
    script, log = tmp_path / "calls.py", tmp_path / "strace"
    script.write_text(_PROGRAM)
    command = [sys.executable, "-S", "-E", "-B", str(script)]
    traced = ["strace", "-f", "-yy", "-s", "32", "-e", f"trace={_CALLS}", "-o", str(log)]
    null = subprocess.DEVNULL
    subprocess.run([*traced, *command], input=b"x", stdout=null, stderr=null, cwd=tmp_path, check=True)
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
        ) as program,
        Stream("--pid", str(program.pid), "--trace", _CALLS, probes="syscalls") as stream,
    ):
        program.communicate(b"x")
        lines = stream.stop()
    assert not of("lost", lines)
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
