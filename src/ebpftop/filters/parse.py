"""A filter as it is typed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ebpftop.filters.spec import COMM_BYTES, UID_MAX, Filter, Values, comm_bytes, is_cgroup_path
from ebpftop.filters.stack import FilterLevel, label_of

# uid and pid must be numbers. `_can_be` checks their bounds.
_KERNEL_TERM = re.compile(
    r"\s*(?P<kind>(?:uid|pid)(?=:!?[0-9]{1,10}(?:\s|$))|comm(?=:!?[^\s*!]*\*?(?:\s|$))|cgroup|container)"
    r":(?P<not>!?)(?P<value>[^\s!]\S*)(?:\s+|$)"
)


def parse_filter(text: str) -> tuple[FilterLevel | None, str]:
    """Split typed text into what the kernel can match (``uid:0 pid:1 comm:ssh* cgroup:/x container:8f3 comm:!sleep``)
    and the rest, a query. Terms of the kernel stand in front.

    >>> step, rest = parse_filter("uid:0 comm:!sh git status")
    >>> step.filter.uids, step.filter.excluded.comms, rest
    ((0,), ('sh',), 'git status')
    """
    values: dict[str, list[str]] = {}
    excluded: dict[str, list[str]] = {}
    rest = text
    while (match := _KERNEL_TERM.match(rest)) and _can_be(match["kind"], match["value"]):
        (excluded if match["not"] else values).setdefault(match["kind"], []).append(match["value"])
        rest = rest[match.end() :]
    if not values and not excluded:
        return None, text
    wanted = Filter(**_by_kind(values), excluded=Values(**_by_kind(excluded)))
    return FilterLevel(label_of(wanted), wanted), rest


def _by_kind(values: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return *values* as arguments of `Values`."""
    return {
        "uids": tuple(map(int, values.get("uid", ()))),
        "pids": tuple(map(int, values.get("pid", ()))),
        "comms": tuple(values.get("comm", ())),
        "cgroups": tuple(values.get("cgroup", ())),
        "containers": tuple(values.get("container", ())),
    }


def terms_of(wanted: Filter) -> str:
    """Return *wanted* as it is typed, without values that cannot be: those with spaces.

    >>> terms_of(Filter(uids=(0,), comms=("ssh*",), excluded=Values(uids=(5,))))
    'uid:0 comm:ssh* uid:!5'
    """
    terms = [f"{kind}:{value}" for kind, values in Values.kinds(wanted) for value in values]
    terms += [f"{kind}:!{value}" for kind, values in wanted.excluded.kinds() for value in values]
    return " ".join(term for term in terms if _KERNEL_TERM.fullmatch(term))


def _can_be(kind: str, value: str) -> bool:
    """Return whether the kernel's filter can hold *value*. The bounds are those of the command line."""
    if kind == "uid":
        return int(value) <= UID_MAX
    if kind == "comm":
        return len(comm_bytes(value)) <= COMM_BYTES
    return kind != "cgroup" or is_cgroup_path(value)
