"""What may be typed to filter units, containers, cgroups, programs and errnos: the fields of their rows."""

from __future__ import annotations

from collections.abc import Callable

from ebpftop.core.cgroup_path import unit_of
from ebpftop.filters.kinds import AnyOf, Choice, Number, Text, duration, share
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.errnos import Errno
from ebpftop.models.groups import By, Group
from ebpftop.models.program_fields import ERRNO

NANOSECONDS = duration(1e-9)


def _state(group: Group, _: float) -> str:
    return "gone" if group.gone else group.state or "running"


def _figures() -> tuple[Field[Group], ...]:
    return (
        Field("execs", Number(), lambda g, _: g.total.execs),
        Field("failed", Number(hint=">0"), lambda g, _: g.total.failed),
        Field("rate", Number(hint=">1"), lambda g, _: g.rate, "execs a second"),
        Field("failing", Number(hint=">1"), lambda g, _: g.failed_rate, "failed execs a second"),
        Field("calls", Number(hint=">1k"), lambda g, _: g.calls_rate, "system calls a second"),
        Field("err", share(), lambda g, _: g.calls_failed, "share of these that failed"),
        Field("time", NANOSECONDS, lambda g, _: g.calls_ns, "time in system calls, per second"),
        Field("p99", NANOSECONDS, lambda g, _: g.p99_ns),
        Field("blocked", Number(hint=">0"), lambda g, _: g.blocked, "its threads that are blocked now"),
    )


_STATE: Field[Group] = Field("state", Choice(("running", "paused", "exited", "gone")), _state)
_RUNNING: Field[Group] = Field("running", Number(hint=">0"), lambda g, _: g.running, "its processes")
_LAST: Field[Group] = text_field("last", lambda g: g.last, "program started last")
_CGROUP: Field[Group] = Field("cgroup", AnyOf(Text(hint="*/user.slice/*")), lambda g, _: g.members, "a cgroup of it")
_CONTAINER: Field[Group] = Field(
    "container", AnyOf(Text()), lambda g, _: tuple(filter(None, (g.container, g.name))), "its name or id", ("name",)
)
_OWN: dict[By, tuple[Field[Group], ...]] = {
    "units": (text_field("unit", lambda g: g.name, "", "name"), _CGROUP, _STATE, _RUNNING, _LAST),
    "containers": (_CONTAINER, _CGROUP, _STATE, _RUNNING, _LAST),
    "cgroups": (
        text_field("cgroup", lambda g: g.name, "its path", "name"),
        text_field("unit", lambda g: unit_of(g.name), "its systemd unit"),
        text_field("container", lambda g: g.container),
        *(_STATE, _RUNNING, _LAST),
    ),
    "programs": (text_field("comm", lambda g: g.name, "", "name"),),
}


def _text(group: Group) -> str:
    return " ".join((group.name, group.container or "", *group.members, group.last))


def groups_language(by: By) -> Language[Group]:
    """Return the language of the table of units, of containers, of cgroups, or of programs."""
    name: Callable[[Group], str] = lambda g: g.name  # noqa: E731  # it is given a type
    return Language((*_OWN[by], *_figures()), _text, name)


ERRNOS: Language[Errno] = Language(
    (
        Field("errno", ERRNO, lambda e, _: (e.code, e.name), "", ("ret", "name")),
        Field("rate", Number(hint=">1"), lambda e, _: e.rate, "times a second"),
        Field("times", Number(), lambda e, _: e.count, "how often", ("count",)),
        Field("share", share(), lambda e, _: e.share, "of all errors"),
        Field("call", AnyOf(Text(hint="openat")), lambda e, _: [one.name for one in e.calls], "one of its calls"),
    ),
    lambda e: f"{e.name} {e.meaning} {' '.join(one.name for one in e.calls)}",
    lambda e: e.name,
)
