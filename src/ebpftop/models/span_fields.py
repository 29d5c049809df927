"""What the events of a program of one's own had in their fields, in a span: how often each value, and how long."""

from __future__ import annotations

from ebpftop.core.load_records import BpfEvent, Field, Value
from ebpftop.models.load_fields import Leaf, leaves
from ebpftop.models.slices import Histograms, Slices, Sums
from ebpftop.models.span_items import Item

_VALUES_MAX = 200
"""Values of one field. One that has more is a number of things, not a kind of thing, and is not compared."""
_TEXT_MAX = 80
_KINDS = frozenset(("bool", "enum", "string"))
_NUMBERS = frozenset(("int", "uint"))
_NAMING = frozenset(("", "uid", "gid", "syscall", "errno", "ret", "signal", "ip4", "ip6", "port", "dev"))
"""What a number means that stands for something: each of its values is counted."""
_BUCKETS = 64


class SpanFields:
    """Counts the values of fields that name something, adds up bytes, and times durations."""

    def __init__(self, slices: Slices, items: Sums[Item], histograms: Histograms[Item], total_ns: Sums[Item]) -> None:
        self._slices = slices
        self._items = items
        self._histograms = histograms
        self._total_ns = total_ns
        self._leaves: dict[str, tuple[Leaf, ...]] = {}
        self._values: Sums[Item] = Sums(slices)
        self._seen: dict[tuple[str, str], set[str]] = {}
        """The values of each field of a buffer; those of one that has too many are gone."""
        self.too_many: set[str] = set()
        """Fields that have too many values to be compared."""

    def note(self, name: str, field: Field) -> None:
        """Learn what the events of a buffer have."""
        self._leaves[name] = leaves(field)

    def add(self, event: BpfEvent) -> None:
        """Count the fields of an event of the span."""
        number = self._slices.at(event.time)
        for leaf in self._leaves.get(event.map, ()):
            value = leaf.read(event.fields) if leaf.path else event.fields.get("data")
            name = leaf.name or "data"
            if leaf.field.meaning in ("ns", "bytes"):
                if not isinstance(value, int) or value < 0:
                    continue
                if leaf.field.meaning == "ns":
                    self._time(Item("took", name, event.map), number, value)
                elif value:
                    self._items.add(Item("field", name, event.map), number, value)
            elif _names_something(leaf.field) and value is not None:
                self._count(event, name, value, number)

    def close(self) -> None:
        """Hand over what was counted of fields that have few values."""
        for item in self._values.all_keys():
            if f"{item.of}.{item.name.partition('=')[0]}" not in self.too_many:
                for number, amount in enumerate(self._values.of(item)):
                    if amount:
                        self._items.add(item, number, amount)

    def _count(self, event: BpfEvent, name: str, value: Value, number: int) -> None:
        text = value if isinstance(value, str) else _plain(value)
        stands_for = event.names.get(name, "")
        text = f"{text} {stands_for}".rstrip()[:_TEXT_MAX]
        seen = self._seen.setdefault((event.map, name), set())
        if text not in seen:
            if len(seen) >= _VALUES_MAX:
                self.too_many.add(f"{event.map}.{name}")
                return
            seen.add(text)
        self._values.add(Item("field", f"{name}={text}", event.map), number)

    def _time(self, item: Item, number: int, ns: int) -> None:
        buckets = [0] * min(_BUCKETS, max(1, ns.bit_length()))
        buckets[-1] = 1
        self._histograms.add(item, number, buckets)
        self._total_ns.add(item, number, ns)
        self._items.add(item, number)


def _names_something(field: Field) -> bool:
    return field.kind in _KINDS or (field.kind in _NUMBERS and field.meaning in _NAMING)


def _plain(value: Value) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
