"""Histograms that programs keep in maps, as rows: the buckets, each with its range and its count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ebpftop.models.load_fields import identity, number
from ebpftop.models.load_maps import MapTable


@dataclass(frozen=True, slots=True)
class Bucket:
    """What fell between *low* and *high*, both included; *of* is whose histogram it is, None if there is one."""

    of: object
    slot: int
    low: int
    high: int
    count: int
    peak: int
    is_first: bool = False
    """Whether it is the first of its histogram."""

    @property
    def ident(self) -> object:
        """What tells it from all others of the map."""
        return identity(self.of), self.slot

    @property
    def part(self) -> float:
        """Its share of the largest bucket of the same histogram."""
        return self.count / self.peak if self.peak else 0.0


def buckets(table: MapTable) -> list[Bucket]:
    """Return the buckets of all histograms of a map, from the first to the last that counted anything."""
    counts: defaultdict[object, dict[int, int]] = defaultdict(dict)
    whose: dict[object, object] = {}
    for entry in table.entries.values():
        if isinstance(entry.value, (list, tuple)):
            of, slots = entry.key if len(table.entries) > 1 else None, enumerate(entry.value)
        else:
            of, slot = _split(table, entry.key)
            slots = enumerate([entry.value], slot)
        whose[identity(of)] = of
        for slot, count in slots:
            if number(count) > 0:
                counts[identity(of)][slot] = int(number(count))
    rows: list[Bucket] = []
    is_linear = table.info.histogram == "linear"
    order = sorted(counts, key=lambda ident: (-sum(counts[ident].values()), str(ident)))
    for ident in order:
        found = counts[ident]
        peak = max(found.values())
        for slot in range(min(found), max(found) + 1):
            low, high = (slot, slot) if is_linear else bounds(slot)
            rows.append(Bucket(whose[ident], slot, low, high, found.get(slot, 0), peak, slot == min(found)))
    return rows


def bounds(slot: int) -> tuple[int, int]:
    """Return what BCC's bpf_log2 puts into a slot: 0 and 1 into the first, then twice as much into each."""
    return (0, 1) if slot <= 1 else (1 << (slot - 1), (1 << slot) - 1)


def _split(table: MapTable, key: object) -> tuple[object, int]:
    """Return whose histogram a key is of, and its slot: the last number of the key."""
    if not isinstance(key, dict):
        return None, int(number(key))
    slot = table.key[-1].path[-1] if table.key and table.key[-1].path else ""
    slot = "slot" if "slot" in key else slot
    return {name: one for name, one in key.items() if name != slot}, int(number(key.get(slot)))


def quantile(rows: Sequence[Bucket], part: float) -> int | None:
    """Return the upper bound of the bucket up to which *part* of all were counted; None if nothing was."""
    total = sum(row.count for row in rows)
    left = total * part
    for row in rows:
        left -= row.count
        if row.count and left <= 0:
            return row.high
    return None
