"""The command `ebpftop`, and `python -m ebpftop`."""

from __future__ import annotations

import gc
import os
import signal
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; never returns."""
    # Until it is armed, Ctrl-C ends it without Python's traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from ebpftop.lifecycle.process import process

        process.arm()
    except (ImportError, OSError, RuntimeError, MemoryError) as error:
        _report_unarmed(error)

    def command() -> int:
        # Until the command begins: what is imported is not garbage.
        gc.disable()
        from ebpftop.cli.main import main  # the first import that takes time

        return main()

    process.run(command)


def _report_unarmed(error: Exception) -> NoReturn:
    """Report why `arm` failed, and end: it needs some files, a process and a thread. Another import would fail too."""
    reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
    line = f"ebpftop: a limit is too low to start at all ({reason}); raise it (ulimit -n 256, ulimit -u, ulimit -v)\n"
    if _no_thread_can_start():
        line = "ebpftop: no thread can start, as the next child begins a PID namespace; use `unshare --fork`\n"
    with suppress(OSError):
        os.write(2, line.encode("ascii", "replace"))
    raise SystemExit(1)


def _no_thread_can_start() -> bool:
    """Return whether children go into another PID namespace, as after unshare(2). Then clone(2) refuses threads."""
    try:
        ours, theirs = (os.stat(f"/proc/self/ns/{name}").st_ino for name in ("pid", "pid_for_children"))
    except FileNotFoundError:
        # The other namespace has no process yet: the kernel shows no link (or has none, before Linux 4.12).
        return os.path.lexists("/proc/self/ns/pid_for_children")
    except OSError:
        return False
    return ours != theirs


if __name__ == "__main__":
    main()
