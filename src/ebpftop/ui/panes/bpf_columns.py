"""Columns of the eBPF programs of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ebpftop.core.format import age, brief, count, fine_share, size, sparkline
from ebpftop.models.programs import Program, ProgramsModel, Rates, is_new, owners_text
from ebpftop.ui.widgets.columns import Cell, Column, Narrow, Shown, Span, without_middle
from ebpftop.ui.widgets.table_view import TableView

OWN = "*"
"""What ebpftop loaded itself."""

ID_WIDTH = 4

_UNKNOWN = (Span("–", "dim"),)
_NONE = (Span("·", "dim"),)

_SHORT = (("raw_tracepoint", "raw_tp"), ("cgroup", "cgrp"), ("struct_ops", "ops"), ("sched_", ""))
"""What a narrow screen shortens of the kernel's words for types."""


def short_type(name: str) -> str:
    """Return the type of a program in few characters: raw_tp for raw_tracepoint."""
    for long, short in _SHORT:
        name = name.replace(long, short)
    return name


def sign(program: Program, now: float) -> Span:
    """Return the sign in front of a program that has come or gone a moment ago."""
    if program.gone is not None:
        return Span("-", "dim")
    return Span("+", "good") if is_new(program, now) else Span(" ")


def _look(program: Program) -> str:
    return "dim" if program.gone is not None else ""


def _name(program: Program, _: float) -> Cell:
    look = _look(program) or "strong"
    own = (Span(f"{OWN} ", "accent"),) if program.row.own else ()
    return (*own, Span(program.row.name or "(no name)", look if program.row.name else "dim"))


def _by(program: Program, _: float) -> Cell:
    owners = program.row.owners
    if not owners:
        return _UNKNOWN
    first, others = owners[0].comm, len({owner.comm for owner in owners}) - 1
    return (Span(first, _look(program)), *((Span(f" +{others}", "dim"),) if others else ()))


def _attached(program: Program, width: int) -> Cell:
    places = program.row.attached
    if not places:
        return _UNKNOWN
    others = f" +{len(places) - 1}" if len(places) > 1 else ""
    return (Span(without_middle(places[0], width - len(others)), _look(program)), Span(others, "dim"))


def _figure(read: Callable[[Rates], float | None], text: Callable[[float], str]) -> Callable[[Program, float], Cell]:
    """Return the cell of a figure of the last reading: a dash if it is not known, a dot if there is nothing."""

    def cell(program: Program, _: float) -> Cell:
        rates = program.rates
        if rates is None:
            return _UNKNOWN
        value = read(rates)
        return (Span(text(value), _look(program)),) if value else _NONE

    return cell


def _known(read: Callable[[Rates], float | None]) -> Callable[[Program], float | None]:
    def value(program: Program) -> float | None:
        return read(program.rates) if program.rates is not None else None

    return value


def _order(read: Callable[[Rates], float | None]) -> Callable[[Program], float]:
    value = _known(read)

    def order(program: Program) -> float:
        found = value(program)
        return -1.0 if found is None else found

    return order


def _rate(
    key: str,
    title: str,
    width: int,
    read: Callable[[Rates], float | None],
    text: Callable[[float], str],
    about: str,
    *,
    rank: int,
    exported: str,
) -> Column[Program]:
    value = _known(read)
    return Column(
        key,
        title,
        width,
        _figure(read, text),
        right=True,
        rank=rank,
        sort=_order(read),
        value=lambda program, _: value(program),
        about=about,
        exported=exported,
    )


def _number(value: int, look: str = "") -> Cell:
    return (Span(count(value), look),) if value else _NONE


