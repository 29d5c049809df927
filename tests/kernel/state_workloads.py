"""Programs that run, wait for a CPU, and are blocked, in ways that are known."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_USERFAULTFD = {"x86_64": 323, "aarch64": 282}[platform.machine()]

# Each waits for a line, does its work, says that it is done, and waits for another line.
SPIN = """
import os, signal, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
over = []
signal.signal(signal.SIGUSR1, lambda *_: over.append(True))  # how long: whoever watches decides
print(os.getpid(), flush=True)
sys.stdin.readline()
while not over:
    pass
print("done", flush=True)
sys.stdin.readline()
"""
HASH = """
import hashlib, sys, threading, time
def work():
    data = bytes(1 << 20)
    while time.thread_time() < 0.3:
        hashlib.sha256(data)  # without the lock of the interpreter
    ready.wait()
    over.wait()
over, ready = threading.Event(), threading.Barrier(4)
threads = [threading.Thread(target=work) for _ in range(3)]
print("up", flush=True)
sys.stdin.readline()
[thread.start() for thread in threads]
ready.wait()
print("done", flush=True)
sys.stdin.readline()
over.set()
"""
PING = """
import os, sys
count = 400
a, b = os.pipe(), os.pipe()
child = os.fork()
if not child:
    for _ in range(count):
        os.read(a[0], 1)
        os.write(b[1], b"x")
    sys.stdin.readline()
    os._exit(0)
print(child, flush=True)
sys.stdin.readline()
for _ in range(count):
    os.write(a[1], b"x")
    os.read(b[0], 1)
print("done", flush=True)
sys.stdin.readline()
os.kill(child, 9)
"""
HAND_OVER = """
import sys, threading
mine, theirs = threading.Semaphore(0), threading.Semaphore(0)
def other():
    for _ in range(300):
        theirs.acquire()
        mine.release()
thread = threading.Thread(target=other)
print("up", flush=True)
sys.stdin.readline()
thread.start()
for _ in range(300):
    theirs.release()
    mine.acquire()
thread.join()
print("done", flush=True)
sys.stdin.readline()
"""
SLEEPS = """
import sys, time
print("up", flush=True)
sys.stdin.readline()
for _ in range(40):
    time.sleep(0.005)
print("done", flush=True)
sys.stdin.readline()
"""
COMPAT_C = """
#include <sys/mman.h>
#include <stdio.h>
int main(void) /* nanosleep of the i386 table, by a 64-bit program */
{
	int *times = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long ret;
	times[0] = 1000;
	asm volatile("int $0x80" : "=a"(ret) : "a"(162), "b"(times), "c"(0) : "memory");
	return ret;
}
"""


class Work:
    """A program of these, as a child process."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-S", "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.child.pid
        self.said = self.hear()

    def hear(self) -> str:
        """Return the next line that it prints."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def go(self) -> None:
        """Let it begin."""
        assert self.child.stdin is not None
        self.child.stdin.write("go\n")
        self.child.stdin.flush()

    def end(self) -> None:
        """End the work of one that spins."""
        self.child.send_signal(signal.SIGUSR1)


@contextmanager
def working(program: str, *arguments: str) -> Iterator[Work]:
    work = Work(program, *arguments)
    try:
        yield work
    finally:
        # With what it forked, which holds the pipes too.
        os.killpg(work.pid, signal.SIGKILL)
        work.child.communicate()


@contextmanager
def awaited_page() -> Iterator[int]:
    """Let a thread touch a page that comes only when this ends; yield its tid."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    size = os.sysconf("SC_PAGE_SIZE")
    fd = libc.syscall(_USERFAULTFD, os.O_CLOEXEC)
    if fd < 0:
        pytest.skip("this kernel has no userfaultfd")
    page = libc.mmap(None, size, 3, 0x22, -1, 0)

    def ask(request: int, *words: int) -> None:
        values = (ctypes.c_uint64 * len(words))(*words)
        assert libc.ioctl(fd, ctypes.c_ulong(request), values) == 0, os.strerror(ctypes.get_errno())

    ask(0xC018AA3F, 0xAA, 0, 0)  # UFFDIO_API
    ask(0xC020AA00, page, size, 1, 0)  # UFFDIO_REGISTER, missing pages
    tids: list[int] = []

    def touch() -> None:
        tids.append(threading.get_native_id())
        ctypes.memset(page, 1, 1)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    while not tids:
        time.sleep(0.01)
    try:
        yield tids[0]
    finally:
        ask(0xC020AA04, page, size, 0, 0)  # UFFDIO_ZEROPAGE
        thread.join()
        os.close(fd)
