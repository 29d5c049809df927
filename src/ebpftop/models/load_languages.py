"""What may be typed to filter the lists of the workbench: lines, instructions, entries of maps, events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ebpftop.core.load_records import BpfEvent
from ebpftop.core.trace_records import Trace
from ebpftop.filters.kinds import AnyOf, Choice, Kind, Number, Text, duration, size
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.event_fields import language_of
from ebpftop.models.load_code import CodeRow
from ebpftop.models.load_fields import Leaf
from ebpftop.models.load_histograms import Bucket
from ebpftop.models.load_maps import Entry, MapTable
from ebpftop.models.load_source import SourceRow
from ebpftop.models.load_values import worded

Row = TypeVar("Row")

SOURCE: Language[SourceRow] = Language(
    (
        Field("line", Number(hint=">10"), lambda row, _: row.number),
        text_field("text", lambda row: row.text, "what it says"),
        Field("wrong", Choice(("yes", "no")), lambda row, _: "no" if row.diagnostic is None else "yes"),
    ),
    lambda row: row.text,
    lambda row: row.text.strip(),
)

CODE: Language[CodeRow] = Language(
    (
        Field("line", Number(hint="9"), lambda row, _: row.line, "of the source"),
        text_field("program", lambda row: row.program),
        text_field("text", lambda row: row.text, "the instruction"),
    ),
    lambda row: f"{row.offset}: {row.text}",
    lambda row: row.text,
)

BUCKETS: Language[Bucket] = Language(
    (
        Field("low", Number(), lambda row, _: row.low),
        Field("high", Number(), lambda row, _: row.high),
        Field("count", Number(), lambda row, _: row.count),
    ),
    lambda row: f"{row.low} {row.high} {row.count} {'' if row.of is None else row.of}",
)


def entries_language(table: MapTable) -> Language[Entry]:
    """Return the language of a map: a field for each of its key and of its value."""
    fields: list[Field[Entry]] = []
    taken: set[str] = set()
    for of, leaves in (("key", table.key), ("value", table.value)):
        for leaf in leaves:
            name = _free(_name(leaf.name or of), taken)
            read = _reader(leaf, of)
            fields.append(
                Field(name, _kind(leaf), read, leaf.field.type, (leaf.field.meaning,) if not leaf.name else ())
            )
    for at, leaf in enumerate(table.counters):
        name = "rate" if len(table.counters) == 1 else f"{_name(leaf.name)}_rate"
        fields.append(Field(_free(name, taken), Number(), _rate(at), "a second"))

    def searchable(entry: Entry) -> str:
        parts = (*_texts(table.key, "key", entry.row.key, entry), *_texts(table.value, "value", entry.row.value, entry))
        return " ".join(parts)

    return Language(fields, searchable, lambda entry: " ".join(_texts(table.key, "key", entry.row.key, entry)))


def events_language(leaves: Sequence[Leaf]) -> Language[BpfEvent]:
    """Return the language of the events of a buffer: a field for each of its structure."""
    taken: set[str] = set()

    def field(leaf: Leaf) -> Field[BpfEvent]:
        def read(event: BpfEvent, _: float) -> object:
            return _value(leaf, event.fields, event.names.get(leaf.place("")))

        return Field(_free(_name(leaf.name or "data"), taken), _kind(leaf), read, leaf.field.type)

    def searchable(event: BpfEvent) -> str:
        return " ".join(
            str(worded(leaf.field, leaf.read(event.fields), event.names.get(leaf.place(""), ""))) for leaf in leaves
        )

    return Language([field(leaf) for leaf in leaves], searchable)


PRINTED: Language[Trace] = language_of(
    Trace, lambda line: f"{line.pid} {line.task} cpu{line.cpu} {line.program or ''} {line.message}", lambda t: t.message
)


def _texts(leaves: Iterable[Leaf], of: str, value: object, entry: Entry) -> list[str]:
    return [str(worded(leaf.field, leaf.read(value), entry.row.names.get(leaf.place(of), ""))) for leaf in leaves]


def _reader(leaf: Leaf, of: str) -> Callable[[Entry, float], object]:
    def read(entry: Entry, _: float) -> object:
        value = entry.row.key if of == "key" else entry.row.value
        return _value(leaf, value, entry.row.names.get(leaf.place(of)))

    return read


def _rate(at: int) -> Callable[[Entry, float], object]:
    return lambda entry, _: entry.gain(at).rate


def _value(leaf: Leaf, whole: object, name: str | None) -> object:
    value = leaf.read(whole)
    if _is_number(leaf):
        return value if isinstance(value, (int, float)) else None
    if value is None:
        return None
    texts = typed_text(leaf, value), name, str(worded(leaf.field, value, name or ""))
    return tuple(dict.fromkeys(text for text in texts if text))


def typed_text(leaf: Leaf, value: object) -> str:
    """Return a value as a filter matches it: as it is shown."""
    return str(worded(leaf.field, value))


def _is_number(leaf: Leaf) -> bool:
    return leaf.field.kind in ("int", "uint", "float") and leaf.field.meaning not in _NAMED


_NAMED = frozenset(("uid", "gid", "pid", "tid", "errno", "ret", "signal", "syscall", "stack", "program", "hex", "dev"))


def _kind(leaf: Leaf) -> Kind:
    if not _is_number(leaf):
        return AnyOf(Text(hint="ann or a*"))
    if leaf.field.meaning == "ns":
        return duration(1e-9)
    return size() if leaf.field.meaning == "bytes" else Number()


def _name(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "value"


def _free(name: str, taken: set[str]) -> str:
    found, at = name, 2
    while found in taken:
        found, at = f"{name}{at}", at + 1
    taken.add(found)
    return found


AnyLanguage = Language[Any]
