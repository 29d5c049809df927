"""Pane 2, by unit, container, cgroup or program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ebpftop.core.clock import time_text
from ebpftop.core.format import brief, count, counted, per_second
from ebpftop.core.syscall_records import Abi, InFlight
from ebpftop.filters.stack import FilterLevel, comm_level, container_level, group_level
from ebpftop.models.group_fields import groups_language
from ebpftop.models.groups import PROBE, By, Group, GroupsModel
from ebpftop.models.processes import Processes, ProcessInfo
from ebpftop.models.seccomp import CallsSeen, Losses
from ebpftop.models.subject import Subject
from ebpftop.syscalls import abi as abis
from ebpftop.ui.panes.group_columns import group_columns
from ebpftop.ui.panes.group_details import group_sheet, noun
from ebpftop.ui.panes.title import Count
from ebpftop.ui.panes.view_by import View
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView

_LABELS: dict[By, tuple[str, str]] = {
    "units": ("Units", "unit"),
    "containers": ("Containers", "container"),
    "cgroups": ("Cgroups", "cgroup"),
    "programs": ("Programs", "program"),
}
_NONE: dict[By, str] = {
    "units": "No process is in a systemd unit",
    "containers": "No process is in a container",
    "cgroups": "No process is in a cgroup that could be read",
    "programs": "No program has made a system call",
}


@dataclass(frozen=True)
class Around:
    """What a view of groups needs of the moment that is shown, besides their model."""

    native: Abi
    processes: Callable[[], Processes]
    in_flight: Callable[[], Sequence[InFlight]]
    losses: Callable[[], Losses]


def bits_seen(model: GroupsModel, around: Around, of: str, bits: int, *, is_whole: bool) -> CallsSeen:
    """Return the calls of the native ABI that *bits* stand for; unless *is_whole*, there were others."""
    numbers = (number for number in range(bits.bit_length()) if bits >> number & 1)
    doubts = list(around.losses().clauses(None))
    if not is_whole:
        doubts.append("calls of another ABI than the machine's, or with numbers from 512 on, are not told apart")
    if model.view_filter:
        doubts.append("while there is a filter, only what matches it is counted")
    if model.is_off:
        doubts.append("the probe is off now")
    if model.was_off:
        doubts.append("the probe was off in between")
    calls = frozenset((around.native, abis.name(around.native, number)) for number in numbers)
    return CallsSeen(of, calls, model.begun or model.time, model.time, tuple(doubts))


class GroupsView(View[Group]):
    """What each unit does, or each container, cgroup or program."""

    probe = PROBE

    def __init__(self, by: By, model: Callable[[], GroupsModel], around: Around) -> None:
        self.name = by
        self.label, self.one = _LABELS[by]
        self.by = by
        self._model = model
        self._around = around
        self._shown: list[Group] = []
        self._peak = 0.0

    @property
    def model(self) -> GroupsModel:
        """The groups at the moment that is shown."""
        return self._model()

    def make_table(self) -> TableView[Group]:
        return TableView(
            group_columns(self.by, lambda: self._peak),
            key_of=lambda g: g.key,
            sort="rate",
            language=groups_language(self.by),
            id=self.by,
        )

    def show(self) -> None:
        self._shown = self.model.groups(self.by)
        self._peak = max((rate for group in self._shown for rate in group.history), default=0.0)
        self.table.scales = {"history": f"log≤{brief(self._peak)}/s"} if self._peak else {}
        self.table.show_rows(self._shown)

    # Rows.

    def level(self, row: Group) -> FilterLevel | None:
        if not row.is_one:
            return None
        if row.container is not None:
            return replace(container_level(row.container), label=f"container {row.name}")
        return comm_level(row.name) if row.path is None else group_level(row.name, row.path)

    def container_level(self, row: Group) -> FilterLevel | None:
        return container_level(row.container) if row.container is not None else None

    def subject(self, row: Group) -> Subject | None:
        if not row.is_one:
            return None
        if row.path is None:
            return Subject("exec", row.name)
        return Subject("group", container=row.container, cgroup=row.path, text=row.name)

    def details(self, row: Group) -> Details:
        def group() -> Group:
            return self.model.find(self.by, row.key) or row

        return Details(
            title=f"{noun(row)} {row.name}",
            sheet=lambda: group_sheet(group(), self._processes(row), self.calls_seen(group()), self.now()),
            copies=row.name,
            copies_what=noun(row),
            narrows=(lambda: self.level(row)) if self.level(row) is not None else None,
            narrows_what=f"Only this {self.one}",
            calls_seen=lambda: self.calls_seen(group()),
            subject=self.subject(row),
        )

    def _processes(self, row: Group) -> list[ProcessInfo]:
        found = [process for process in self._around.processes().running.values() if self._is_in(process, row)]
        return sorted(found, key=lambda process: (process.since or 0.0, process.pid), reverse=True)

    def _is_in(self, process: ProcessInfo, row: Group) -> bool:
        if row.path is None:
            return process.comm == row.name
        # Those of a cgroup are its own; those of a unit and a container, those of all cgroups that it is made of.
        return process.cgroup in row.members

    def calls_seen(self, row: Group) -> CallsSeen | None:
        model, processes = self.model, self._around.processes()
        if not (row.seen or row.seen_other):
            return None
        owners = ((call, processes.owner(call.pid)) for call in self._around.in_flight())
        in_flight = [call for call, owner in owners if owner is not None and self._is_in(owner, row)]
        seen = bits_seen(model, self._around, f"the {self.one} {row.name}", row.seen, is_whole=not row.seen_other)
        # A call counts there when it returns.
        return replace(seen, calls=seen.calls | {(call.abi, call.name) for call in in_flight})

    # Words.

    def title_counts(self, of_all: str) -> Sequence[Count]:
        shown = self._shown
        if not shown:
            return ()
        rate, calls = sum(group.rate for group in shown), sum(group.calls_rate for group in shown)
        failed = sum(group.total.failed for group in shown)
        counts = [
            Count(f"{per_second(rate)}/s" if rate else "0/s"),
            Count(f"{of_all}{counted(len(shown), self.one)}", 0 if of_all else 2),
        ]
        if failed:
            counts.append(Count(f"{count(failed)} execve failed", 1))
        if calls:
            counts.append(Count(f"calls {per_second(calls)}/s", 4))
        return counts

    def subtitle(self) -> str:
        model = self.model
        if not model.view_filter:
            return ""
        since = model.programs.since
        return "filtered; counters not reset" if since is None else f"since {time_text(since)}, the filter"

    def empty(self) -> list[Span] | None:
        if not self.model.is_known:
            return None
        found = [
            f"{_LABELS[by][0]} has {number:,}"
            for by, number in self.model.numbers().items()
            if number and by != self.by
        ]
        elsewhere = [Span(f"{', '.join(found)}: v shows the next", "note")] if found else []
        where = " of what matches the filter" if self.model.view_filter else ""
        return [Span(f"{_NONE[self.by]}{where}.", "dim"), *elsewhere]
