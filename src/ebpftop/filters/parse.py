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


def parse_filter(text: str) -> tuple[FilterLevel | None, str]:
    """Split typed text into what the kernel can match (``uid:0 pid:1 comm:ssh* cgroup:/x container:8f3``) and the
    rest, a query. Terms of the kernel stand in front.

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


def terms_of(wanted: Filter) -> str:
    """Return *wanted* as it is typed, without values that cannot be: those with spaces.

    >>> terms_of(Filter(uids=(0,), comms=("ssh*",)))
    'uid:0 comm:ssh*'
    """
    terms = [f"{kind}:{value}" for kind, values in wanted.kinds() for value in values]
    return " ".join(term for term in terms if _KERNEL_TERM.fullmatch(term))


def _can_be(kind: str, value: str) -> bool:
    """Return whether the kernel's filter can hold *value*. The bounds are those of the command line."""
    if kind == "uid":
        return int(value) <= UID_MAX
    if kind == "comm":
        return len(comm_bytes(value)) <= COMM_BYTES
    return kind != "cgroup" or is_cgroup_path(value)
