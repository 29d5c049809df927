"""Diagnostics: each attach option that each probe tried, and the output of BCC, clang and libbpf."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ebpftop.core import format
from ebpftop.core.escape import escape
from ebpftop.core.records import Probe, ProbeName, State
from ebpftop.models.overview import Overview
from ebpftop.probes.registry import registry
from ebpftop.ui.panes.own_programs import OwnReader, add_file
from ebpftop.ui.widgets.sheet import Details, Sheet
from ebpftop.ui.words import LOSSES

DIAGNOSTICS = "Diagnostics"
"""The title of the sheet."""

TAIL_BYTES = 64 << 10

_STYLES: Mapping[State, str] = {"on": "$success", "off": "$dim", "failed": "$error"}


def diagnostics(
    probes: Mapping[ProbeName, Probe],
    log_path: Path | None,
    journal: Iterable[str],
    unread: Callable[[], Iterable[str]] = tuple,
) -> Details:
    """Build the sheet of facts that help to find out why something does not work."""
    return Details(title=DIAGNOSTICS, sheet=lambda: _sheet(probes, log_path, list(journal), list(unread())))


def _sheet(probes: Mapping[ProbeName, Probe], log_path: Path | None, journal: list[str], unread: list[str]) -> Sheet:
    sheet = Sheet()
    if unread:
        sheet.heading("The recording")
        for line in unread:
            sheet.line((escape(line), "$warning"))
    for name in dict.fromkeys((*registry().names, *probes)):
        sheet.heading(f"Probe {name}")
        _probe(sheet, probes.get(name))
    if journal:
        sheet.heading("ebpftop itself")
        for line in journal:
            sheet.line((escape(line), "$warning"))
    sheet.heading(f"What BCC, clang and libbpf printed{f': {log_path}' if log_path else ''}")
    lines, trouble = _tail(log_path)
    for line in lines:
        sheet.line((escape(line), ""))
    if not lines:
        sheet.line((trouble or "nothing", "$dim"))
    return sheet


def probe_details(name: ProbeName, label: str, overview: Callable[[], Overview], reader: OwnReader) -> Details:
    """Build the sheet of one probe: its attach options, what it cannot see, what was lost of it, what is loaded."""

    def sheet() -> Sheet:
        now = overview()
        sheet = Sheet()
        sheet.heading(f"Probe {name}")
        _probe(sheet, now.probes.get(name))
        sheet.heading("Lost")
        losses = now.losses(name)
        for where, n in losses:
            sheet.fact(where, f"{n:,}", "$error")
            sheet.line((f"  {LOSSES[where].missing}", ""))
            sheet.line((f"  Helps: {LOSSES[where].helps}", "$dim"))
        if not losses:
            sheet.line(("nothing", "$dim"))
        sheet.line(("X: what was lost of all probes, and when", "$dim"))
        add_file(sheet, reader)
        return sheet

    return Details(title=f"{label}: its probe", sheet=sheet)


def _probe(sheet: Sheet, probe: Probe | None) -> None:
    if probe is None:
        sheet.line(("nothing is known of it", "$dim"))
    else:
        look = {"on": "$success", "failed": "$error"}.get(probe.state, "$warning")
        sheet.fact("state", probe.state, look, probe.via or "")
        sheet.fact("reason", probe.reason, "$error")
        sheet.fact("remedy", probe.remedy, "bold")
        for attempt in probe.attempts:
            state = "off" if probe.state != "on" and attempt.state == "on" else attempt.state
            taken = state == "on"  # one of each ladder
            mark, style = format.MARKS[state], _STYLES[state]
            sheet.line((f"  {mark} ", style), (attempt.via, "bold" if taken else ""))
            sheet.line((f"      {attempt.explanation}", "$dim"))
            if attempt.blind:
                sheet.line((f"      cannot see {'; '.join(attempt.blind)}", "$warning" if taken else "$dim"))


def _tail(path: Path | None) -> tuple[list[str], str]:
    """Return the last lines of the log, or why there are none."""
    if path is None:
        return [], "this source has no log"
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "backslashreplace").replace("\t", "    ").splitlines()
    except OSError as error:
        return [], f"the log cannot be read: {error.strerror}"
    return (lines[1:] if size > TAIL_BYTES else lines), ""
