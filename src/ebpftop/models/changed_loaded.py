"""What changed of a program of one's own that is no rate: entries of its maps, and what was loaded when."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator

from ebpftop.core import format
from ebpftop.core.clock import whole_text
from ebpftop.core.load_records import Loaded, LoadedMap
from ebpftop.models.changed_rows import MOVED, Mark, Row
from ebpftop.models.load_fields import counter_of, leaves
from ebpftop.models.span_figures import SpanFigures
from ebpftop.models.span_held import Differs, differing, number_of, value_text
from ebpftop.models.span_loaded import key_text

_ROWS_MAX = 50
"""Entries of one map."""
_NAMES_MAX = 8


def entry_rows(a: SpanFigures, b: SpanFigures) -> tuple[list[Row], list[str]]:
    """Return a row for each entry that one span had all the time and the other never, and for each other value.

    And notes on what has no row. Entries that count, and did, have rows of what they gained.
    """
    rows: list[Row] = []
    left_out: dict[str, int] = {}
    of_map: dict[str, int] = {}
    loaded = b.loaded.running or a.loaded.running
    known = {one.name: one for one in loaded.maps} if loaded is not None else {}
    gained = {(item.of, item.name) for item in a.items.all_keys() | b.items.all_keys() if item.kind == "entry"}
    gained = {(of, name) for of, name in gained} | {(of, name.rpartition(" ")[0]) for of, name in gained}
    for one in differing(a.loaded.held.maps, b.loaded.held.maps):
        info = known.get(one.map)
        if info is None or info.histogram is not None or (one.map, key_text(one.row)) in gained:
            continue
        if one.before is not None and one.after is not None and _counts(info):
            continue  # it is where its count stood when the span began
        of_map[one.map] = of_map.get(one.map, 0) + 1
        if of_map[one.map] > _ROWS_MAX:
            left_out[one.map] = left_out.get(one.map, 0) + 1
            continue
        rows += _rows(one)
    notes = [
        f"{format.counted(count, 'more entry', 'more entries', whole=True)} of the map {name}: not the same"
        for name, count in left_out.items()
    ]
    return rows, notes


def _counts(info: LoadedMap) -> bool:
    return counter_of(leaves(info.value), info.name) is not None


def _rows(one: Differs) -> Iterator[Row]:
    name = f"{one.map}[{key_text(one.row)}]"
    if one.before is not None and one.after is not None:
        before, after = number_of(one.before.value), number_of(one.after.value)
        if before is not None and after is not None:
            yield _row("up" if after > before else "down", "value", name, before, after)
            return
        yield _row("-", "value", f"{name} = {value_text(one.before)}")
        yield _row("+", "value", f"{name} = {value_text(one.after)}")
        return
    value = value_text(one.row)
    name = f"{name} = {value}" if value else name
    yield _row("+" if one.before is None else "-", "key", name)


def _row(mark: Mark, what: str, name: str, before: float | None = None, after: float | None = None) -> Row:
    factor = after / before if before and after and before * after > 0 else None
    return Row(
        mark=mark,
        what=what,
        name=name,
        before=before,
        after=after,
        factor=factor,
        at_least=max(MOVED, math.exp(abs(math.log(factor)))) if factor else MOVED,
        share=0.0,
        count_before=0,
        count_after=0,
    )


def loaded_notes(a: SpanFigures, b: SpanFigures) -> Iterator[str]:
    """Yield what was loaded in the spans, as far as it differs or did not run through, and what is not compared."""
    for name, figures in (("A", a), ("B", b)):
        yield from _of_span(name, figures)
    one, other = a.loaded.running, b.loaded.running
    if one is None or other is None:
        return
    if one.file != other.file:
        yield f"A ran {one.file}, B {other.file}"
    elif (lines := _lines_apart(one, other)) is not None:
        yield f"{one.file} is not the same in both: {lines}"
    for what, before, after in (
        ("programs", [p.name for p in one.programs], [p.name for p in other.programs]),
        ("maps", [m.name for m in one.maps], [m.name for m in other.maps]),
    ):
        for letter, only in (("A", set(before) - {*after}), ("B", set(after) - {*before})):
            if only:
                yield f"{what} of {letter} alone: {_listed(only)}"
    places = {p.name: p.attached for p in one.programs}
    for program in other.programs:
        if program.name in places and places[program.name] != program.attached:
            yield (
                f"{program.name} is attached to {', '.join(places[program.name]) or 'nothing'} in A, "
                f"to {', '.join(program.attached) or 'nothing'} in B"
            )
    yield from _not_compared(a, b, one, other)


def _of_span(name: str, figures: SpanFigures) -> Iterator[str]:
    states = figures.loaded.states
    again = [state for state in states[1:] if state.state == "on"]
    if again:
        yield (
            f"{again[0].file} was loaded again in {name} at "
            f"{_listed(whole_text(state.time) for state in again)}: maps that are kept go on"
        )
    for state in states:
        if state.state == "failed":
            bad = next((one for one in state.diagnostics if one.severity == "error"), None)
            why = "" if bad is None else f": {bad.message}" if bad.line is None else f": line {bad.line}: {bad.message}"
            runs = "the last good one ran on" if state.generation else "nothing ran"
            yield f"{state.file} could not be loaded in {name} at {whole_text(state.time)}{why}; {runs}"
    for program in figures.loaded.running.programs if figures.loaded.running is not None else ():
        if program.reason is not None:
            yield f"{program.name} did not run in {name}: {program.reason}"


def _lines_apart(one: Loaded, other: Loaded) -> str | None:
    before, after = (list(loaded.source if loaded.running is None else loaded.running) for loaded in (one, other))
    if before == after:
        return None
    gone = new = 0
    for tag, a0, a1, b0, b1 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            gone, new = gone + a1 - a0, new + b1 - b0
    return f"{format.counted(gone, 'line')} of A, {new:,} of B"


def _not_compared(a: SpanFigures, b: SpanFigures, one: Loaded, other: Loaded) -> Iterator[str]:
    many = a.loaded.fields.too_many | b.loaded.fields.too_many
    if many:
        yield f"fields with more values than can be compared: {_listed(many)}"
    times = (a.loaded.not_counters | b.loaded.not_counters) & {m.name for m in one.maps} & {m.name for m in other.maps}
    if times:
        yield f"of maps whose numbers are no counters only keys are compared: {_listed(times)}"
    types = {m.name: m.value for m in one.maps if m.value is not None}
    changed = {m.name for m in other.maps if m.value is not None and types.get(m.name, m.value) != m.value}
    if changed:
        yield f"maps and buffers that hold something else in B than in A: {_listed(changed)}"


def _listed(names: Iterator[str] | set[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - _NAMES_MAX} more" if len(found) > _NAMES_MAX else ""
    return ", ".join(found[:_NAMES_MAX]) + more
