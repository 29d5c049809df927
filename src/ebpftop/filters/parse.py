"""A filter as it is typed."""

from __future__ import annotations

import re

from ebpftop.filters.spec import COMM_BYTES, UID_MAX, Filter, comm_bytes, is_cgroup_path
from ebpftop.filters.stack import FilterLevel

# uid and pid must be numbers. `_can_be` checks their bounds.
_KERNEL_TERM = re.compile(
    r"\s*(?P<kind>(?:uid|pid)(?=:[0-9]{1,10}(?:\s|$))|comm(?=:[^\s*]*\*?(?:\s|$))|cgroup|container)"
    r":(?P<value>\S+)(?:\s+|$)"
)

# What looks like such a term, in any place, inverted or not.
_LOOKS_LIKE_TERM = re.compile(r"(?:^|(?<=\s))(?P<inverted>!?)(?P<kind>uid|pid|comm|cgroup|container):(?P<value>\S*)")
_EXPECTED = {
    "uid": "a number",
    "pid": "a number",
    "comm": f"at most {COMM_BYTES} bytes, * only at the end",
    "cgroup": "a path without ..",
    "container": "an id or a name",
}


def parse_filter(text: str) -> tuple[FilterLevel | None, str]:
    """Split typed text into what the kernel can match (``uid:0 pid:1 comm:ssh* cgroup:/x container:8f3``) and a
    regular expression.

    >>> step, rest = parse_filter("uid:0 git status")
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
    return FilterLevel(" ".join(f"{kind} {value}" for kind, some in values.items() for value in some), wanted), rest


def misplaced_term(rest: str) -> str:
    """Return why a term in the regular expression *rest* is not a kernel filter; empty if there is no such term.

    >>> doubt_of("uid:root")
    'uid: takes a number; this is searched as text'
    """
    match = _LOOKS_LIKE_TERM.search(rest)
    if match is None:
        return ""
    kind = match["kind"]
    if match["inverted"]:
        why = "cannot be inverted"
    elif parse_filter(rest[match.start() :])[0] is None:
        why = f"takes {_EXPECTED[kind]}"
    else:
        why = "must come before the expression"
    return f"{kind}: {why}; this is searched as text"


def _can_be(kind: str, value: str) -> bool:
    """Return whether the kernel's filter can hold *value*. The bounds are those of the command line."""
    if kind == "uid":
        return int(value) <= UID_MAX
    if kind == "comm":
        return len(comm_bytes(value)) <= COMM_BYTES
    return kind != "cgroup" or is_cgroup_path(value)
