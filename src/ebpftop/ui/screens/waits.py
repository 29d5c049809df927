"""Why processes wait: who runs, who is queued for a CPU, who is blocked, in which call, on what, and who wakes it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebpftop.core.format import counted, whole_share
from ebpftop.core.syscall_records import InFlight
from ebpftop.models.processes import Processes
from ebpftop.models.subject import Subject
from ebpftop.models.wait_fields import waits_language
from ebpftop.models.waits import Machine, Waiter, WaitsModel, most_on, woken_by
from ebpftop.ui.panes.chain_lines import ChainLine, chain_of, kernel_stack
from ebpftop.ui.panes.wait_columns import exported_waits, mark, wait_columns
from ebpftop.ui.panes.wait_details import wait_sheet
from ebpftop.ui.screens import feed_screen
from ebpftop.ui.screens.feed_screen import MARGIN, FeedScreen
from ebpftop.ui.screens.probe_feed import ProbeFeed
from ebpftop.ui.widgets.columns import Shown, Span
from ebpftop.ui.widgets.pane_footer import PaneFooter
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet import Details
from ebpftop.ui.widgets.table_view import TableView

if TYPE_CHECKING:
    from typing_extensions import Self


class Below(feed_screen.Below, Protocol):
    """What this screen asks of the main one, which is below it."""

    waits: ProbeFeed

    @property
    def in_flight(self) -> tuple[InFlight, ...]:
        """The calls in flight at the moment that is shown."""

    @property
    def counts_calls(self) -> bool:
        """Whether calls in flight are known at all."""

    @property
    def processes(self) -> Processes:
        """The processes that are known: a filter may be about their ancestors."""


class WaitsScreen(FeedScreen):
    """The table of all processes, and the chain of the one under the cursor."""

    label = "Why it waits"
    rows_called = "time of processes"
    key = "W"
    about = (
        "What every process did in the last 10 s: it ran (200%: two CPUs, as in htop), it was queued (it wanted a CPU "
        "and had none), or it was blocked: until somebody woke it (the share of its threads' time). MOST ON says what "
        "it is mostly on: the CPU, or the call that it waits in and, where that is known for sure, its other end, "
        "file, child or lock; behind ← who ends the wait. ! in front: at most SIGKILL ends it (D in ps). The first "
        "line counts threads: those blocked now, and how many were queued on average.\n"
        "Below stands the chain of the process under the cursor: its thread that says most, since when it waits, who "
        "woke the process most often, how many times in how long, and the kernel's functions that the thread is in, "
        "the one that sleeps last. b, or a click there, goes to who holds or wakes it. Enter shows its threads, its "
        "time, and the calls that it was blocked in and who woke it since the probe was attached. The kernel side is "
        "attached only while this is open; what calls wait for comes from the probe of pane 3."
    )
    watches = frozenset(("waits",))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "blocker", "Who ends it", tooltip="To who holds or wakes it", id="waits.blocker"),
        Binding("W", "dismiss", "Close", show=False, id="waits"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._main: Below
        self._asked_pid: int | None = None
        """The process to put the cursor on as soon as it is there."""

    def fill_with(self, main: Below, pid: int | None = None) -> Self:
        """Show what *main* has when this screen is pushed the next time, with the cursor on process *pid*."""
        self._main = main
        self._asked_pid = pid
        return self.fill_above(main)

    @property
    def feed(self) -> ProbeFeed:
        return self._main.waits

    @property
    def waits(self) -> WaitsModel:
        """The processes at the moment that is shown."""
        model = self._main.waits.model
        assert isinstance(model, WaitsModel)
        return model

    @property
    def readings(self) -> Hashable:
        return self.waits.readings, id(self._main.in_flight), self._main.playback.view_filter

    @property
    def now(self) -> float:
        latest = self.waits.latest
        return latest.time if latest is not None else 0.0

    def _machine(self) -> Machine | None:
        return self.waits.machine

    @property
    def _waiter(self) -> Waiter | None:
        """The process of the chain: under the cursor, or the first one; None: there is none."""
        return self.table.selected() or next(iter(self.table.rows()), None)

    @property
    def subject(self) -> Subject | None:
        waiter = self._waiter
        return _subject(waiter, self.now) if waiter is not None else None

    @property
    def topic(self) -> tuple[Subject | None, str]:
        waiter = self._waiter
        return self.subject, self.label if waiter is None else self.details_of(waiter).title

    def contents(self) -> ComposeResult:
        self.table: TableView[Waiter] = TableView(
            wait_columns(self._machine),
            key_of=lambda waiter: waiter.key,
            sort="blocked",
            mark=mark,
            language=waits_language(self._machine),
        )
        self.chain = ChainLine(self.table)
        self.stack = PaneFooter()
        self.table.below = self.chain
        yield self.table
        yield self.chain
        yield self.stack

    def show(self) -> None:
        model = self.waits
        model.connect(self._main.in_flight)
        view_filter, now, processes = self._main.playback.view_filter, self.now, self._main.processes
        waiters = [one for one in model.waiters if view_filter.matches_states(one.row, now, processes)]
        self.table.now = now
        self.table.message = [] if waiters else self.message()
        self.table.show_rows(waiters)
        if self._asked_pid is not None and self._select(self._asked_pid):
            self._asked_pid = None
        self._show_chain()

    @on(RowView.Arranged)
    def _arranged(self) -> None:
        if not self.is_closed:  # the table is arranged as it was kept before it is opened, too
            self._show_chain()

    def _show_chain(self) -> None:
        waiter = self._waiter
        latest = self.waits.latest
        if waiter is None or latest is None:
            self.chain.set_text([])
            self.stack.set_text([])
            return
        self._main.source.watch_process(waiter.row.pid)
        self.chain.set_text(chain_of(waiter, self.waits.machine, latest))
        call = waiter.call_of(waiter.thread) if waiter.thread is not None else None
        lines = kernel_stack(call, self.app.size.width - MARGIN)
        if not lines and not self._main.counts_calls:
            lines = [Span("3, on the main screen, attaches what says what calls wait for", "dim")]
        self.stack.set_text(lines)

    def let_go(self) -> None:
        self._main.source.watch_process(None)
        super().let_go()

    # What is said about them.

    def title_parts(self) -> list[str]:
        latest, machine = self.waits.latest, self.waits.machine
        if latest is None or machine is None:
            return []
        shown = self.of_filtered()
        return [
            *([f"{shown}{len(self.table.unfiltered)} shown"] if shown else []),
            f"blocked {latest.machine.blocked}",
            f"last {machine.seconds} s: {counted(machine.cpus, 'CPU')} run {whole_share(machine.running)}",
            f"queued {machine.queued:.1f}",
        ]

    def state_text(self) -> str:
        feed = self.feed
        state = feed.state(self._main.playback.overview)
        if feed.doing:
            return f"{feed.doing} …"
        return "detached" if state is not None and state.state == "off" else ""

    # What can be done with them.

    def details_of(self, row: Any) -> Details:
        waiter: Waiter = row
        return Details(
            title=f"Why {waiter.row.comm} {waiter.row.pid} waits",
            sheet=lambda: wait_sheet(self.waits, waiter),
            copies=most_on(waiter, self.waits.machine),
            copies_what="What it waits for",
            subject=_subject(waiter, self.now),
            place="waits",
        )

    def exported(self) -> Shown[Any]:
        return exported_waits(self.table)

    def choose(self, pid: int | None) -> None:
        """Put the cursor on process *pid*, now or as soon as it is there."""
        if pid is not None and not self._select(pid):
            self._asked_pid = pid

    def _select(self, pid: int) -> bool:
        """Put the cursor on a process; False if it is not shown."""
        for position, waiter in enumerate(self.table.rows()):
            if waiter.row.pid == pid:
                self.table.go_to(position)
                return True
        return False

    @on(ChainLine.Opened)
    def _chain_opened(self, event: ChainLine.Opened) -> None:
        event.stop()
        self.action_blocker()

    def action_blocker(self) -> None:
        """Go to who ends the wait of the process under the cursor, or to who woke it most often."""
        waiter = self._waiter
        if waiter is None:
            self.app.notify("Choose a process first: b goes to whoever holds it")
            return
        wakers = (pid for _, _, pid in woken_by(waiter.row) if pid is not None)
        pid = waiter.awaited or next(wakers, None)
        if pid is None:
            self.app.notify(f"Nobody is known who holds or wakes {waiter.row.comm} {waiter.row.pid}")
            return
        if waiter.awaits_itself and self.waits.find(pid) is None:
            self.set_focus(self.table)
            self.table.action_open()  # its threads are there
            return
        if not self._select(pid) and self.table.row_filter is not None and self.table.row_filter.clear():
            self._select(pid)
        chosen = self.table.selected()
        if chosen is None or chosen.row.pid != pid:
            # It does not switch often enough to be listed, or a filter of the machine leaves it out.
            self.go("process", Subject("process", pid=pid, time=self.now))
        self.set_focus(self.table)


def _subject(waiter: Waiter, now: float) -> Subject:
    row = waiter.row
    return Subject("process", row.comm, row.pid, not row.ended, uid=row.uid, start_ns=row.start_ns, time=now)
