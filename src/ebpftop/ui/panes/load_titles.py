"""What the titles of the workbench say: of the file, of its source, its bytecode, its output."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len

from ebpftop.core.clock import date_text, dated_text, time_text
from ebpftop.core.format import brief, count, counted, nanoseconds
from ebpftop.core.load_records import Loaded, LoadedProgram
from ebpftop.models.load import LoadModel
from ebpftop.ui.panes.load_output import PRINTED_NAME, OutputLines
from ebpftop.ui.panes.title import Count
from ebpftop.ui.widgets.columns import Span, clip

_NAMED = 3
"""Programs that the first line names."""

_UNNAMED = "no names of helpers"
"""In brief, of a title."""

_CLOCKS_APART_S = 2.0
"""So much may the clock of a file system be ahead, of another machine for one."""

_BETWEEN = 3
"""Cells between two parts of the first line."""


def headline(model: LoadModel, latest: Loaded, width: int, missing: str = "") -> list[list[Span]]:
    """Return what the first line says of the file, the most important first; *missing*: of its recording.

    The first program is there in any case: if *width* cells are too few, without its figures, or cut.
    """
    if missing:
        name, *parts = headline(model, latest, width - cell_len(missing) - _BETWEEN)
        return [name, [Span(missing, "bad")], *parts]
    if latest.state == "failed":
        runs_on = "the last good one runs on" if model.is_running else "none runs yet"
        saved = f"saved {_moment(latest.saved, latest.time)}"
        return [[Span(f"✗ {latest.file}", "bad"), Span("  did not load")], [Span(runs_on)], [Span(saved, "dim")]]
    if latest.state != "on":
        doing = [Span(latest.file, "name"), Span(f"  {latest.state} …")]
        return [doing, [Span("the last good one runs on")]] if model.is_running else [doing]
    programs = latest.programs
    parts = [[Span(latest.file, "name")]]
    room = width - cell_len(latest.file) - _BETWEEN
    if unattached := _unattached(latest):
        text = f"✗ {unattached}"
        parts.append([Span(text, "bad")])
        room -= cell_len(text) + _BETWEEN
    left = len(programs)
    for at, one in enumerate(programs[:_NAMED]):
        bad = one.reason is not None and not one.attached
        text = _program(model, one)
        if not at and cell_len(text) > room:
            text = clip(_program(model, one, figures=False), room).rstrip()
        others = left - 1
        if at and cell_len(text) + (_BETWEEN + cell_len(_more(others)) if others else 0) > room:
            break
        left = others
        parts.append([Span(text, "bad" if bad else "")])
        room -= cell_len(text) + _BETWEEN
    if left:
        parts.append([Span(_more(left), "dim")])
    parts.append([Span(f"loaded {_moment(latest.time, max(latest.time, model.time))}", "dim")])
    if latest.compile_s:
        parts.append([Span(f"in {nanoseconds(latest.compile_s * 1e9)}", "dim")])
    return parts


def _unattached(latest: Loaded) -> str:
    if not latest.unattached:
        return ""
    return f"{len(latest.unattached)} of {counted(len(latest.programs), 'program')} not attached"


def _more(programs: int) -> str:
    return f"{programs} more"


def file_status(model: LoadModel) -> str:
    """Return what the main screen says of the file if not all of it runs."""
    latest = model.latest
    if latest is None or latest.state not in ("on", "failed"):
        return ""
    if latest.state == "failed":
        return f"✗ {latest.file} did not load"
    return f"✗ {latest.file}: {unattached}" if (unattached := _unattached(latest)) else ""


def _moment(time: float, now: float) -> str:
    """Return the time of day, with the date if that is another one than of *now*, or if it is still to come."""
    is_ahead = time > now + _CLOCKS_APART_S and dated_text(time, now) == time_text(time)
    return f"{date_text(time)} {time_text(time)}" if is_ahead else dated_text(time, now)


def _program(model: LoadModel, program: LoadedProgram, *, figures: bool = True) -> str:
    """Return what is said of a program: where it hangs, with *figures* how often it runs, what a run takes."""
    if not program.attached:
        return f"{program.name}: {program.reason}" if program.reason else program.name
    rates = model.rates_of(program.name)
    said = ""
    if figures and rates is not None and rates.runs > 0:
        said = f" {brief(rates.runs)}/s" + (f" × {nanoseconds(rates.ns_per_run)}" if rates.ns_per_run else "")
    places = ", ".join(program.attached)
    # A name that BCC's macros make of the place says nothing else.
    head = "" if program.name.replace("__", ":") == places else f"{program.name} at "
    return f"{head}{places}{said}"


def of_source(model: LoadModel, line: int, functions: Mapping[str, range]) -> list[Count]:
    """Return how often the line under the cursor ran, or its program."""
    rate = model.lines.rates.get(line)
    if rate is not None:
        return [Count(f"line {line} ran {brief(rate) if rate else 0}/s")]
    program = next((name for name, lines in functions.items() if line in lines), "")
    rates = model.rates_of(program)
    if rates is None:
        return []
    loaded = next((one for one in model.programs if one.name == program), None)
    if loaded is not None and loaded.event is None:
        return [Count(f"{program}: its tail calls are not counted", brief="tail calls are not counted")]
    ran = f"{program} ran {brief(rates.runs) if rates.runs else 0}/s"
    if loaded is not None and _runs_at_all_calls(loaded):
        return [Count(f"{ran}, at all calls", brief=ran)]
    return [Count(ran)]


def _runs_at_all_calls(program: LoadedProgram) -> bool:
    """Return whether a program for one system call hangs where all go by: at the others it leaves at once."""
    one_call = (program.event or "").startswith(("syscall:", "syscall_exit:"))
    return one_call and any(place.startswith("raw_tracepoint:sys_") for place in program.attached)


def errors_of(model: LoadModel) -> list[Span]:
    """Return how many errors there are, for the right end of the source's title."""
    found = model.latest.diagnostics if model.latest is not None else ()
    wrong = sum(one.severity == "error" for one in found)
    doubtful = len(found) - wrong
    if wrong:
        return [Span(counted(wrong, "error"), "bad")]
    return [Span(counted(doubtful, "warning"), "warn")] if doubtful else []


def of_code(model: LoadModel, *, native: bool) -> list[Count]:
    """Return how many instructions there are, and what became of them."""
    programs, insns = model.programs, model.insns
    size = sum(one.jited_bytes for one in programs)
    arch = next((code.arch for code in model.codes.values() if code.arch), "")
    if not insns:
        return []
    unnamed = [Count(why, brief=_UNNAMED) for code in model.codes.values() if (why := code.unnamed)][:1]
    if native:
        return [Count(f"{size} B {arch}".rstrip()), *unnamed]
    parts = [Count(f"{insns} xlated{f' → {size} B {arch}'.rstrip() if size else ''}")]
    walked = sum(one.verified_insns or 0 for one in programs)
    return [*parts, *([Count(f"{count(walked)} verified", 1)] if walked else []), *unnamed]


def of_output(lines: OutputLines, hidden: str = "") -> list[Count]:
    """Return how many events came, and how many more are *hidden*, and why."""
    left_out = [Count(hidden, 2)] if hidden else []
    shown, of, _ = lines.output_filter.counts
    events = lines.view.ring.end
    if not events:
        return left_out
    filtered = f"{shown:,} of " if shown != of else ""
    what = "line" if lines.name_shown == PRINTED_NAME else "event"
    return [
        Count(f"{filtered}{counted(events, what)}"),
        Count("follows" if lines.follow else "F: follow", 1),
        *left_out,
    ]