COLUMNS: tuple[Column[Program], ...] = (
    Column(
        "id",
        "ID",
        ID_WIDTH,
        lambda p, _: (Span(str(p.row.id), "dim"),),
        right=True,
        rank=6,
        sort=lambda p: -p.row.id,
        value=lambda p, _: p.row.id,
        about="Its id in the kernel, as bpftool prog has it. It is not used again until the machine boots.",
    ),
    Column(
        "type",
        "TYPE",
        17,
        lambda p, _: (Span(p.row.type, _look(p)),),
        rank=7,
        sort=lambda p: p.row.type,
        value=lambda p, _: p.row.type,
        about="Its kind, which says what may call it. On a narrow screen raw_tp is raw_tracepoint, cgrp cgroup.",
        narrow=Narrow(140, 10, cell=lambda p, _: (Span(short_type(p.row.type), _look(p)),)),
    ),
    Column(
        "name",
        "NAME",
        15,
        _name,
        always=True,
        flexible=True,
        widest=40,
        sort=lambda p: p.row.name,
        value=lambda p, _: p.row.name,
        about="The name of its function. *: this ebpftop loaded it, or the one that made the recording.",
    ),
    Column(
        "by",
        "LOADED BY",
        9,
        _by,
        rank=4,
        flexible=True,
        widest=18,
        sort=lambda p: owners_text(p.row.owners),
        value=lambda p, _: owners_text(p.row.owners),
        about="A process that holds it, mostly the one that loaded it; +1: another one does too. –: none; it is "
        "pinned, or what it is attached to keeps it.",
        exported="held_by",
    ),
    Column(
        "attached",
        "ATTACHED",
        11,
        rank=5,
        flexible=True,
        widest=32,
        fill=_attached,
        whole=lambda p, _: (Span(", ".join(p.row.attached)),),
        sort=lambda p: p.row.attached[0] if p.row.attached else "",
        value=lambda p, _: " ".join(p.row.attached),
        about="Where it hangs, as far as the kernel says so; +1: in another place too.",
    ),
    _rate(
        "runs",
        "RUNS/s",
        6,
        lambda r: r.runs,
        brief,
        "Runs per second, over the last reading.",
        rank=2,
        exported="runs_per_s",
    ),
    _rate(
        "ns",
        "ns/RUN",
        6,
        lambda r: r.ns_per_run,
        brief,
        "How many nanoseconds one of these runs took on average.",
        rank=3,
        exported="ns_per_run",
    ),
    _rate(
        "cpu",
        "CPU",
        5,
        lambda r: r.cpu,
        fine_share,
        "The time of these runs as a share of one CPU, those on all CPUs together.",
        rank=1,
        exported="cpu_share",
    ),
    Column(
        "trend",
        "TREND",
        10,
        rank=8,
        flexible=True,
        widest=24,
        about="CPU of the readings so far, the newest at the right. The title says the top of its scale.",
    ),
    Column(
        "misses",
        "MISSES",
        6,
        lambda p, _: _number(p.row.misses, "warn"),
        right=True,
        rank=9,
        sort=lambda p: p.row.misses,
        about="Runs that the kernel left out since ebpftop watches: the program, or another one on its hook, was "
        "running on that CPU already.",
    ),
    Column(
        "maps",
        "MAPS",
        7,
        lambda p, _: (Span(size(p.row.map_bytes), _look(p)),) if p.row.map_bytes else _NONE,
        right=True,
        rank=10,
        sort=lambda p: p.row.map_bytes,
        about="Memory of the maps that it uses, also of those that other programs share.",
        exported="map_bytes",
    ),
    Column(
        "insns",
        "INSNS",
        5,
        lambda p, _: _number(p.row.insns, _look(p)),
        right=True,
        rank=11,
        sort=lambda p: p.row.insns,
        about="Its instructions, as the verifier left them.",
    ),
    Column(
        "loaded",
        "LOADED",
        6,
        lambda p, now: (Span(age(now - p.row.loaded), _look(p)),),
        right=True,
        rank=12,
        sort=lambda p: -p.row.loaded,
        value=lambda p, _: p.row.loaded,
        about="How long ago it was loaded.",
        exported="loaded_time",
    ),
    Column(
        "tag",
        "TAG",
        16,
        lambda p, _: (Span(p.row.tag, "dim"),),
        rank=13,
        hidden=True,
        sort=lambda p: p.row.tag,
        value=lambda p, _: p.row.tag,
        about="A hash of its instructions: programs with the same one are the same code.",
    ),
    Column(
        "uid",
        "UID",
        5,
        lambda p, _: (Span(str(p.row.uid), "root" if not p.row.uid else ""),),
        right=True,
        rank=14,
        hidden=True,
        sort=lambda p: -p.row.uid,
        value=lambda p, _: p.row.uid,
        about="The user who loaded it.",
    ),
)


def bpf_columns(peak: Callable[[], float]) -> tuple[Column[Program], ...]:
    """Return the columns; the trend of a program with *peak* of one CPU is at the top of its scale."""

    def trend(program: Program, width: int) -> Cell:
        values = [rates.cpu for rates in program.usage.history]
        return (Span(sparkline(values, width, peak()), "bar"),)

    return tuple(replace(column, fill=trend) if column.key == "trend" else column for column in COLUMNS)


def exported(table: TableView[Program]) -> Shown[Program]:
    """Return the columns and rows of *table*, scrolled away or not, for an export."""
    return Shown(_exported(table.columns, table.hidden), table.rows(), table.now)


def busiest(model: ProgramsModel) -> Shown[Program]:
    """Return the usual columns, and all programs, those first that take most of a CPU, for a report."""
    shown = _exported(COLUMNS, frozenset(column.key for column in COLUMNS if column.hidden))
    rows = sorted(model.programs, key=lambda program: (-program.cpu, program.id))
    return Shown(shown, rows, model.latest.time if model.latest is not None else 0.0)


def _exported(columns: Sequence[Column[Program]], hidden: frozenset[str]) -> tuple[Column[Program], ...]:
    return tuple(c for c in columns if (c.always or c.key not in hidden) and c.key != "trend")
