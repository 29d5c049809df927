"""The ways in which pane 2 puts together what happens: by user, unit, container, cgroup, program, errno."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from ebpftop.core.records import ProbeName
from ebpftop.filters.stack import FilterLevel
from ebpftop.models.seccomp import CallsSeen
from ebpftop.models.subject import Subject
from ebpftop.ui.panes.title import Count
from ebpftop.ui.widgets.columns import Span
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView

Row = TypeVar("Row")


class View(Generic[Row]):
    """One of them: a table, and what is said and done with its rows."""

    name: str
    """As settings have it."""
    label: str
    one: str
    """What a row is: "unit"."""
    probe: ClassVar[ProbeName] = "users"
    """Whose counters it shows."""
    now: Callable[[], float] = staticmethod(lambda: 0.0)
    """The time that is shown (Unix seconds)."""

    @cached_property
    def table(self) -> TableView[Row]:
        """The table; there is one."""
        return self.make_table()

    # What a subclass supplies.

    def make_table(self) -> TableView[Row]:
        """Build the table."""
        raise NotImplementedError

    def show(self) -> None:
        """Show what is known now."""
        raise NotImplementedError

    def title_counts(self, of_all: str) -> Sequence[Count]:
        """Counts for the title; *of_all* stands before the number of rows."""
        raise NotImplementedError

    def details(self, row: Row) -> Details:
        """Build the details of a row."""
        raise NotImplementedError

    def level(self, row: Row) -> FilterLevel | None:
        """Return the filter for what a row is about; None if the kernel cannot match that."""
        return None

    def container_level(self, row: Row) -> FilterLevel | None:
        """Return the filter for the container of a row."""
        return None

    def list_filter(self, row: Row) -> tuple[str, str]:
        """Return what finds it in the exec log, and in the list of system calls, where the kernel cannot match it."""
        return "", ""

    def subject(self, row: Row) -> Subject | None:
        """Return what a row is about."""
        return None

    def calls_seen(self, row: Row) -> CallsSeen | None:
        """Return the system calls that were seen of it; None if that is not known."""
        return None

    def subtitle(self) -> str:
        """Return what the right end of the title says."""
        return ""

    def empty(self) -> list[Span] | None:
        """Return why there is no row; None: as for a pane."""
        return None
