"""What may be typed to filter processes that wait: the fields of their rows."""

from __future__ import annotations

from collections.abc import Callable

from ebpftop.filters.kinds import AnyOf, Choice, Number, Text, share
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.waits import Machine, Waiter, most_on, woken_by

STATES = ("running", "queued", "blocked", "uninterruptible", "stopped")
"""As the screen calls them: records say `runnable` for queued."""


def _calls(waiter: Waiter, _: float) -> tuple[str, ...]:
    now = (thread.syscall for thread in waiter.row.now)
    return tuple(name for name in (*now, *(call.syscall for call in waiter.row.blocked)) if name)


def _by(waiter: Waiter, _: float) -> tuple[str, ...]:
    awaited = (text for call in waiter.calls for one in call.awaited for text in (one.comm, str(one.pid)))
    wakers = (text for who, _, pid in woken_by(waiter.row) for text in (who.rpartition(" ")[0] or who, str(pid or "")))
    return *awaited, *(text for text in wakers if text)


def _states(waiter: Waiter, _: float) -> tuple[str, ...]:
    return tuple("queued" if thread.state == "runnable" else thread.state for thread in waiter.row.now)


def _kernel(waiter: Waiter, _: float) -> tuple[str, ...]:
    return tuple(frame for call in waiter.calls for frame in call.kernel_stack or ())


def waits_language(machine: Callable[[], Machine | None]) -> Language[Waiter]:
    """Return the language of the table; *machine* is that of the moment that is shown."""

    def on(waiter: Waiter) -> str:
        return most_on(waiter, machine())

    return Language(
        (
            text_field("comm", lambda w: w.row.comm),
            Field("pid", Number(hint="4321"), lambda w, _: w.row.pid),
            Field("uid", Number(hint="0"), lambda w, _: w.row.uid),
            Field("running", share(), lambda w, _: w.running, "of one CPU: two full ones are 200%", varies=True),
            Field("queued", share(), lambda w, _: w.queued, "100%: one thread always waited for a CPU", varies=True),
            Field("blocked", share(), lambda w, _: w.blocked, "share of its threads' time", varies=True),
            text_field("on", on, "what it is mostly on: tcp*, lock*, CPU*"),
            Field("call", AnyOf(Text(hint="read or futex")), _calls, "a call that it is or was blocked in"),
            Field("by", AnyOf(Text(hint="php-fpm or 812")), _by, "who ends the wait, or woke it: name or pid"),
            Field("kernel", AnyOf(Text(hint="tcp_* or nfs*")), _kernel, "a kernel function that a thread is in"),
            Field("state", AnyOf(Choice(STATES)), _states, "of a thread", varies=True),
            Field("threads", Number(hint=">1"), lambda w, _: w.row.threads),
        ),
        lambda w: f"{w.row.comm} {w.row.pid} {on(w)}",
        lambda w: w.row.comm,
    )
