"""The tail-call table of sys_enter: which BPF program handles which system call."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult

from ebpftop.core.format import counted
from ebpftop.core.syscall_records import Handler
from ebpftop.filters.kinds import Number
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.baseline import CallKey
from ebpftop.models.subject import Subject, subject_of_call
from ebpftop.models.syscall_fields import HANDLERS
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.syscalls.families import family
from ebpftop.ui.panes.common import HANDLER_STYLES
from ebpftop.ui.screens.live_modal import LiveScreen
from ebpftop.ui.widgets.columns import Cell, Column, Span
from ebpftop.ui.widgets.table_view import TableView


@dataclass(frozen=True)
class TableEntry:
    """A slot of the tail-call table, and how often it was used; `runs` is None if that is not counted."""

    slot: int
    key: CallKey
    name: str
    handler: Handler
    runs: int | None


def program(slot: TableEntry) -> str:
    """Return the name in bpf/syscalls.c of the program in *slot*: there are three for the timer calls."""
    if slot.handler == "count":
        return "(empty: counted)"
    return f"handle_{family(slot.name) if slot.handler == 'timer' else slot.handler}"


def slots(model: SyscallsModel) -> list[TableEntry]:
    """Return every slot that holds a program or was used, those with programs first."""
    if model.latest is None:
        return []
    found: dict[int, TableEntry] = {}
    for key, call in model.calls.items():
        if call.row.slot is not None:
            handler = model.handler(call)
            runs = None if handler == "ignore" else call.count(last=False)
            found[call.row.slot] = TableEntry(call.row.slot, key, call.row.name, handler, runs)
    for held in model.latest.table:
        if held.slot not in found:
            runs = None if held.handler == "ignore" else 0
            found[held.slot] = TableEntry(held.slot, (held.abi, held.nr), held.name, held.handler, runs)
    return sorted(found.values(), key=lambda s: (s.handler == "count", s.slot))


SLOTS: Language[TableEntry] = Language(
    (
        text_field("name", lambda s: s.name, "the call's name", "syscall"),
        Field("slot", Number(hint="59"), lambda s, _: s.slot),
        text_field("program", program),
        Field("handler", HANDLERS, lambda s, _: s.handler),
        Field("runs", Number(), lambda s, _: s.runs),
        text_field("abi", lambda s: s.key[0]),
    ),
    lambda s: f"{s.slot} {s.key[0]} {s.name} {program(s)}",
    lambda s: s.name,
)


class TableScreen(LiveScreen):
    """The tail-call table: slot, call, program, runs."""

    label = "Tail-call table"
    about = (
        "The PROG_ARRAY through which the program at sys_enter calls the handler of each system call. An empty slot "
        "counts; i and T put other programs there while it runs."
    )

    @property
    def topic(self) -> tuple[Subject | None, str]:
        entry, subject = self.table.selected(), self.traceable
        return subject, "" if entry is None else entry.name

    @property
    def traceable(self) -> Subject | None:
        entry = self.table.selected()
        if entry is None:
            return None
        return subject_of_call(entry.name, *entry.key, self.model.conditions(entry.key))

    def begin(self) -> None:
        self.table.begin()

    def contents(self) -> ComposeResult:
        def runs(s: TableEntry, _: float) -> Cell:
            return (Span("not counted", "dim") if s.runs is None else Span(f"{s.runs:,}" if s.runs else "·"),)

        self.table: TableView[TableEntry] = TableView(
            (
                Column(
                    "slot",
                    "SLOT",
                    5,
                    lambda s, _: (Span(str(s.slot), "dim"),),
                    right=True,
                    sort=lambda s: -s.slot,
                    about="Index in the PROG_ARRAY.",
                ),
                Column(
                    "abi",
                    "ABI",
                    7,
                    lambda s, _: (Span(s.key[0], "dim"),),
                    rank=1,
                    sort=lambda s: s.key[0],
                    about="The ABI by which the call is made.",
                ),
                Column(
                    "name",
                    "SYSCALL",
                    18,
                    self._call_name,
                    sort=lambda s: s.name,
                    about="The call whose slot it is.",
                ),
                Column(
                    "program",
                    "PROGRAM",
                    15,
                    lambda s, _: (Span(program(s), "dim" if s.handler == "count" else "strong"),),
                    flexible=True,
                    sort=program,
                    about="The BPF program in the slot. An empty slot counts; handle_ignore neither counts nor times.",
                ),
                Column(
                    "runs",
                    "RUNS",
                    13,
                    runs,
                    right=True,
                    sort=lambda s: s.runs or 0,
                    about="How often the slot was used since ebpftop started.",
                ),
            ),
            key_of=lambda s: s.slot,
            sort="",
            language=SLOTS,
        )
        yield self.table

    def _call_name(self, slot: TableEntry, _: float) -> Cell:
        return (Span(slot.name, HANDLER_STYLES.get(slot.handler, "")),)

    def title_text(self) -> str:
        held = len(self.model.latest.table) if self.model.latest else 0
        return f"The tail-call table of sys_enter: {counted(held, 'slot holds', 'slots hold')} a program"

    def show(self) -> None:
        rows = slots(self.model)
        self.table.message = [] if rows else [Span("no counters yet", "dim")]
        self.table.show_rows(rows)
