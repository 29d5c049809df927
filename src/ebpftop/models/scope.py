"""What the screen is narrowed to, step by step; and the same question asked of what came before the kernel knew it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ebpftop.cgroups import containers_of, is_container
from ebpftop.filters import COMM_BYTES, UID_MAX, Filter, comm_bytes, is_cgroup_path
from ebpftop.models.processes import Known, Processes
from ebpftop.records import Exec
from ebpftop.text import printable

SEPARATOR = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
"""Between the steps of a breadcrumb."""

# Numbers where numbers are meant; what they are bounded by, `_can_be` knows.
_KERNEL_TERM = re.compile(
    r"\s*(?P<kind>(?:uid|pid)(?=:[0-9]{1,10}(?:\s|$))|comm(?=:[^\s*]*\*?(?:\s|$))|cgroup|container)"
    r":(?P<value>\S+)(?:\s+|$)"
)

# What looks like such a term, wherever it stands, inverted or not.
_LOOKS_LIKE_TERM = re.compile(r"(?:^|(?<=\s))(?P<inverted>!?)(?P<kind>uid|pid|comm|cgroup|container):(?P<value>\S*)")
_TAKES = {
    "uid": "a number",
    "pid": "a number",
    "comm": f"at most {COMM_BYTES} bytes, * only at the end",
    "cgroup": "a path without ..",
    "container": "an id or a name",
}

# A cgroup may be given by its directory; records have its path.
_MOUNT = re.compile(r"^/sys/fs/cgroup(?:/unified|/pids)?(?=/|$)")


@dataclass(frozen=True)
class Step:
    """One narrowing: what it is called in the breadcrumb, and what it sets of the filter."""

    label: str
    filter: Filter


class Scope:
    """Steps on top of each other: each takes the kinds that it sets for itself and leaves the others."""

    def __init__(self, given: Filter | None = None) -> None:
        """Begin with what the command line gave, which is a step like any other."""
        self.bare = Filter(hide_self=given.hide_self if given else True)
        self.steps: list[Step] = [Step(str(given), given)] if given else []

    @property
    def filter(self) -> Filter:
        """All steps together."""
        whole = self.bare
        for step in self.steps:
            whole = whole.narrowed(step.filter)
        return whole

    @property
    def trail(self) -> str:
        """The breadcrumb; empty where everything is shown."""
        return SEPARATOR.join(step.label for step in self.steps)

    def push(self, step: Step) -> None:
        """Narrow further; the same step twice is one."""
        if not self.steps or self.steps[-1] != step:
            self.steps.append(step)

    def pop(self) -> Step | None:
        """Lift the newest step; None where there is none."""
        return self.steps.pop() if self.steps else None


def user_step(uid: int, name: str | None) -> Step:
    """Narrow to a user."""
    return Step(name or f"uid {uid}", Filter(uids=(uid,)))


def process_step(pid: int, comm: str) -> Step:
    """Narrow to a process and its descendants."""
    return Step(f"{comm} {pid}", Filter(pids=(pid,)))


def container_step(container: str) -> Step:
    """Narrow to a container."""
    return Step(f"container {container}", Filter(containers=(container,)))


def label_of(wanted: Filter) -> str:
    """Return what a step that sets *wanted* is called."""
    return " ".join(f"{kind} {value}" for kind, values in wanted.kinds() for value in values)


def read_typed(text: str) -> tuple[Step | None, str]:
    """Split what was typed into what the kernel can decide (``uid:0 pid:1 comm:ssh* cgroup:/x container:8f3``) and a
    regular expression.

    >>> step, rest = read_typed("uid:0 git status")
    >>> step.filter.uids, rest
    ((0,), 'git status')
    """
    values: dict[str, list[str]] = {}
    rest = text
    while (match := _KERNEL_TERM.match(rest)) and _can_be(match["kind"], match["value"]):
        values.setdefault(match["kind"], []).append(match["value"])
        rest = rest[match.end() :]
    if not values:
        return None, text
    wanted = Filter(
        uids=tuple(map(int, values.get("uid", ()))),
        pids=tuple(map(int, values.get("pid", ()))),
        comms=tuple(values.get("comm", ())),
        cgroups=tuple(values.get("cgroup", ())),
        containers=tuple(values.get("container", ())),
    )
    return Step(" ".join(f"{kind} {value}" for kind, some in values.items() for value in some), wanted), rest


def doubt_of(rest: str) -> str:
    """Say why a term in the regular expression *rest* is none for the kernel; empty where there is no such term.

    >>> doubt_of("uid:root")
    'uid: takes a number; this is searched as text'
    """
    match = _LOOKS_LIKE_TERM.search(rest)
    if match is None:
        return ""
    kind = match["kind"]
    if match["inverted"]:
        why = "cannot be inverted"
    elif read_typed(rest[match.start() :])[0] is None:
        why = f"takes {_TAKES[kind]}"
    else:
        why = "must come before the expression"
    return f"{kind}: {why}; this is searched as text"


def _can_be(kind: str, value: str) -> bool:
    """Tell whether the kernel's filter can hold *value*: by the bounds of the command line."""
    if kind == "uid":
        return int(value) <= UID_MAX
    if kind == "comm":
        return len(comm_bytes(value)) <= COMM_BYTES
    return kind != "cgroup" or is_cgroup_path(value)


def admits(wanted: Filter, record: Exec | Known, processes: Processes) -> bool:
    """Tell whether *wanted* takes a program that started before the kernel was asked to decide."""
    if wanted.uids and record.uid not in wanted.uids:
        return False
    if wanted.pids and not _descends(record, set(wanted.pids), processes):
        return False
    if wanted.comms and not any(comm_matches(pattern, record.comm) for pattern in wanted.comms):
        return False
    if wanted.cgroups and not any(_below(path, record.cgroup) for path in wanted.cgroups):
        return False
    return not wanted.containers or in_container(wanted.containers, record.cgroup)


def _descends(record: Exec | Known, pids: set[int], processes: Processes) -> bool:
    if record.pid in pids or record.ppid in pids:
        return True
    return any(known.pid in pids for known in processes.ancestors(record.ppid, record.start))


def comm_matches(pattern: str, comm: str) -> bool:
    """Tell whether *comm*, as records have it, is NAME, or begins as NAME* says."""
    name = printable(pattern.removesuffix("*"))
    return comm.startswith(name) if pattern.endswith("*") else comm == name


def _below(path: str, cgroup: str) -> bool:
    top = printable(posixpath.normpath("/" + _MOUNT.sub("", path).strip("/")))
    return top == "/" or cgroup == top or cgroup.startswith(top + "/")


def in_container(wanted: Iterable[str], cgroup: str) -> bool:
    """Tell whether *cgroup* lies in one of the containers *wanted*, however deep: as the kernel compares."""
    return any(is_container(one, name) for name in containers_of(cgroup) for one in wanted)
