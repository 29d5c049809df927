"""Compiles on this machine what a guest asks for: LLVM takes thirty times as long under emulation.

BCC makes the same of a source for every kernel: it gets our headers and our symbol table, and sees nothing of the
kernel that runs (kernel/stub_headers.py). Which source and which flags there are depends on that kernel; that is found
out inside. A guest compiles its shortest file itself too, and compares (guest_site/asking_outside.py). What needs the
kernel's own headers, and what users write, is compiled inside only.

python -m tests.vm.outside FOLDER RELEASE    until the parent ends
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

_POLL_S = 0.05


@contextmanager
def compiling(folder: Path, release: str) -> Iterator[None]:
    """Compile meanwhile what is asked for in *folder*, for the kernel *release*, as `uname -r` says it."""
    command = (sys.executable, "-m", "tests.vm.outside", str(folder), release)
    checkout = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        ("setpriv", "--pdeathsig", "TERM", *command), cwd=checkout, stdin=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def _compile(folder: Path) -> None:
    from ebpftop.kernel.compile_helper import Request, compile_here

    while True:
        for asked in folder.glob("*.request"):
            try:
                # Guests of one kernel share the folder: who renames it first compiles it.
                begun = asked.rename(asked.with_suffix(f".{os.getpid()}"))
            except FileNotFoundError:
                continue
            answer = compile_here(msgspec.msgpack.decode(begun.read_bytes(), type=Request))
            begun.write_bytes(msgspec.msgpack.encode(answer))
            begun.rename(asked.with_suffix(".answer"))
        time.sleep(_POLL_S)


def main(folder: str, release: str) -> None:
    """Compile for *release*: the headers name the kernel's version."""
    here = os.uname()
    there = os.uname_result((here.sysname, here.nodename, release, here.version, here.machine))
    os.uname = lambda: there
    _compile(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
