"""Everything known about one eBPF program."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ebpftop.core import format
from ebpftop.core.program_records import ProgramMap
from ebpftop.models.programs import Program, ProgramsModel
from ebpftop.ui.panes.common import date_and_time
from ebpftop.ui.widgets.sheet import Sheet

MOST = 40
"""Owners and maps that are listed."""

WIDEST = 32
"""Cells of a column; a longer name moves what stands behind it."""


def bpf_sheet(model: ProgramsModel, shown: Program, now: float) -> Sheet:
    """Build the sheet of the program *shown*; *now* is the time of the newest reading (Unix seconds)."""
    program = model.find(shown.id) or shown
    row = program.row
    sheet = Sheet()
    sheet.heading("Program")
    sheet.fact("name", row.name or "(no name)", "bold", "loaded by ebpftop" if row.own else "")
    sheet.fact("id", row.id)
    sheet.fact("type", row.type)
    sheet.fact("tag", row.tag, note="a hash of its instructions")
    sheet.fact("instructions", f"{row.insns:,}" if row.insns else "", note="as the verifier left them")
    sheet.fact("loaded", date_and_time(row.loaded)[:19], note=f"{format.age(now - row.loaded)} ago, by uid {row.uid}")
    if program.gone is not None or model.find(shown.id) is None:
        sheet.fact("gone", "it is not loaded any more", "$warning")
    _ran(sheet, model, program)
    _over_time(sheet, program)
    _placed(sheet, program)
    _maps(sheet, model, program)
    return sheet


def _placed(sheet: Sheet, program: Program) -> None:
    row = program.row
    sheet.heading("Attached to")
    for place in row.attached[:MOST]:
        sheet.line((place, ""))
    if not row.attached:
        sheet.line(("nothing that the kernel tells: it may be called by another program, or by its own loader", "$dim"))
    _more(sheet, len(row.attached))
    sheet.heading("Held by")
    for owner in row.owners[:MOST]:
        sheet.line((f"{owner.pid:>7}  ", "$dim"), (owner.comm, "bold"))
    if not row.owners:
        sheet.line(("no process: it is pinned, or what it is attached to keeps it", "$dim"))
    _more(sheet, len(row.owners))


def _ran(sheet: Sheet, model: ProgramsModel, program: Program) -> None:
    sheet.heading("Runs")
    row, rates = program.row, program.rates
    if not model.counts_runs:
        sheet.line(("not known: the kernel does not count them", "$warning"))
        return
    mean = format.nanoseconds(row.run_ns / row.runs) if row.runs else ""
    if rates is not None:
        each = rates.ns_per_run
        sheet.fact("runs", f"{format.brief(rates.runs)}/s", "bold", "over the last reading")
        sheet.fact("CPU", format.fine_share(rates.cpu), "bold", "of one CPU")
        sheet.fact("a run took", "" if each is None else format.nanoseconds(each), "bold", f"{mean} on average so far")
    sheet.fact("runs so far", f"{row.runs:,}", note=f"{format.nanoseconds(row.run_ns)} in all, since ebpftop watches")
    sheet.fact(
        "misses",
        f"{row.misses:,}" if row.misses else "·",
        "$warning" if row.misses else "",
        "left out: it, or another program on its hook, was running on that CPU",
    )


def _over_time(sheet: Sheet, program: Program) -> None:
    history = program.usage.history
    if not history:
        return
    sheet.heading(f"Over the last {format.counted(len(history), 'reading')}")
    lines: tuple[tuple[str, Sequence[float], Callable[[float], str]], ...] = (
        ("runs/s", [rates.runs for rates in history], format.brief),
        ("ns/run", [rates.ns_per_run or 0.0 for rates in history], format.brief),
        ("CPU", [rates.cpu for rates in history], format.fine_share),
    )
    for name, values, text in lines:
        most = max(values)
        note = f"at most {text(most)}" if most else "none"
        sheet.line((f"{name:<7} ", "$dim"), (format.sparkline(values, len(values)), "$primary"), (f"  {note}", "$dim"))


def _maps(sheet: Sheet, model: ProgramsModel, program: Program) -> None:
    row, maps = program.row, model.maps_of(program.row)
    what = format.size(row.map_bytes) if row.map_bytes else ""
    sheet.heading(f"Maps ({len(row.maps)}{', ' if what else ''}{what})")
    if not row.maps:
        sheet.line(("none", "$dim"))
        return
    widths = tuple(min(max(4, len(_longest(maps, name))), WIDEST) for name in ("type", "name"))
    sheet.line((f"{'ID':>6}  {'TYPE':<{widths[0]}}  {'NAME':<{widths[1]}}  {'ENTRIES':>8}  {'BYTES':>7}", "$dim"))
    for one in maps[:MOST]:
        others = [p for p in model.users_of(one.id) if p.id != row.id]
        shared = f"  also used by {_named(others)}" if others else ""
        sheet.line(
            (f"{one.id:>6}  ", "$dim"),
            (f"{one.type:<{widths[0]}}  ", ""),
            (f"{one.name:<{widths[1]}}  ", "bold"),
            (f"{format.count(one.entries):>8}  {format.size(one.bytes) if one.bytes else '·':>7}", ""),
            (shared, "$dim"),
        )
    _more(sheet, len(maps))


def _named(programs: Sequence[Program]) -> str:
    first = programs[0].row.name or f"program {programs[0].id}"
    return first + (f" and {len(programs) - 1} more" if len(programs) > 1 else "")


def _longest(maps: Sequence[ProgramMap], name: str) -> str:
    return max((str(getattr(one, name)) for one in maps), key=len, default="")


def _more(sheet: Sheet, number: int) -> None:
    if number > MOST:
        sheet.line((f"{'…':>7}  and {number - MOST:,} more", "$dim"))
