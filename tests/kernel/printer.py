"""A program of the machine that prints what it is told to, by a BPF program that runs in its own threads.

`python -m tests.kernel.printer`: an order in JSON on each line of the standard input, an answer on each of the output.
BPF_PROG_TEST_RUN runs the BPF program where it is called (raw tracepoint programs: since 5.10), so that task, CPU and
time of a line are known.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebpftop.kernel import bpf_syscall, maps
from ebpftop.kernel.defines import kernel_defines
from ebpftop.kernel.loader import Module

TEXT_LEN = 1024
ROUND = 100  # lines of a flood in one run

# bpf_trace_printk_ by that name: BCC's own would want a literal.
PROGRAM = """
#include "ebpftop.h"

struct text {
	u64 size; /* with its NUL */
	u64 printed;
	char bytes[TEXT_LEN];
};

BPF_ARRAY(text, struct text, 1);

INLINE struct text *the_text(void)
{
	u32 zero = 0;

	return text.lookup(&zero);
}

int print_text(void *ctx)
{
	struct text *one = the_text();
	char format[] = "%s";

	if (one && bpf_trace_printk_(format, sizeof(format), one->bytes) >= 0)
		one->printed++;
	return 0;
}

int print_format(void *ctx)
{
	struct text *one = the_text();

	if (!one)
		return 0;
	u64 size = one->size - 1;

	/* 5.10 does not see that what is not 0 is at least 1. */
	BOUND(size, TEXT_LEN - 1);
	if (bpf_trace_printk_(one->bytes, size + 1) >= 0)
		one->printed++;
	return 0;
}

int print_many(void *ctx)
{
	struct text *one = the_text();
	char format[] = "flood %ld of %s";

	if (!one)
		return 0;
#pragma nounroll
	for (int i = 0; i < ROUND; i++)
		if (bpf_trace_printk_(format, sizeof(format), one->printed, one->bytes) >= 0)
			one->printed++;
	return 0;
}
"""
_TEST_RUN = 10
_CPUS = os.sched_getaffinity(0)
_HEAD = struct.Struct("=QQ")


@dataclass(frozen=True)
class Printed:
    """What was printed: by whom, where, between which two moments (Unix seconds), how many lines so far."""

    pid: int
    tid: int
    task: bytes
    cpu: int
    begin: float
    end: float
    lines: int


class Printer:
    """The program as a child process."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    @property
    def pid(self) -> int:
        """The process id of the program."""
        return self._child.pid

    def print(
        self, text: bytes, *, task: bytes = b"printer", cpu: int | None = None, as_format: bool = False
    ) -> Printed:
        """Print *text* in a thread called *task*, on *cpu*; `as_format` for plain ASCII of up to 1023 bytes."""
        return self._ask(text=text.hex(), task=task.hex(), cpu=cpu, how="print_format" if as_format else "print_text")

    def flood(self, lines: int, *, cpu: int | None = None, per_second: int = 0) -> Printed:
        """Print "flood N of M", with N from 0 on, *lines* times (a multiple of ROUND)."""
        return self._ask(text=b"printer".hex(), task=b"flood".hex(), cpu=cpu, how="print_many", lines=lines,
                         per_second=per_second)  # fmt: skip

    def _ask(self, **order: object) -> Printed:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return Printed(**{**answer, "task": bytes.fromhex(answer["task"])})


@contextmanager
def printers(count: int = 1) -> Iterator[Sequence[Printer]]:
    """Run *count* of the program."""
    children: list[subprocess.Popen[str]] = []
    command = [sys.executable, "-m", "tests.kernel.printer"]
    try:
        for _ in range(count):
            children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        yield [Printer(child) for child in children]
    finally:
        for child in children:
            child.communicate()
    assert all(child.returncode == 0 for child in children)


def _run(program_fd: int) -> None:
    bpf_syscall.bpf(_TEST_RUN, struct.pack("=II", program_fd, 0))


def _obey(module: Module, order: dict[str, Any]) -> Printed:
    """Do it in the calling thread."""
    os.sched_setaffinity(0, _CPUS if order["cpu"] is None else {order["cpu"]})
    task, raw = bytes.fromhex(order["task"]), bytes.fromhex(order["text"])
    Path("/proc/thread-self/comm").write_bytes(task)
    table, program_fd = module.table("text"), module.load(order["how"], "raw_tracepoint")
    printed = _HEAD.unpack_from(maps.lookup(table, bytes(4), _HEAD.size + TEXT_LEN) or b"")[1]
    maps.update(table, bytes(4), _HEAD.pack(len(raw) + 1, printed) + raw.ljust(TEXT_LEN, b"\0"))
    begin = time.time()
    due_s = time.monotonic()
    for _ in range(max(1, order.get("lines", 0) // ROUND)):
        _run(program_fd)
        if order.get("per_second"):
            due_s += ROUND / order["per_second"]
            time.sleep(max(0.0, due_s - time.monotonic()))
    end = time.time()
    printed = _HEAD.unpack_from(maps.lookup(table, bytes(4), _HEAD.size + TEXT_LEN) or b"")[1]
    cpu = order["cpu"] if order["cpu"] is not None else -1
    return Printed(os.getpid(), threading.get_native_id(), task, cpu, begin, end, printed)


def main() -> None:
    """Print as told until the standard input is closed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "print.c")
        file.write_text(PROGRAM)
        own: dict[str, int | str] = {"TEXT_LEN": TEXT_LEN, "ROUND": ROUND}
        module = Module(str(file), {**kernel_defines(), **own})
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    # One thread for all orders, and not the first: it has an id of its own, and names that change.
    with ThreadPoolExecutor(1) as worker:
        for line in sys.stdin:
            one = worker.submit(_obey, module, json.loads(line)).result()
            sys.stdout.write(json.dumps({**vars(one), "task": one.task.hex()}) + "\n")
            sys.stdout.flush()
    module.close()


if __name__ == "__main__":
    main()
