"""Errors and signals by name: a return value or an exit status in words."""

from __future__ import annotations

import errno
import signal
from functools import cache

# Internal codes of the kernel (include/linux/errno.h, codes above 511). eBPF programs see them at sys_exit, but
# never the program that made the call: a call that a signal interrupted returns with an ERESTART code.
_INTERNAL: dict[int, str] = {
    512: "ERESTARTSYS",
    513: "ERESTARTNOINTR",
    514: "ERESTARTNOHAND",
    515: "ENOIOCTLCMD",
    516: "ERESTART_RESTARTBLOCK",
    517: "EPROBE_DEFER",
    518: "EOPENSTALE",
    519: "ENOPARAM",
    521: "EBADHANDLE",
    522: "ENOTSYNC",
    523: "EBADCOOKIE",
    524: "ENOTSUPP",
    525: "ETOOSMALL",
    526: "ESERVERFAULT",
    527: "EBADTYPE",
    528: "EJUKEBOX",
    529: "EIOCBQUEUED",
    530: "ERECALLCONFLICT",
    531: "ENOGRACE",
}
# If Linux has two names for a number, the one that strace and the man pages of system calls use; and names that older
# versions of Python lack.
_PREFERRED: dict[int, str] = {11: "EAGAIN", 35: "EDEADLK", 95: "EOPNOTSUPP", 133: "EHWPOISON"}

_SIGRTMIN = 34
_SIGRTMAX = 64


@cache
def error_name(code: int) -> str:
    """Return the name of *code*, an errno above zero: ``ENOENT``, ``ERESTARTSYS``; ``errno 999`` if it has none."""
    return _PREFERRED.get(code) or errno.errorcode.get(code) or _INTERNAL.get(code) or f"errno {code}"


@cache
def error_code(name: str) -> int | None:
    """Return the number of the error *name*, None if there is none: 2 for ``ENOENT``."""
    internal = {known: code for code, known in (_INTERNAL | _PREFERRED).items()}
    found: int | None = internal.get(name, getattr(errno, name, None) if name in errno.errorcode.values() else None)
    return found


@cache
def signal_name(number: int) -> str:
    """Return the name of a signal as ``kill -l`` has it: ``SIGKILL``, ``SIGRTMIN+2``; ``SIG32`` if it has none.

    Real-time signals count from the C library's SIGRTMIN, 34: 32 and 33 are the threads' own.
    """
    if _SIGRTMIN < number < _SIGRTMAX:
        return f"SIGRTMIN+{number - _SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        # Python names signal 16 since 3.11.
        return "SIGSTKFLT" if number == 16 else f"SIG{number}"


def raw_signal_name(number: int) -> str:
    """Return the name of a signal as strace has it, which counts from the kernel's SIGRTMIN, 32: ``SIGRT_2``."""
    if number < 32:
        return signal_name(number)
    return "SIGRTMIN" if number == 32 else f"SIGRT_{number - 32}"


@cache
def error_names() -> tuple[str, ...]:
    """Return the names of all errors, in their order of numbers."""
    return tuple(dict.fromkeys(error_name(code) for code in sorted({*errno.errorcode, *_PREFERRED, *_INTERNAL})))


@cache
def signal_numbers() -> dict[str, int]:
    """Return all signals by name."""
    return {signal_name(number): number for number in range(1, _SIGRTMAX + 1)}
