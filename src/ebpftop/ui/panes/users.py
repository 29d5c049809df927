"""Pane 2: what happens, put together by user; or by unit, container, cgroup, program, errno."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult

from ebpftop.core.records import ProbeName
from ebpftop.core.source import Batch, Source
from ebpftop.filters.stack import FilterLevel
from ebpftop.models.base import Model
from ebpftop.models.errnos import Errno
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.groups import BY, PROBE, Group, GroupsModel
from ebpftop.models.overview import Overview
from ebpftop.models.seccomp import CallsSeen, Losses
from ebpftop.models.subject import Subject
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.models.user import User
from ebpftop.models.users import UsersModel
from ebpftop.ui.panes.base import Pane
from ebpftop.ui.panes.errno_view import COLUMNS as ERRNO_COLUMNS
from ebpftop.ui.panes.errno_view import ErrnosView
from ebpftop.ui.panes.group_columns import group_columns
from ebpftop.ui.panes.group_view import Around, GroupsView
from ebpftop.ui.panes.title import Count
from ebpftop.ui.panes.user_columns import COLUMNS
from ebpftop.ui.panes.user_view import UsersView
from ebpftop.ui.panes.view_by import View
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView
from ebpftop.ui.words import Mark

_RECORDS_THEM = "ebpftop record FILE --probes execs,users,syscalls,cgroups"


class UsersPane(Pane):
    """One table at a time. That of users is there from the start; the counters of groups are attached by the screen."""

    probe: ClassVar[ProbeName] = "users"
    extra_probes: ClassVar[tuple[ProbeName, ...]] = ("execs", "syscalls")
    label = "Users"
    empty_text = "Nobody has started a program"
    about: ClassVar[str] = (
        "Who starts programs: a row for each user, the busiest first. Counted in the kernel, so that no exec is too "
        "fast for it. Enter shows the programs that a user ran last; u filters all panes to that user.\n"
        "v shows the same by unit, container, cgroup or program, and the errors of system calls by errno; V goes back. "
        "Units, containers, cgroups and programs are counted by a probe of their own, which is attached only while one "
        "of them is shown. Enter opens a row, u filters all panes to it, C and Ctrl-S make a seccomp profile of the "
        "calls that were seen of it.\n"
        "The title counts execve calls, and those that failed, since ebpftop started or the filter was set. Each "
        "attempt of a search in PATH is such a call, so there are more than programs that did not start, which the "
        "title of the exec log counts."
    )
    marks: ClassVar[tuple[Mark, ...]] = (
        Mark("root", "uid 0", "root"),
        Mark("=33", "the uid in its user namespace, such as a container's", "note"),
        Mark("≥", "at least: rows of this user were evicted from the kernel's map, and are not counted", "dim"),
        Mark("▁▂▄█", "execve calls per second, reading by reading; blank is nothing", "bar"),
        Mark("other", "all that have no room of their own in the kernel's map, counted together", "strong"),
        Mark("gone", "a cgroup that was removed; what it did is counted", "dim"),
    )

    def __init__(self, source: Source, number: int) -> None:
        super().__init__(source, number)
        self.model: UsersModel = UsersModel()
        self.groups: Callable[[], GroupsModel] = GroupsModel
        """The units, containers, cgroups and programs at the moment that is shown."""
        self.calls: Callable[[], SyscallsModel] = SyscallsModel
        """The system calls at that moment."""
        self.doing: Callable[[], tuple[str, str]] = lambda: ("", "")
        """Whether the probe of the groups is being attached or detached, and what went wrong with that."""
        self.toggle_groups: Callable[[], None] = lambda: None
        """Attaches or detaches that probe."""
        around = Around(
            native=source.header.abi or "x86_64",  # type: ignore[arg-type]  # one of them
            processes=lambda: self.model.processes,
            in_flight=lambda: latest.in_flight if (latest := self.calls().latest) is not None else (),
            losses=lambda: self._lost_calls,
        )
        self._users = UsersView(lambda: self.model, self._groups_now, around)
        self.views: tuple[View[Any], ...] = (
            self._users,
            *(GroupsView(by, self._groups_now, around) for by in BY),
            ErrnosView(self._calls_now),
        )
        for view in self.views:
            view.now = self._now
        self.view: View[Any] = self._users
        self.table = self._users.table
        self._lost_calls = Losses()

    def _now(self) -> float:
        return self.lines.now

    def _groups_now(self) -> GroupsModel:
        return self.groups()

    def _calls_now(self) -> SyscallsModel:
        return self.calls()

    def compose(self) -> ComposeResult:
        self.lines: RowView[Any] = self.view.table
        yield self.lines

    def explained(self) -> tuple[tuple[str, Sequence[Column[Any]]], ...]:
        groups = {column.key: column for by in BY for column in group_columns(by, lambda: 0.0) if column.key != "name"}
        return (
            ("Columns", COLUMNS),
            ("Columns of units, containers, cgroups and programs", tuple(groups.values())),
            ("Columns of errnos", ERRNO_COLUMNS),
        )

    # Which view is shown.

    def choose(self, name: str) -> None:
        """Show the view of this name."""
        view = next((view for view in self.views if name in (view.name, view.label)), self.view)
        if view is self.view:
            return
        is_focused, now = self.lines.has_focus, self.lines.now
        self.view, self.label = view, view.label
        self.lines = view.table
        self.lines.now = now
        if not self.lines.is_attached:  # nobody wanted to see it before
            self.mount(self.lines)
        for table in self.query(TableView):
            table.display = table is self.lines
        self.show()
        if is_focused:
            self.screen.set_focus(self.lines)
        self.describe()

    def step(self, steps: int) -> None:
        """Show the next view, or the one before."""
        self.choose(self.views[(self.views.index(self.view) + steps) % len(self.views)].name)

    def tabs(self) -> Sequence[str]:
        return [view.label for view in self.views]

    @property
    def shown_probe(self) -> ProbeName:
        return self.view.probe

    @property
    def all_lists(self) -> Sequence[RowView[Any]]:
        return [view.table for view in self.views]

    @property
    def list_name(self) -> str:
        return self.view.name

    # The state of its probe.

    @property
    def _is_own(self) -> bool:
        return self.shown_probe == self.probe

    @property
    def state(self) -> str:
        if self._is_own:
            return super().state
        doing, trouble = self.doing()
        return "failed" if trouble else "busy" if doing else self._known_state

    def _doing(self) -> str:
        return super()._doing() if self._is_own else self.doing()[0]

    def update_overview(self, overview: Overview) -> None:
        probe = overview.probes.get(self.shown_probe)
        kinds = overview.lost.get(self.shown_probe, {})
        self._lost_calls = Losses(kinds.get("recursion", 0), probe.blind if probe is not None else ())
        super().update_overview(overview)

    def _message(self) -> list[Span]:
        if self._is_own:
            return super()._message()
        trouble = self.doing()[1]
        if trouble:
            return [Span(trouble, "bad"), Span(f"! shows what happened; {self.number} tries again", "dim")]
        if not self.source.live and self.lines.end == self.lines.first and self._lacks_groups:
            return [
                Span(f"The recording has no {self.view.name} so far. To record them:", "dim"),
                Span(_RECORDS_THEM, "strong"),
            ]
        return super()._message()

    @property
    def _lacks_groups(self) -> bool:
        return isinstance(self.view, GroupsView) and not self.view.model.is_known

    def lines_if_empty(self) -> list[Span]:
        row_filter = self.lines.row_filter
        if row_filter is not None and row_filter.query is not None and row_filter.counts[1]:
            return [Span(row_filter.nothing_text, "dim")]
        if self._lacks_groups:
            return [Span("reading …", "dim")]
        return self.view.empty() or super().lines_if_empty()

    def start_toggle(self) -> None:
        if self._is_own:
            super().start_toggle()
        elif self.shown_probe == PROBE:
            self.toggle_groups()
        else:
            self.app.notify("The errors are counted by the probe of the system calls, which has a key of its own")

    # What it shows.

    def feed(self, batch: Batch) -> None:
        self.model.feed(batch)

    def show(self) -> None:
        self.view.show()

    def set_model(self, model: Model, view_filter: ViewFilter) -> None:
        super().set_model(model, view_filter)
        if self.model.view_filter.filter != view_filter.filter:
            self.model.apply_filter(view_filter)

    def apply_filter(self, view_filter: ViewFilter) -> None:
        self.model.apply_filter(view_filter)
        self.show()
        self.describe()

    def _view_of(self, row: User | Group | Errno) -> View[Any]:
        """Return the view that a row is of: it may have been opened before another one was chosen."""
        if isinstance(row, Group):
            return next(view for view in self.views if view.name == row.by)
        return self.views[-1] if isinstance(row, Errno) else self._users

    def level(self) -> FilterLevel | None:
        """The filter for the row under the cursor."""
        row = self.lines.selected()
        return self.view.level(row) if row is not None else None

    def user_level(self) -> FilterLevel | None:
        return self.level() if self.view is self._users else None

    def container_level(self) -> FilterLevel | None:
        row = self.lines.selected()
        return self.view.container_level(row) if row is not None else None

    def subject(self, row: User | Group | Errno) -> Subject | None:
        return self._view_of(row).subject(row)

    def details(self, row: User | Group | Errno) -> Details:
        return self._view_of(row).details(row)

    def calls_seen(self, row: User | Group | Errno) -> CallsSeen | None:
        return self._view_of(row).calls_seen(row)

    def title_counts(self) -> Sequence[Count]:
        return self.view.title_counts(self.shown_of_all())

    def subtitle(self) -> str:
        return self.view.subtitle()
