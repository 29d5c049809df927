"""What can be changed of the maps of a loaded file, and how it is asked for."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from functools import partial

from ebpftop.core.load_edits import FileEditor
from ebpftop.core.load_records import Field
from ebpftop.models.load_fields import Leaf
from ebpftop.models.load_maps import Entry, MapTable
from ebpftop.models.load_values import typed, worded
from ebpftop.models.load_writes import new_key
from ebpftop.syscalls import abi
from ebpftop.ui.widgets.cell_editor import Asked


def asked_of_entry(editor: FileEditor, table: MapTable, entry: Entry, programs: Sequence[str]) -> list[Asked]:
    """Return what can be written of an entry: each field of its value, the counter first."""
    key, shown = typed(entry.row.key), _key_text(table, entry)
    if table.is_slots:
        write = partial(_put, editor, table.name, key)
        return [Asked(f"{table.name}[{shown}] =", typed(entry.row.value), "a program; empty: none", write, programs)]
    return [
        Asked(
            f"{table.name}[{shown}]{f'.{leaf.name}' if leaf.name else ''} =",
            typed(leaf.read(entry.row.value)),
            hint_of(leaf.field),
            partial(_write, editor, table.name, key, leaf.name, entry),
            choices_of((leaf,)),
        )
        for leaf in table.value
    ]


def asked_of_new(editor: FileEditor, table: MapTable, programs: Sequence[str]) -> list[Asked]:
    """Return what is asked for a new entry: its key, then its value, apart by two blanks or an equals sign."""
    value = f"{_parts_hint(table.value)}" if not table.is_slots else "a program"
    key = _parts_hint(table.key)
    label = f"{table.name}: {new_key(table)}  KEY = VALUE"
    write = partial(_add, editor, table)
    # Programs come first: they are those of the file.
    choices = (*(programs if table.is_slots else choices_of(table.value)), *choices_of(table.key))
    return [Asked(label, "", f"{key} = {value}", write, choices, said=f"{table.name}:")]


def _add(editor: FileEditor, table: MapTable, text: str) -> None:
    key, value = split_entry(text)
    if table.is_slots:
        editor.set_slot(table.name, key, value or None)
    else:
        editor.write_map(table.name, key, value)


def split_entry(text: str) -> tuple[str, str]:
    """Return the key and the value of ``KEY = VALUE``; an equals sign without blanks belongs to a field."""
    for between in (" = ", " : ", "  "):
        key, found, value = text.partition(between)
        if found:
            return key.strip(), value.strip()
    key, _, value = text.strip().partition("=") if text.count("=") == 1 else text.strip().partition(" ")
    return key.strip(), value.strip()


def _write(editor: FileEditor, name: str, key: str, field: str, entry: Entry, text: str) -> None:
    editor.write_map(name, key, text, field)
    entry.written = time.time()


def _put(editor: FileEditor, name: str, key: str, text: str) -> None:
    editor.set_slot(name, key, text.strip() or None)


def _key_text(table: MapTable, entry: Entry) -> str:
    texts = [
        str(worded(leaf.field, leaf.read(entry.row.key), entry.row.names.get(leaf.place("key"), "")))
        for leaf in table.key
    ]
    return " ".join(texts)


def _parts_hint(leaves: Sequence[Leaf]) -> str:
    if len(leaves) == 1 and not leaves[0].path:
        return hint_of(leaves[0].field)
    return " ".join(f"{leaf.name}=.." for leaf in leaves)


_EXAMPLES = {
    "uid": "a uid or a user",
    "pid": "a pid or a command that runs once",
    "tid": "a thread's number or command",
    "errno": "an error, as ENOENT",
    "ret": "a number, or an error as ENOENT",
    "syscall": "a system call, as openat",
    "signal": "a signal, as SIGTERM",
    "ip4": "an address, as 10.0.0.7",
    "ip6": "an address, as fe80::1",
    "ns": "a time, as 5ms",
    "bytes": "a size, as 4KiB",
}
"""What may be typed beside numbers, by what those mean."""


def hint_of(field: Field) -> str:
    """Return what may be typed for a field: its type, and names or the range of a number."""
    if field.kind == "enum" and field.values:
        return " ".join(field.values)
    if example := _EXAMPLES.get(field.meaning):
        return f"{field.type}: {example}"
    bits = field.bits or field.size * 8
    if field.kind == "uint" and 0 < bits < 32:
        return f"{field.type}: 0 to {(1 << bits) - 1:,}"
    if field.kind == "string" and field.size:
        return f"{field.type}: up to {field.size - 1} bytes"
    if field.kind == "bool":
        return "0 or 1"
    return field.type


def choices_of(leaves: Sequence[Leaf]) -> tuple[str, ...]:
    """Return the names that Tab completes for these fields."""
    found = [name for leaf in leaves for name in leaf.field.values]
    if any(leaf.field.meaning == "syscall" for leaf in leaves):
        found += abi.numbers(abi.native_abi(platform.machine()))
    return tuple(found)
