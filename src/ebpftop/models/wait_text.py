"""What a call in flight waits for, in words: those of all lists that show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ebpftop.core.syscall_records import Awaited, InFlight

TO = "→"
FROM = "←"

_ENTRIES = ("__x64_sys_", "__ia32_", "__arm64_", "__do_sys_", "__se_sys_", "ksys_", "__sys_")
"""The kernel's functions that only say which call it is."""


def target_text(call: InFlight) -> str:
    """Return what *call* waits for; empty if that is not known.

    >>> call = InFlight(pid=1, tid=1, comm="a", abi="x86_64", nr=0, name="read", ns=1, fd=7, peer="tcp 10.0.0.7:5432")
    >>> target_text(call)
    'fd 7 → tcp 10.0.0.7:5432'
    """
    return " ".join(_parts(call))


def _parts(call: InFlight) -> Iterator[str]:
    what = call.peer or call.path
    if call.lock is not None:
        yield f"{'lock' if call.awaited else 'futex'} {call.lock}"
    elif call.fd is not None:
        yield f"fd {call.fd}"
        if what:
            yield f"{TO} {what}"
    elif what:
        yield what
    elif call.awaited:
        yield "child" if len(call.awaited) + call.more == 1 else "children"
    if call.awaited:
        others = f" +{call.more}" if call.more and call.fd is None else ""
        yield (f"{FROM} " if call.lock is not None or what else "") + awaited_text(call.awaited) + others
    if call.more and call.fd is not None:
        yield f"+{call.more} more"


def awaited_text(awaited: Sequence[Awaited]) -> str:
    """Return names and pids: ``sleep 18710, cat 18711``."""
    return ", ".join(f"{one.comm} {one.pid}" for one in awaited)


def circle_text(calls: Sequence[InFlight]) -> str:
    """Return which threads wait for each other, each for the next one: ``deadlock: reader 812, writer 813``."""
    return "deadlock: " + ", ".join(f"{call.comm} {call.tid}" for call in calls)


def brief_target(call: InFlight) -> str:
    """Return the same without the descriptor's number, for where there is little room."""
    return target_text(call).partition(f"{TO} ")[2] or target_text(call)


def stack_text(stack: Sequence[str] | None, width: int) -> str:
    """Return the kernel's functions that a thread is in, the one that sleeps last, and those of it that fit.

    >>> stack_text(("schedule_timeout", "sk_wait_data", "tcp_recvmsg", "__x64_sys_recvfrom"), 40)
    '… < sk_wait_data < schedule_timeout'
    >>> stack_text(("pipe_read", "ksys_read"), 40)
    'pipe_read'
    """
    names = [name.partition(".")[0] for name in stack or ()]
    names = [name for name in names if not name.startswith(_ENTRIES)] or names
    text = ""
    for at, name in enumerate(names):
        longer = f"{name} < {text}" if text else name
        cut = "" if at == len(names) - 1 else "… < "
        if text and len(longer) + len(cut) > width:
            return f"… < {text}"
        text = longer
    return text
