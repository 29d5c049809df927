"""What changed between two spans: what appeared, vanished, or moved by more than chance."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from ebpftop.models.chance import Counted, Timed, deviations, distance, mean_factor, quantile_factor, rate_factor
from ebpftop.models.changed_loaded import entry_rows, loaded_notes
from ebpftop.models.changed_notes import notes
from ebpftop.models.changed_rows import MOVED, SCHEMA, Changed, Loss, Mark, Row, Span
from ebpftop.models.latency import quantile
from ebpftop.models.span_figures import SpanFigures
from ebpftop.models.span_items import OF_SEVERAL, Clock, Item, clock_of

ROWS_MAX = 2000

_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
_LEAST_CALLS = 10
_TIMED = frozenset(("call", "pair", "took"))


def compare(a: SpanFigures, b: SpanFigures, names: tuple[str, str] = ("A", "B")) -> Changed:
    """Compare two spans, which are closed."""
    a.name_users(b.users)
    b.name_users(a.users)
    items = sorted(item for item in a.items.all_keys() | b.items.all_keys() if _is_known(a, b, item))
    counted = [item for item in items if item.kind not in ("pair", "took")]
    timed = [item for item in items if item.kind in _TIMED or (_is_of_group(item) and item.of == "calls")]
    z = deviations(len(counted) + len(timed))
    found = [_counted(a, b, item, z) for item in counted]
    found += [row for item in timed for row in _timed(a, b, item, z)]
    entries, more_entries = entry_rows(a, b)
    found += entries
    rows = sorted((row for row in found if row.mark != "same" and row.at_least >= MOVED), key=_order)
    few = [row for row in found if row.mark in ("+", "-") and row.at_least < MOVED]
    same = [row for row in found if row.mark == "same"]
    return Changed(
        schema=SCHEMA,
        a=_span(a, names[0]),
        b=_span(b, names[1]),
        notes=[*notes(a, b), *loaded_notes(a, b), *more_entries],
        rows=rows[:ROWS_MAX],
        few=sorted(few, key=lambda row: (-row.share, row.what, row.name))[:ROWS_MAX],
        same=sorted(same, key=lambda row: (-abs(math.log(row.factor or 1.0)), -row.share, row.what, row.name))[
            :ROWS_MAX
        ],
    )


def _order(row: Row) -> tuple[float, float, str, str]:
    # To a tenth of a doubling: what moved about as much is in the order of its share.
    return -round(10 * math.log2(row.at_least)), -row.share, row.what, row.name


def _is_known(a: SpanFigures, b: SpanFigures, item: Item) -> bool:
    clock = clock_of(item)
    if a.known_s(clock) <= 0 or b.known_s(clock) <= 0:
        return False
    if item.kind == "field":
        field = f"{item.of}.{item.name.partition('=')[0]}"
        return not any(field in figures.loaded.fields.too_many for figures in (a, b))
    if _is_of_group(item) or item.kind not in ("process", "pair"):
        return True
    if item.kind == "process" and a.known_s("groups") > 0 and b.known_s("groups") > 0:
        return False  # there all of them are counted
    # Only the busiest processes are listed: one that is not may have made calls.
    return bool(a.counted(item).count and b.counted(item).count)


def _is_of_group(item: Item) -> bool:
    return clock_of(item) == "groups"


def _counted(a: SpanFigures, b: SpanFigures, item: Item, z: float) -> Row:
    before, after = a.counted(item), b.counted(item)
    is_up = after.rate > before.rate
    low, high = (before, after) if is_up else (after, before)
    at_least = rate_factor(low, high, z)
    mark: Mark = "up" if is_up else "down"
    if not low.count:
        mark = "+" if is_up else "-"
        # If the other span is so short that none of it was to be expected there, it says nothing.
        if at_least < MOVED and high.rate * low.known_s < 1:
            mark = "same"
    elif at_least < MOVED:
        mark = "same"
    return _row(
        a,
        b,
        item,
        mark=mark,
        before=before.rate if before.count else None,
        after=after.rate if after.count else None,
        factor=after.rate / before.rate if before.count and after.count else None,
        at_least=max(1.0, at_least),
        share=max(_share(a, item, before), _share(b, item, after)),
        counts=(before, after),
        slices=(before.rates(), after.rates()),
    )


def _timed(a: SpanFigures, b: SpanFigures, item: Item, z: float) -> Iterator[Row]:
    before, after = a.timed(item), b.timed(item)
    if min(sum(before.calls), sum(after.calls)) < _LEAST_CALLS:
        return
    if item.kind == "pair":
        figures = [("mean", before.mean_ns, after.mean_ns)]
    else:
        figures = [
            (what, quantile(before.histogram(), q) or 0.0, quantile(after.histogram(), q) or 0.0)
            for what, q in _QUANTILES
        ]
    best: tuple[float, str, float, float] | None = None
    for what, was, now in figures:
        if was <= 0 or now <= 0:
            continue
        low, high = (before, after) if now > was else (after, before)
        if what == "mean":
            at_least = mean_factor(low, high, z)
        else:
            at_least = quantile_factor(low, high, dict(_QUANTILES)[what], z)
        if best is None or at_least >= best[0]:
            best = at_least, what, was, now
    if best is None:
        return
    at_least, what, was, now = best
    mark: Mark = "same" if at_least < MOVED else "up" if now > was else "down"
    histograms = before.histogram(), after.histogram()
    row = _row(
        a,
        b,
        item,
        mark=mark,
        before=was,
        after=now,
        factor=now / was,
        at_least=max(1.0, at_least),
        share=1.0 if item.kind == "took" else max(_time_share(a, before), _time_share(b, after)),
        counts=(Counted(before.calls, ()), Counted(after.calls, ())),
        slices=(before.means(), after.means()),
    )
    yield msgspec.structs.replace(
        row,
        what=what,
        distance=distance(*histograms) if item.kind != "pair" else None,
        histogram_before_ns=histograms[0],
        histogram_after_ns=histograms[1],
    )


def _row(
    a: SpanFigures,
    b: SpanFigures,
    item: Item,
    *,
    mark: Mark,
    before: float | None,
    after: float | None,
    factor: float | None,
    at_least: float,
    share: float,
    counts: tuple[Counted, Counted],
    slices: tuple[tuple[float | None, ...], tuple[float | None, ...]],
) -> Row:
    kind, name, of, abi = item
    call = {"call": name, "errno": of, "pair": of}.get(kind)
    number = b.numbers.get((call, abi)) or a.numbers.get((call, abi)) if call is not None else None
    user = name if kind == "user" else None
    uid = None
    if user is not None:
        known = (number for figures in (b, a) for number, name in figures.users.items() if name == user)
        uid = next(known, int(user) if user.isdecimal() else None)
    return Row(
        mark=mark,
        what=kind,
        name=text_of(item),
        before=before,
        after=after,
        factor=factor,
        at_least=at_least,
        share=share,
        count_before=round(counts[0].count),
        count_after=round(counts[1].count),
        slices_before=slices[0],
        slices_after=slices[1],
        program=name if kind in ("program", "failed", "exit", "process", "pair") else None,
        user=user,
        uid=uid,
        unit=name if kind == "unit" else None,
        call=call,
        abi=number[0] if number else None,
        nr=number[1] if number else None,
        error={"errno": name, "failed": of}.get(kind),
    )


def text_of(item: Item) -> str:
    """Return what names an item, beside its kind."""
    kind, name, of, abi = item
    in_abi = f" ({abi})" if abi else ""
    if kind == "errno":
        return f"{name} of {of}{in_abi}"
    if kind == "pair":
        return f"{of}{in_abi} by {name}"
    if kind == "entry":
        return f"{of}[{name}]"
    if kind in ("field", "took"):
        return f"{of}.{name}"
    if kind == "process":
        return f"{name}: {of or 'calls'}"
    if kind == "user" or (kind == "unit" and of):
        return f"{name}: {of}"
    return f"{name} {of}" if of else f"{name}{in_abi}"


def _share(figures: SpanFigures, item: Item, counted: Counted) -> float:
    total = figures.total(item.kind, item.of if item.kind in OF_SEVERAL else "")
    return min(1.0, counted.count / total) if total else 0.0


def _time_share(figures: SpanFigures, timed: Timed) -> float:
    total = figures.total_ns
    return min(1.0, sum(timed.total_ns) / total) if total else 0.0


def _span(figures: SpanFigures, name: str) -> Span:
    def rate(kind: str, clock: Clock) -> float | None:
        known_s = figures.known_s(clock)
        return figures.total(kind) / known_s if known_s > 0 else None

    header = figures.header
    return Span(
        name=name,
        host=header.host,
        kernel=header.kernel,
        version=header.version,
        begin=figures.begin if math.isfinite(figures.begin) else header.started,
        end=figures.end if math.isfinite(figures.end) else header.started,
        programs=rate("program", "execs"),
        calls=rate("call", "syscalls"),
        failed_calls=rate("errno", "syscalls"),
        events=rate("event", "load"),
        runs=rate("run", "load"),
        lost=[Loss(probe=p, where=w, count=n) for (p, w), n in sorted(figures.lost.items()) if n],
    )
