"""The stacks of traced calls: names of functions of programs that live, have ended, and were made while they ran."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ebpftop.probes.stack_worker import LATE
from tests.kernel.support import Line, Stream, alone, compile_c, needs_root, of, whole

pytestmark = [
    needs_root,
    pytest.mark.guest,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the program makes its calls by x86-64's instruction"),
]

_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTER __attribute__((noinline))

OUTER long call(long nr, long a, long b, long c, long d)
{
	long result;
	register long r10 asm("r10") = d;

	asm volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return result;
}

OUTER long innermost(const char *path) { return call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0) + 1; }
OUTER long middle(const char *path) { return innermost(path) + 1; }
OUTER long outermost(const char *path) { return middle(path) + 1; }

OUTER long sleeps(void)
{
	struct timespec time = {.tv_nsec = 50000000};

	return call(SYS_nanosleep, (long)&time, 0, 0, 0) + 1;
}

static void make_code(void)
{
	char name[64];
	void *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(code, (void *)call, 256);
	snprintf(name, sizeof(name), "/tmp/perf-%d.map", getpid());
	FILE *map = fopen(name, "w");

	fprintf(map, "%lx 100 made::code\n", (long)code);
	fclose(map);
	((long (*)(long, long, long, long, long))code)(SYS_openat, AT_FDCWD, (long)"/nowhere/made", O_RDONLY, 0);
}

/* From an empty pipe into a full one: it sleeps until there is something to read, then until there is room. */
static void splices(void)
{
	static char page[4096];
	int from[2], to[2];

	if (pipe(from) || pipe(to) || fcntl(to[1], F_SETPIPE_SZ, sizeof(page)) != sizeof(page))
		return;
	write(to[1], page, sizeof(page));
	if (!fork()) {
		usleep(100000);
		write(from[1], page, 1);
		usleep(100000);
		read(to[0], page, sizeof(page));
		_exit(0);
	}
	splice(from[0], NULL, to[1], NULL, 1, 0);
	wait(NULL);
}

int main(int argc, char **argv)
{
	char byte;

	if (argc > 1 && !strcmp(argv[1], "splice")) {
		splices();
		return 0;
	}
	outermost("/nowhere/stack");
	sleeps();
	if (argc > 1) {
		make_code();
		puts("made");
		fflush(stdout);
		return read(0, &byte, 1) < 0;
	}
	return 0;
}
"""
_TRACE = ("--stacks", "--comm", "stacked", "--trace", "openat:/nowhere/*,nanosleep:>20ms")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stacks")
    flags = ("-O0", "-fno-omit-frame-pointer", "-fcf-protection=none", "-Wl,--build-id")
    return compile_c(folder, "stacked", _SOURCE, *flags)


def _names(frames: list[str]) -> list[str]:
    return [re.sub(r"\+0x.*", "", frame) for frame in frames]


def _call(lines: list[Line], name: str, path: str = "") -> Line:
    (found,) = (line for line in of("syscall", lines, name=name) if path in "".join(line["args"]))
    return found


def _have(wanted: Mapping[str, str]) -> Callable[[list[Line]], bool]:
    """Return whether there are the *wanted* calls, each with that stack."""
    return lambda lines: all(
        any(call[stack] not in (None, [*LATE]) for call in of("syscall", lines, name=name))
        for name, stack in wanted.items()
    )


@pytest.mark.newest
@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_a_call_says_which_functions_led_to_it(program: Path, buffer: str) -> None:
    if buffer == "ring" and tuple(map(int, os.uname().release.split(".")[:2])) < (5, 8):
        buffer = "auto"

    def run() -> list[Line]:
        with Stream("--buffer", buffer, *_TRACE, probes="syscalls") as stream:
            subprocess.run(alone(program), check=True)  # it has ended when its calls are read
            stream.wait_for(lambda lines: of("syscall", lines, name="nanosleep") or of("lost", lines), 100)
            return stream.stop()

    lines = whole(run, _have({"openat": "stack", "nanosleep": "kernel_stack"}))
    call = _call(lines, "openat")
    assert _names(call["stack"])[:5] == ["call", "innermost", "middle", "outermost", "main"]
    assert all(frame.endswith(" (stacked)") for frame in call["stack"][:5])
    slow = _call(lines, "nanosleep")
    assert _names(slow["stack"])[:3] == ["call", "sleeps", "main"]
    kernel = _names(slow["kernel_stack"])
    assert kernel[0] == "__schedule"
    assert {"schedule", "do_nanosleep"} <= set(kernel)


@pytest.mark.newest
@pytest.mark.parametrize("way", ["raw_tracepoint", "tracepoint"])
def test_the_kernels_stack_is_of_where_the_call_slept_last(program: Path, way: str) -> None:
    def run() -> list[Line]:
        trace = ("--stacks", "--comm", "stacked", "--trace", "splice:>20ms", "--attach", f"syscalls={way}")
        with Stream(*trace, probes="syscalls") as stream:
            subprocess.run(alone(program, "splice"), check=True)
            stream.wait_for(lambda lines: of("syscall", lines) or of("lost", lines), 100)
            return stream.stop()

    (spliced,) = of("syscall", whole(run, _have({"splice": "kernel_stack"})), name="splice")
    names = _names(spliced["kernel_stack"])
    assert "pipe_wait_writable" in names, names
    assert "pipe_wait_readable" not in names


def test_code_that_a_program_made_has_the_names_of_its_perf_map(program: Path) -> None:
    with (
        Stream(*_TRACE, probes="syscalls") as stream,
        subprocess.Popen([program, "code"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        stream.wait_for(lambda lines: any("made" in "".join(line["args"]) for line in of("syscall", lines)))
        Path(f"/tmp/perf-{process.pid}.map").unlink()
        process.communicate(b"\n")
        lines = stream.stop()
    stack = _call(lines, "openat", "made")["stack"]
    assert _names(stack)[:3] == ["made::code", "make_code", "main"]
    assert stack[0].endswith(f"(perf-{process.pid}.map)")


def test_without_the_option_there_is_no_stack(program: Path) -> None:
    with Stream(*_TRACE[1:], probes="syscalls") as stream:
        subprocess.run([program], check=True)
        stream.wait_for(lambda lines: of("syscall", lines, name="nanosleep"))
        lines = stream.stop()
    assert {(line["stack"], line["kernel_stack"]) for line in of("syscall", lines)} == {(None, None)}
