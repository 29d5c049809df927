"""glibc gives memory back that was freed."""

from __future__ import annotations

import subprocess
import sys

START = """
import ctypes
from ebpftop.lifecycle import malloc

def heap(name):
    fields = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    class Mallinfo2(ctypes.Structure):
        _fields_ = [(field, ctypes.c_size_t) for field in fields]
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo2
    return getattr(libc.mallinfo2(), name)

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

malloc.set_up()
"""


def printed(program: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", START + program], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_what_is_large_has_memory_of_its_own_each_time() -> None:
    program = """
for _ in range(3):
    before = heap("hblkhd")
    large = bytes(1 << 20)
    print(heap("hblkhd") - before >> 20)
    del large
"""
    assert printed(program) == [1, 1, 1]


def test_what_is_free_between_what_stays_is_given_back() -> None:
    program = """
burst = [bytes(2000) for _ in range(20_000)]
stays = bytes(2000)
before = resident()
burst.clear()
kept = resident()
malloc.give_back()
print(before - kept >> 20, before - resident() >> 20)
"""
    without, given_back = printed(program)
    assert without < 10
    assert given_back > 30
