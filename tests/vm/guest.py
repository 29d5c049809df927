"""Boot a kernel on this machine's own file system, under emulation, and run one command inside."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ebpftop.kernel.procfs_tree import descendants

from .kernels import KERNELS, KernelTree
from .outside import compiling

CHECKOUT = Path(__file__).resolve().parents[2]
WRAPPERS = Path(__file__).resolve().parent / "virtiofsd.d"
MEMORY = "3G"
# QEMU's own processor without what makes emulation slow: page tables of five levels, checks of each access, and string
# instructions that are said to be fast, but are emulated byte by byte. A start of ebpftop takes a fifth less.
PROCESSOR = "max,la57=off,smap=off,smep=off,umip=off,pku=off,erms=off"
CPUS = 2
PROGRAMS = "programs"
# What a guest asks for to be compiled, and the answers.
OUTSIDE = "outside"
GUEST_SITE = CHECKOUT / "tests/vm/guest_site"
# Which kernels compile one file themselves too: the compiler sees no more of one kernel than of another.
COMPILED_TWICE = (next(iter(KERNELS)),)
# virtme-ng's own statuses: the guest panicked or powered off before the command ended, and (here) the time ran out.
NO_STATUS = 255
# Bounds of processor time, which a guest uses up that hangs with its processors spinning, and one that is only held up
# does not. Booting takes 10 s of it. Then a guest gives a sign of life every few seconds, whatever its command is at.
BOOT_CPU_S = 60.0
SILENCE_CPU_S = 60.0
# One whose processors sleep uses none.
SILENCE_S = 240.0
BEAT_S = 5
BOOTS_MAX = 4
# What takes a second elsewhere takes half a minute here: ebpftop may be so long about its end.
END_S = 90
TIMED_OUT = 124


@dataclass(frozen=True, slots=True)
class Finished:
    """How one command in one guest ended: its status, what the console said, how long boot and command took."""

    status: int
    console: str
    seconds: float


def run(tree: KernelTree, command: str, out: Path, *, timeout_s: float) -> Finished:
    """Boot *tree* and run the shell *command* in the checkout, as root; what it writes stays in *out* only.

    But for programs compiled for this kernel: a folder beside *out* keeps them for all of its guests.

    The command's own status comes back. A boot that gave none is tried again, and so is one that fell silent; what the
    one before said stays in *out*.
    """
    begin = time.monotonic()
    outside = out.parent / OUTSIDE
    outside.mkdir(exist_ok=True)
    with compiling(outside, tree.release):
        for _ in range(BOOTS_MAX):
            finished = _boot(tree, command, out, begin + timeout_s - time.monotonic(), begin)
            if finished.status != NO_STATUS:
                break
            (out / "console.before").write_text(finished.console)
    return finished


def _boot(tree: KernelTree, command: str, out: Path, timeout_s: float, begin: float) -> Finished:
    home, booted, script = Path.home(), out / "booted", out / "command"
    booted.unlink(missing_ok=True)
    # The kernel takes 2,048 bytes of arguments and drops the rest (COMMAND_LINE_SIZE); among them is what to run.
    script.write_text(
        f"touch {shlex.quote(str(booted))}\n"
        f"(while sleep {BEAT_S}; do echo >>{shlex.quote(str(booted))}; done) >/dev/null 2>&1 </dev/null &\n"
        f"export EBPFTOP_END_S={END_S} EBPFTOP_CACHE={shlex.quote(str(out.parent / PROGRAMS))}\n"
        f"export EBPFTOP_OUTSIDE={shlex.quote(str(out.parent / OUTSIDE))} PYTHONPATH={shlex.quote(str(GUEST_SITE))}\n"
        f"{'export EBPFTOP_COMPILED_TWICE=1' if tree.name in COMPILED_TWICE else ''}\n"
        f"{command}\n"
    )
    vng = (
        # With what the kernel says: of one that dies, nothing else tells why.
        *("vng", "--verbose", "--disable-kvm", "--cpus", str(CPUS), "--memory", MEMORY),
        # Processors by turns in one thread. In a thread each, one may execute the breakpoint that another has just
        # taken away while it patched the kernel's code (each probe that is attached does): the kernel dies of that.
        f"--qemu-opts=-accel tcg,thread=single -cpu {PROCESSOR}",
        # Written to, and forgotten with the guest: .pyc files, caches of tools, the checkout itself.
        *(f"--overlay-rwdir={folder}" for folder in (home, CHECKOUT) if folder.is_dir()),
        *(f"--rwdir={out.parent}", "--cwd", str(CHECKOUT)),
        *("--run", str(tree.image), "--", f"sh {shlex.quote(str(script))}"),
    )
    with tempfile.TemporaryFile() as console:
        # The console goes through a pipe: into a file, virtme-ng's QEMU writes each line over the one before.
        pipe = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=console)
        child = subprocess.Popen(
            # Ends with the thread that waits for it, so that an interrupted test run leaves no guest behind.
            ["setpriv", "--pdeathsig", "TERM", "timeout", "--kill-after=5", str(timeout_s), *vng],
            stdin=subprocess.DEVNULL,
            stdout=pipe.stdin,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_environment()},
        )
        assert pipe.stdin is not None
        pipe.stdin.close()
        status = _status(child, booted, console.fileno())
        pipe.wait()
        console.seek(0)
        said = console.read().decode("utf-8", "replace")
    return Finished(status, said, time.monotonic() - begin)


def _status(child: subprocess.Popen[bytes], booted: Path, console_fd: int) -> int:
    signs: object = None
    since_s = since_cpu_s = 0.0
    while True:
        try:
            return child.wait(1)
        except subprocess.TimeoutExpired:
            now_s, cpu_s = time.monotonic(), _cpu_s(child.pid)
        before, signs = signs, _signs_of_life(booted.parent, console_fd)
        if signs != before:
            since_s, since_cpu_s = now_s, cpu_s
        bound_s = SILENCE_CPU_S if booted.exists() else BOOT_CPU_S
        if cpu_s - since_cpu_s > bound_s or now_s - since_s > SILENCE_S:
            child.terminate()
            child.wait()
            return NO_STATUS


def _cpu_s(pid: int) -> float:
    """Return how much processor time *pid* and its descendants took (proc_pid_stat(5), fields 14 and 15)."""
    ticks = 0
    for one in descendants((pid,)):
        with suppress(OSError):
            fields = Path("/proc", str(one), "stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _signs_of_life(out: Path, console_fd: int) -> object:
    """Return what differs as soon as the guest said or wrote something."""
    return os.fstat(console_fd).st_size, [(entry.name, entry.stat().st_size) for entry in os.scandir(out)]


def _environment() -> dict[str, str]:
    """Where virtme-ng finds its parts: beside this Python, and a virtiofsd that it can talk to."""
    path = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"]
    daemon = Path("/usr/lib/qemu/virtiofsd")
    if daemon.exists() and b"--shared-dir" not in subprocess.check_output([daemon, "--help"]):
        path.insert(0, str(WRAPPERS))
    return {"PATH": ":".join(path), "EBPFTOP_QEMU_VIRTIOFSD": str(daemon)}
