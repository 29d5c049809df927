"""Which system calls are reported one by one, on which conditions, and which are ignored: what `T` and `i` change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ebpftop.core.syscall_records import Abi, Handler, Syscalls
from ebpftop.models.baseline import CallKey
from ebpftop.syscalls.abi import UnknownMachine, all_abis
from ebpftop.syscalls.tracing import TraceItem, is_one_name, parse_trace, trace_items

ALWAYS = ""
"""The condition of a call that is reported each time."""


class Change(NamedTuple):
    """What is to be done in the kernel: these calls get this handler, traced ones with these conditions."""

    calls: tuple[CallKey, ...]
    handler: Handler
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What is asked of the kernel. A call that is ignored is not reported, and is again when it is ignored no more."""

    traced: Mapping[CallKey, frozenset[str]] = field(default_factory=dict)
    """The conditions of each traced call; one of them has to hold. `ALWAYS` holds always."""
    ignored: frozenset[CallKey] = frozenset()

    @classmethod
    def of_reading(cls, reading: Syscalls | None) -> Asked:
        """Return what the kernel, or a recording, says."""
        if reading is None:
            return _NOTHING
        handlers: dict[CallKey, Handler] = {(row.abi, row.nr): row.handler for row in reading.rows}
        conditions: dict[CallKey, frozenset[str]] = {}
        for slot in reading.table:
            key = slot.abi, slot.nr
            handlers[key] = slot.handler
            conditions[key] = frozenset(slot.conditions)
        return cls(
            {key: conditions.get(key) or _ALWAYS for key, handler in handlers.items() if handler == "trace"},
            frozenset(key for key, handler in handlers.items() if handler == "ignore"),
        )

    def of(self, key: CallKey) -> tuple[Handler, tuple[str, ...]]:
        """Return the handler of a call, and its conditions as the kernel is given them: none if it is always traced."""
        if key in self.ignored:
            return "ignore", ()
        conditions = self.traced.get(key)
        if conditions is None:
            return "count", ()
        return "trace", () if ALWAYS in conditions else tuple(sorted(conditions))

    def items(self, abis: Sequence[Abi]) -> tuple[TraceItem, ...]:
        """Return what is traced as items of `--trace`, each with the calls that it means."""
        return _items(frozenset(self.traced.items()), self.ignored, tuple(abis))

    def text(self, abis: Sequence[Abi]) -> str:
        """Return what is traced as `--trace` has it; empty if nothing is."""
        return ",".join(item.text for item in self.items(abis))

    def items_of(self, key: CallKey, abis: Sequence[Abi]) -> tuple[TraceItem, ...]:
        """Return the items that trace one call."""
        return tuple(item for item in self.items(abis) if key in item.calls) if key in self.traced else ()

    def asking(self, text: str, abis: Sequence[Abi]) -> Asked:
        """Return what is asked if *text*, as `--trace` has it, is asked too.

        Each item takes the place of what was asked about the same calls before, but stands beside what was asked about
        more or fewer calls, or of another process: `openat:failed`, `all:>1s`, `all:pid=812` and `all:pid=900` all
        hold. Raises BadTrace, UnknownSyscall.
        """
        parse_trace(text, abis)  # all of it is wrong if one item is
        now, renewed = self, set()
        for item in filter(None, map(str.strip, text.split(","))):
            calls = parse_trace(item, abis)
            keys, condition = frozenset((call.abi, call.nr) for call in calls), calls[0].condition
            pid = condition.pid if condition is not None else None
            if (keys, pid) not in renewed:
                renewed.add((keys, pid))
                now = now.without(now._same(keys, pid, abis))
            said = {str(condition) if condition is not None else ALWAYS}
            traced = {**now.traced, **{key: now.traced.get(key, frozenset()) | said for key in keys}}
            # What is ignored is only traced if it is named.
            now = Asked(traced, now.ignored - keys if is_one_name(item) else now.ignored)
        return now

    def _same(self, keys: frozenset[CallKey], pid: int | None, abis: Sequence[Abi]) -> list[TraceItem]:
        """Return the items that are about these calls together, and about the same process."""
        found: dict[str, list[TraceItem]] = {}
        for item in self.items(abis):
            if item.calls <= keys and _pid_of(item.condition) == pid:
                found.setdefault(item.condition, []).append(item)
        return [
            item for some in found.values() if frozenset().union(*(one.calls for one in some)) == keys for item in some
        ]

    def without(self, items: Iterable[TraceItem]) -> Asked:
        """Return what is asked if *items* are not any more."""
        traced = dict(self.traced)
        for item in items:
            for key in item.calls:
                left = traced.get(key, frozenset()) - {item.condition}
                if left:
                    traced[key] = left
                else:
                    traced.pop(key, None)
        return Asked(traced, self.ignored)

    def ignoring(self, key: CallKey, *, on: bool) -> Asked:
        """Return what is asked if a call is ignored, or not any more."""
        return Asked(self.traced, self.ignored | {key} if on else self.ignored - {key})

    def noted(self, noted: Mapping[CallKey, tuple[Handler, tuple[str, ...]]]) -> Asked:
        """Return what is asked if these calls have been given these handlers meanwhile."""
        if not noted:
            return self
        traced, ignored = dict(self.traced), set(self.ignored)
        for key, (handler, conditions) in noted.items():
            traced.pop(key, None)
            ignored.discard(key)
            if handler == "trace":
                traced[key] = frozenset(conditions) or _ALWAYS
            elif handler == "ignore":
                ignored.add(key)
        return Asked(traced, frozenset(ignored))

    @property
    def conditions(self) -> frozenset[str]:
        """All different conditions that the kernel decides."""
        keys = self.traced.keys() - self.ignored
        return frozenset(one for key in keys for one in self.of(key)[1])

    def changes(self, to: Asked) -> list[Change]:
        """Return what is to be done so that *to* is asked. What becomes free is freed first."""
        alike: dict[tuple[Handler, tuple[str, ...]], list[CallKey]] = {}
        for key in {*self.traced, *self.ignored, *to.traced, *to.ignored}:
            if self.of(key) != (now := to.of(key)):
                alike.setdefault(now, []).append(key)
        order: Sequence[Handler] = ("count", "ignore", "trace")
        groups = sorted(alike.items(), key=lambda group: (order.index(group[0][0]), len(group[0][1])))
        return [Change(tuple(sorted(calls)), handler, conditions) for (handler, conditions), calls in groups]


_ALWAYS = frozenset((ALWAYS,))
_NOTHING = Asked()


@lru_cache(8)
def _items(
    traced: frozenset[tuple[CallKey, frozenset[str]]], ignored: frozenset[CallKey], abis: tuple[Abi, ...]
) -> tuple[TraceItem, ...]:
    found = trace_items(dict(traced), abis, ignored)
    return tuple(sorted(found, key=lambda item: (len(item.calls), item.text)))


def _pid_of(condition: str) -> int | None:
    found = [part for part in condition.split(":") if part.startswith("pid=")]
    return int(found[0].removeprefix("pid=")) if found and found[0][4:].isdecimal() else None


def abis_of(abi: str) -> tuple[Abi, ...]:
    """Return the ABIs of a machine with this one, its own first; none if it is not known."""
    try:
        return all_abis(abi) if abi else ()
    except UnknownMachine:
        return ()
